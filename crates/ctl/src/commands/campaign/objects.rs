//! The objects of a JSON file one by one, each with the line it begins on: an array of objects, or one object a line.
//!
//! Only braces, brackets and strings are followed here, so that a file of any length needs the memory of one object; what
//! is inside an object is read by the JSON reader.

use std::io::BufRead;

use super::bytes::{Broken, Bytes};

/// The largest object, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Reads objects.
#[derive(Debug)]
pub struct Objects<R> {
    bytes: Bytes<R>,
    /// An array is open.
    array: bool,
}

impl<R: BufRead> Objects<R> {
    pub fn new(reader: R) -> Self {
        Self { bytes: Bytes::new(reader), array: false }
    }

    /// The next object and its line; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Broken> {
        loop {
            let Some(byte) = self.bytes.next()? else {
                return if self.array {
                    Err(Broken::Shape(
                        self.bytes.line(),
                        "the file ends before its array does: it was cut off",
                    ))
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
                _ => return Err(Broken::Shape(self.bytes.line(), "an object `{…}` should stand here")),
            }
        }
    }

    fn object(&mut self) -> Result<(u64, Vec<u8>), Broken> {
        let (line, mut object) = (self.bytes.line(), vec![b'{']);
        let (mut depth, mut quoted, mut escaped) = (1u32, false, false);
        while depth > 0 {
            let Some(byte) = self.bytes.next()? else {
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
        assert_eq!(all("\r{}\r\r\n{}").unwrap(), [(2, "{}".to_owned()), (4, "{}".to_owned())]);
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
