//! The records of a CSV file (RFC 4180) one by one, each with the lines it stands on.
//!
//! Read here and not by a library, because of what the libraries pass over: a quote that is never closed ends with the file as
//! if it had been closed, lines are not counted as people count them, and a record is of any length. A quote that is left
//! open must neither swallow the lines behind it nor go unnoticed.

use std::io::BufRead;

use super::bytes::{Broken, Bytes};

/// The largest record, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Most lines that a record runs over. None of our fields may hold a line break, so this is the reach of a mistake.
const MAX_LINES: u64 = 16;

/// Of a quote that is still open where the reach of a mistake ends.
const OPEN: &str = "a quote is opened here and not closed within 16 lines and 64 KiB: close it, or write two where the text holds one";
/// Of a quote that is still open at the end.
const OPEN_TO_THE_END: &str = "a quote is opened here and not closed before the file ends: close it, or write two where the text holds one";

/// A record: its fields, still as bytes and with the white space around them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The line it begins on, from 1.
    pub line: u64,
    /// The line it ends on.
    pub last_line: u64,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Text stands behind the quote that closes a field.
    pub stray: bool,
}

impl Record {
    /// The fields in their order; at least one.
    pub fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, &end)| self.text.get(start..end))
    }

    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn push(&mut self, byte: u8, then: State) -> State {
        self.text.push(byte);
        then
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing of the field was read.
    Start,
    Plain,
    /// Within quotes that were opened on this line.
    Quoted(u64),
    /// A quote was read within quotes: it closes the field, or is the first of two that mean one.
    Quote(u64),
    /// The field was closed by a quote, and white space was read.
    Closed,
}

/// Reads records.
#[derive(Debug)]
pub struct Records<R> {
    bytes: Bytes<R>,
}

impl<R: BufRead> Records<R> {
    /// Begins behind the mark (U+FEFF) that some programs put before a file.
    pub fn new(mut reader: R) -> std::io::Result<Self> {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        if reader.fill_buf()?.starts_with(MARK) {
            reader.consume(MARK.len());
        }
        Ok(Self { bytes: Bytes::new(reader) })
    }

    /// The next record, blank lines passed over; `None` at the end. After an error it is not known where the next begins.
    pub fn next(&mut self) -> Result<Option<Record>, Broken> {
        while let Some(b'\n' | b'\r') = self.bytes.peek()? {
            self.bytes.next()?;
        }
        let mut record = Record { line: self.bytes.line(), ..Record::default() };
        let (mut state, mut size) = (State::Start, 0);
        if self.bytes.peek()?.is_none() {
            return Ok(None);
        }
        loop {
            record.last_line = self.bytes.line();
            let byte = self.bytes.next()?;
            size += 1;
            if let State::Quoted(line) = state {
                if byte.is_none() {
                    return Err(Broken::Shape(line, OPEN_TO_THE_END));
                } else if size > MAX_BYTES || self.bytes.line() - line >= MAX_LINES {
                    return Err(Broken::Shape(line, OPEN));
                }
            }
            if size > MAX_BYTES {
                return Err(Broken::Shape(record.line, "this line is longer than 64 KiB"));
            }
            state = match (state, byte) {
                (State::Quoted(line), Some(b'"')) => State::Quote(line),
                (State::Quote(line), Some(b'"')) => record.push(b'"', State::Quoted(line)),
                (State::Quoted(line), Some(byte)) => record.push(byte, State::Quoted(line)),
                (_, Some(b',')) => {
                    record.end_field();
                    State::Start
                }
                (_, None | Some(b'\n' | b'\r')) => {
                    record.end_field();
                    return Ok(Some(record));
                }
                (State::Start, Some(b'"')) => State::Quoted(record.last_line),
                (State::Quote(_) | State::Closed, Some(b' ' | b'\t')) => State::Closed,
                (State::Quote(_) | State::Closed, Some(byte)) => {
                    record.stray = true;
                    record.push(byte, State::Plain)
                }
                (State::Start | State::Plain, Some(byte)) => record.push(byte, State::Plain),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each record its lines and its fields.
    fn all(text: &str) -> Result<Vec<(u64, u64, Vec<String>)>, Broken> {
        let mut records = Records::new(text.as_bytes()).unwrap();
        let mut all = Vec::new();
        while let Some(record) = records.next()? {
            let fields: Vec<String> =
                record.fields().map(|field| String::from_utf8(field.to_vec()).unwrap()).collect();
            assert_eq!(fields.len(), record.len());
            all.push((record.line, record.last_line, fields));
        }
        Ok(all)
    }

    fn fields<const N: usize>(fields: [&str; N]) -> Vec<String> {
        fields.map(str::to_owned).to_vec()
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        for (ending, name) in [("\n", "LF"), ("\r\n", "CRLF"), ("\r", "CR")] {
            let lines = ["a,b", "", "", "c,d", "\"e", "", "f\",g", "h,i", "", "j,k"];
            let want = [(1, 1), (4, 4), (5, 7), (8, 8), (10, 10)];
            for end in ["", ending, &ending.repeat(3)] {
                let got = all(&format!("{}{end}", lines.join(ending))).unwrap();
                let places: Vec<_> = got.iter().map(|(first, last, _)| (*first, *last)).collect();
                assert_eq!(places, want, "{name} {end:?}");
                assert_eq!(got[2].2, [format!("e{ending}{ending}f"), "g".to_owned()], "{name}");
            }
            let blank_first = all(&format!("\u{feff}{ending}{ending}a,b")).unwrap();
            assert_eq!(blank_first, [(3, 3, fields(["a", "b"]))], "{name}");
        }
        assert_eq!(all("a\n\rb\r\r\nc").unwrap().iter().map(|r| r.0).collect::<Vec<_>>(), [1, 3, 5]);
    }

    #[test]
    fn fields_are_read_as_rfc_4180_has_them() {
        for (text, want) in [
            ("a,b", fields(["a", "b"])),
            (",", fields(["", ""])),
            ("\"\"", fields([""])),
            (" a , b\t", fields([" a ", " b\t"])),
            ("\"a, \"\"b\"\"\",c", fields(["a, \"b\"", "c"])),
            ("\"a\" \t,\"b\"", fields(["a", "b"])),
            ("a\"b,\"\"\"\"", fields(["a\"b", "\""])),
        ] {
            let got = all(text).unwrap();
            assert_eq!(got, [(1, 1, want)], "{text}");
            assert!(!Records::new(text.as_bytes()).unwrap().next().unwrap().unwrap().stray, "{text}");
        }
        for text in ["\"a\"b,c", "\"a\" \"b,c", "\"a\" b,c"] {
            let record = Records::new(text.as_bytes()).unwrap().next().unwrap().unwrap();
            assert!(record.stray && record.len() == 2, "{text}");
        }
        assert_eq!(all("").unwrap(), []);
        assert_eq!(all("\n\r\n").unwrap(), []);
    }

    #[test]
    fn a_quote_that_is_left_open_ends_the_reading_at_its_line() {
        let behind = |text: &str, lines: usize| format!("a,b\n{text}{}", "c,d\n".repeat(lines));
        for text in [
            behind("x,\"y\n", 3),
            behind("x,\"y", 0),
            behind("x,\"y\"\"", 0),
            behind("x,\"y\n", 9_999),
            format!("{}z\",c\n", behind("x,\"y\n", 15)),
            behind(&format!("x,\"{}\"\n", "y".repeat(MAX_BYTES)), 3),
            behind(&format!("x,{}\n", "y".repeat(MAX_BYTES)), 3),
        ] {
            assert!(matches!(all(&text), Err(Broken::Shape(2, _))), "{text:.40}");
        }
        let just = format!("{}z\",c\n", behind("x,\"y\n", 14));
        assert_eq!(all(&just).unwrap()[1].1, 17, "sixteen lines are read");
    }
}
