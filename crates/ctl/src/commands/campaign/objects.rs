//! The objects of a JSON file one by one, each with the line it begins on: an array of objects, or one object a line.
//!
//! Only braces, brackets and strings are followed here, so that a file of any length needs the memory of one object; what
//! is inside an object is read by the JSON reader.

use std::io::{self, BufRead};

/// The largest object, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Why no further object can be found.
#[derive(Debug)]
pub enum Broken {
    /// The file cannot be read.
    Read(io::Error),
    /// It is not what it should be, from this line on.
    Shape(u64, &'static str),
}

/// Reads objects.
#[derive(Debug)]
pub struct Objects<R> {
    reader: R,
    line: u64,
    /// An array is open.
    array: bool,
}

impl<R: BufRead> Objects<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, line: 1, array: false }
    }

    /// The next object and its line; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Broken> {
        loop {
            let Some(byte) = self.byte()? else {
                return if self.array {
                    Err(Broken::Shape(self.line, "the file ends before its array does: it was cut off"))
                } else {
                    Ok(None)
                };
            };
            match byte {
                b'{' => return self.object().map(Some),
                b'[' if !self.array => self.array = true,
                b']' if self.array => self.array = false,
                b',' if self.array => {}
                // Also the three bytes that some programs put before the first.
                b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => {}
                _ => return Err(Broken::Shape(self.line, "an object `{…}` should stand here")),
            }
        }
    }

    fn object(&mut self) -> Result<(u64, Vec<u8>), Broken> {
        let (line, mut object) = (self.line, vec![b'{']);
        let (mut depth, mut quoted, mut escaped) = (1u32, false, false);
        while depth > 0 {
            let Some(byte) = self.byte()? else {
                return Err(Broken::Shape(line, "the file ends inside this object: it was cut off"));
            };
            object.push(byte);
            if object.len() > MAX_BYTES {
                return Err(Broken::Shape(line, "this object is longer than 64 KiB"));
            }
            match (quoted, byte) {
                (true, _) if escaped => escaped = false,
                (true, b'\\') => escaped = true,
                (_, b'"') => quoted = !quoted,
                (false, b'{' | b'[') => depth += 1,
                (false, b'}' | b']') => depth -= 1,
                _ => {}
            }
        }
        Ok((line, object))
    }

    fn byte(&mut self) -> Result<Option<u8>, Broken> {
        let byte = self.reader.fill_buf().map_err(Broken::Read)?.first().copied();
        if byte.is_some() {
            self.reader.consume(1);
        }
        if byte == Some(b'\n') {
            self.line += 1;
        }
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<(u64, String)>, Broken> {
        let mut objects = Objects::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some((line, object)) = objects.next()? {
            all.push((line, String::from_utf8(object).unwrap()));
        }
        Ok(all)
    }

    #[test]
    fn arrays_and_lines_give_their_objects_with_their_lines() {
        let want = [(2, r#"{"a": "}\"{"}"#.to_owned()), (4, "{\n\"b\": [1, {}]}".to_owned())];
        assert_eq!(all("[\n{\"a\": \"}\\\"{\"},\n\n{\n\"b\": [1, {}]}\n]").unwrap(), want);
        assert_eq!(all("\u{feff}\n{\"a\": \"}\\\"{\"}\n\n{\n\"b\": [1, {}]}").unwrap(), want);
        assert_eq!(all("").unwrap(), []);
    }

    #[test]
    fn a_file_that_was_cut_off_is_not_taken_for_a_shorter_one() {
        for (text, line) in [("[{}\n,{}", 2), ("{}\n{\"a\":", 2), ("[{}]\n7", 2), ("nonsense", 1)] {
            assert!(matches!(all(text), Err(Broken::Shape(at, _)) if at == line), "{text}");
        }
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_BYTES));
        assert!(matches!(all(&long), Err(Broken::Shape(1, _))));
    }
}
