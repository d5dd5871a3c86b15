//! Files that were put into text before there was MIME: `begin 644 name`, lines of up to 45 bytes, `end`.
//!
//! In a text only a whole block is taken for a file; what merely begins like one, or is cut off, stays what it is. One
//! pass over the lines.

/// A file found in a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// As written behind `begin`; empty where there is none.
    pub(crate) name: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

/// Takes the files, at most `room`, out of a text with LF as line ends: the text without them, and the files; `None` where
/// there are none.
pub(crate) fn take_out(text: &[u8], room: usize) -> Option<(Vec<u8>, Vec<File>)> {
    // Most texts have no such line, and pay for one search only.
    memchr::memmem::find(text, b"begin ")?;
    let mut rest = text;
    let (mut kept, mut files) = (Vec::new(), Vec::new());
    while !rest.is_empty() && files.len() < room {
        let (line, after) = split_line(rest);
        let block = begin(line).map(|name| (name, block(after)));
        match block {
            Some((name, Ok((content, behind)))) => {
                files.push(File { name: name.to_vec(), content });
                rest = behind;
            }
            // What was looked at for nothing holds no other beginning: it need not be looked at again.
            Some((_, Err(behind))) => {
                kept.extend_from_slice(&rest[..rest.len() - behind.len()]);
                rest = behind;
            }
            None => {
                kept.extend_from_slice(&rest[..rest.len() - after.len()]);
                rest = after;
            }
        }
    }
    kept.extend_from_slice(rest);
    (!files.is_empty()).then_some((kept, files))
}

/// Unpacks a part that is uuencoded as a whole, however it ends; `None` where there is no `begin` line.
pub(crate) fn unpack(raw: &[u8]) -> Option<Vec<u8>> {
    let mut lines = raw.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_end);
    lines.find(|line| line.starts_with(b"begin "))?;
    let mut out = Vec::with_capacity(raw.len() / 4 * 3);
    for line in lines {
        if line == b"end" || !data(line, &mut out) {
            break;
        }
    }
    Some(out)
}

/// The name of a `begin` line: three or four octal digits of permissions, and the rest of the line.
fn begin(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"begin ")?;
    let digits = rest.iter().take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let name = rest.get(digits..)?;
    ((3..=4).contains(&digits) && name.first().is_none_or(|&byte| byte == b' ')).then(|| name.trim_ascii())
}

/// The content of a block and what follows it; where it does not end as it must, what follows the lines that could have
/// been in it.
fn block(text: &[u8]) -> Result<(Vec<u8>, &[u8]), &[u8]> {
    let mut out = Vec::new();
    let mut rest = text;
    let (mut lines, mut ended) = (0usize, false);
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        if line.trim_ascii_end() == b"end" {
            return if lines > 0 { Ok((out, after)) } else { Err(rest) };
        }
        let in_alphabet = line.iter().all(|byte| (b' '..=b'`').contains(byte));
        if ended || !in_alphabet {
            return Err(rest);
        }
        ended = !data(line, &mut out);
        lines += 1;
        rest = after;
    }
    Err(rest)
}

/// Decodes one line; `false` for the empty one that ends the data. Blanks at its end may have been cut off on the way.
fn data(line: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((&count, data)) = line.split_first() else { return false };
    let count = usize::from(count.wrapping_sub(32) & 63);
    let start = out.len();
    // No more than the count says: a checksum may follow.
    let data = data.get(..count.div_ceil(3) * 4).unwrap_or(data);
    for four in data.chunks(4) {
        let six = |at: usize| four.get(at).map_or(0, |&b| u32::from(b.wrapping_sub(32) & 63));
        let word = six(0) << 18 | six(1) << 12 | six(2) << 6 | six(3);
        out.extend_from_slice(&word.to_be_bytes()[1..]);
    }
    out.resize(start + count, 0);
    count > 0
}

fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', text) {
        Some(end) => (text[..end].strip_suffix(b"\r").unwrap_or(&text[..end]), &text[end + 1..]),
        None => (text, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Option<(String, Vec<(String, String)>)> {
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        take_out(text.as_bytes(), 10).map(|(kept, files)| {
            (string(&kept), files.iter().map(|file| (string(&file.name), string(&file.content))).collect())
        })
    }

    #[test]
    fn a_file_in_a_text_is_taken_out_of_it() {
        let text = "Here:\n\nbegin 644 my cat.txt\n#0V%T\n`\nend\nand\nbegin 0755\n#0V%T\nend\nbye\n";
        let file = |name: &str| (name.to_owned(), "Cat".to_owned());
        assert_eq!(taken(text), Some(("Here:\n\nand\nbye\n".to_owned(), vec![file("my cat.txt"), file("")])));
    }

    #[test]
    fn blanks_lost_on_the_way_and_checksums_do_no_harm() {
        let (_, files) = taken("begin 644 x\n#0V%T5\n&0V%T\n\nend\n").unwrap();
        assert_eq!(files[0].1, "CatCat\0\0\0");
    }

    #[test]
    fn what_merely_begins_like_a_file_stays_in_the_text() {
        for text in [
            "begin 644 words of mine\nto all of you\nend\n",
            "begin 644 cut.off\n#0V%T\n",
            "begin 644 empty\nend\n",
            "begin 64 x\n#0V%T\n`\nend\n",
            "we begin 644 x\n#0V%T\n`\nend\n",
            "> begin 644 x\n> #0V%T\n> `\n> end\n",
        ] {
            assert_eq!(taken(text), None, "{text}");
        }
        let (kept, files) = taken("begin 644 a\nprose\nbegin 644 b\n#0V%T\n`\nend\n").unwrap();
        assert_eq!((kept.as_str(), files[0].0.as_str()), ("begin 644 a\nprose\n", "b"));
    }

    #[test]
    fn more_files_than_there_is_room_for_stay_in_the_text() {
        let text = "begin 644 x\n#0V%T\n`\nend\n".repeat(20_000);
        let (kept, files) = take_out(text.as_bytes(), 10).unwrap();
        assert_eq!((files.len(), kept.len()), (10, text.len() / 20_000 * 19_990));
    }

    #[test]
    fn beginnings_without_an_end_are_looked_at_once() {
        let text = format!("begin 644 x\n{}", "M\n".repeat(1_000_000)).repeat(2);
        assert_eq!(take_out(text.as_bytes(), 10), None);
        assert_eq!(take_out("begin 644 x\n".repeat(1_000_000).as_bytes(), 10), None);
    }
}
