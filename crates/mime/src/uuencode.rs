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

/// Where there is no `begin` line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoFile;

/// What was taken out of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) files: Vec<File>,
    /// More was there than there was room for, in bytes: it is still in the text.
    pub(crate) is_cut: bool,
}

/// Takes the files, at most `room` and of at most `most` bytes, out of a text, which is closed up where it
/// stands.
pub(crate) fn take_out(text: &mut Vec<u8>, room: usize, most: usize) -> Taken {
    let mut taken = Taken::default();
    // Most texts have no such line, and pay for one search only.
    if memchr::memmem::find(text, b"begin ").is_none() {
        return taken;
    }
    let mut most = most;
    let (mut at, mut kept) = (0, 0);
    while at < text.len() && taken.files.len() < room {
        let rest = &text[at..];
        let (line, after) = split_line(rest);
        let mut next = rest.len() - after.len();
        let mut is_file = false;
        if let Some(name) = begin(line) {
            let block = Block::read(after);
            // What was looked at for nothing holds no other beginning: it need not be looked at again.
            next += block.length;
            is_file = block.is_whole && block.size <= most;
            taken.is_cut |= block.is_whole && !is_file;
            if is_file {
                most -= block.size;
                taken.files.push(File { name: name.to_vec(), content: block.content(after) });
            }
        }
        if !is_file {
            text.copy_within(at..at + next, kept);
            kept += next;
        }
        at += next;
    }
    text.copy_within(at.., kept);
    text.truncate(kept + text.len() - at);
    taken
}

/// Unpacks a part that is uuencoded as a whole, however it ends; `None` where it holds more than `most` bytes.
pub(crate) fn unpack(raw: &[u8], most: usize) -> Result<Option<Vec<u8>>, NoFile> {
    let mut lines = raw.split(|&b| b == b'\n').map(<[u8]>::trim_ascii_end);
    lines.find(|line| line.starts_with(b"begin ")).ok_or(NoFile)?;
    let lines = lines.take_while(|line| *line != b"end" && count(line) > 0);
    let size = lines.clone().map(count).sum();
    if size > most {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(size);
    lines.for_each(|line| data(line, &mut out));
    Ok(Some(out))
}

/// The name of a `begin` line: three or four octal digits of permissions, and the rest of the line.
fn begin(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"begin ")?;
    let digits = rest.iter().take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let name = rest.get(digits..)?;
    ((3..=4).contains(&digits) && name.first().is_none_or(|&byte| byte == b' ')).then(|| name.trim_ascii())
}

/// What follows a `begin` line.
struct Block {
    /// It ends as it must.
    is_whole: bool,
    /// Bytes of it in the text, with its `end`; where it is not whole, of the lines that could have been in it.
    length: usize,
    /// Bytes that it holds.
    size: usize,
}

impl Block {
    fn read(text: &[u8]) -> Self {
        let mut rest = text;
        let (mut lines, mut size, mut ended) = (0usize, 0, false);
        while !rest.is_empty() {
            let (line, after) = split_line(rest);
            if line.trim_ascii_end() == b"end" {
                let end = if lines > 0 { after } else { rest };
                return Self { is_whole: lines > 0, length: text.len() - end.len(), size };
            }
            let in_alphabet = line.iter().all(|byte| (b' '..=b'`').contains(byte));
            if ended || !in_alphabet {
                break;
            }
            size += count(line);
            ended = count(line) == 0;
            lines += 1;
            rest = after;
        }
        Self { is_whole: false, length: text.len() - rest.len(), size }
    }

    fn content(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size);
        let mut rest = text;
        while out.len() < self.size && !rest.is_empty() {
            let (line, after) = split_line(rest);
            data(line, &mut out);
            rest = after;
        }
        out
    }
}

/// How many bytes a line holds; none the one that ends the data.
fn count(line: &[u8]) -> usize {
    line.first().map_or(0, |&count| usize::from(count.wrapping_sub(32) & 63))
}

/// Decodes one line. Blanks at its end may have been cut off on the way.
fn data(line: &[u8], out: &mut Vec<u8>) {
    let Some((_, data)) = line.split_first() else { return };
    let (count, start) = (count(line), out.len());
    // No more than the count says: a checksum may follow.
    let data = data.get(..count.div_ceil(3) * 4).unwrap_or(data);
    for four in data.chunks(4) {
        let six = |at: usize| four.get(at).map_or(0, |&b| u32::from(b.wrapping_sub(32) & 63));
        let word = six(0) << 18 | six(1) << 12 | six(2) << 6 | six(3);
        out.extend_from_slice(&word.to_be_bytes()[1..]);
    }
    out.resize(start + count, 0);
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
        let mut kept = text.as_bytes().to_vec();
        let files = take_out(&mut kept, 10, 1_000).files;
        let files: Vec<_> = files.iter().map(|file| (string(&file.name), string(&file.content))).collect();
        (!files.is_empty()).then(|| (string(&kept), files))
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
        let text = "begin 644 x\n#0V%T\n`\nend\n".repeat(20_000).into_bytes();
        let mut kept = text.clone();
        let taken = take_out(&mut kept, 10, 1_000);
        assert_eq!((taken.files.len(), kept.len(), taken.is_cut), (10, text.len() / 20_000 * 19_990, false));
        let mut kept = text.clone();
        let taken = take_out(&mut kept, 1_000, 8);
        assert_eq!((taken.files.len(), kept.len(), taken.is_cut), (2, text.len() / 20_000 * 19_998, true));
        assert_eq!(unpack(&text, 2), Ok(None));
    }

    #[test]
    fn beginnings_without_an_end_are_looked_at_once() {
        let text = format!("begin 644 x\n{}", "M\n".repeat(1_000_000)).repeat(2);
        assert_eq!(taken(&text), None);
        assert_eq!(taken(&"begin 644 x\n".repeat(1_000_000)), None);
    }
}
