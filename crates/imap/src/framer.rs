//! Bytes to whole responses.
//!
//! A response is a line; a line that ends in `{n}` goes on with n raw bytes and another line (RFC 3501 §4.3). The
//! framer knows no more grammar than that. Everything a server could make endless has a cap: the text of one
//! response, the length and number of literals, and the nesting of parentheses, which the parser behind would follow
//! by recursion until the stack ends.
//!
//! The literal that carries a mail (`BODY[] {n}`) is read straight into its own buffer and taken out of the text,
//! where `{0}` stands in its place: the parser sees a short line and nobody copies the mail.

use std::io::{self, BufRead, ErrorKind};

/// Text of one response, literals inside included. A SEARCH window or a long CAPABILITY stays far below.
pub(crate) const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// Literals in one response.
const MAX_LITERALS: usize = 64;
/// Nesting of parentheses that is shown to a parser. A FETCH of ours needs 2; 64 can overflow a thread's stack.
const MAX_DEPTH: usize = 16;
/// An oversize mail is read past up to this length, so that the rest of the batch still comes.
pub(crate) const MAX_SKIP_BYTES: u64 = 1024 * 1024 * 1024;
/// Buffers grow with what has come, never with what was announced: at most this much ahead.
const READ_AHEAD_BYTES: usize = 256 * 1024;

/// Why no response could be read. All but a timeout while waiting leave the stream out of step.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The stream failed; `TimedOut` and `WouldBlock` (interrupted) among them.
    Io(io::Error),
    /// The stream ended.
    Eof,
    /// A cap was exceeded.
    Limit(&'static str),
    /// A mail longer than is even read past.
    TooLarge(u64),
}

/// The mail in a FETCH response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// Longer than allowed; its length.
    Oversize(u64),
}

/// One response.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The response, ending in CRLF, mails taken out.
    pub(crate) text: Vec<u8>,
    /// The mails, in order.
    pub(crate) bodies: Vec<Body>,
    /// Whether some of `text` came as a literal.
    pub(crate) has_literal: bool,
    /// Parentheses nest deeper than a parser should follow.
    pub(crate) too_deep: bool,
}

impl Frame {
    fn clear(&mut self) {
        self.text.clear();
        // One odd response must not cost an idle connection its memory for good.
        self.text.shrink_to(4096);
        self.bodies.clear();
        self.has_literal = false;
        self.too_deep = false;
    }

    /// The part after `* `, without the line end, of an untagged response.
    pub(crate) fn untagged(&self) -> Option<&[u8]> {
        self.text.strip_prefix(b"* ").map(<[u8]>::trim_ascii_end)
    }
}

/// Reads the next response into `frame`. A mail longer than `max_body` is read past.
pub(crate) fn read_frame(
    reader: &mut impl BufRead,
    max_body: u64,
    frame: &mut Frame,
) -> Result<(), FrameError> {
    frame.clear();
    let mut depth = 0;
    let mut literals = 0;
    loop {
        let start = frame.text.len();
        read_line(reader, &mut frame.text)?;
        // Status lines end in human text, which may look like anything; only data has structure.
        if !has_structure(&frame.text) {
            return Ok(());
        }
        let line = frame.text.get(start..).unwrap_or_default();
        let open_quote = scan_depth(line, &mut depth, &mut frame.too_deep);
        let Some((length, marker)) = literal_marker(line).filter(|_| !open_quote) else {
            return Ok(());
        };
        literals += 1;
        if literals > MAX_LITERALS {
            return Err(FrameError::Limit("more literals in one response than allowed"));
        }
        let marker_start = frame.text.len() - marker;
        if carries_mail(frame.text.get(..marker_start).unwrap_or_default()) {
            frame.bodies.push(read_body(reader, length, max_body)?);
            frame.text.truncate(marker_start);
            frame.text.extend_from_slice(b"{0}\r\n");
        } else {
            let room = MAX_TEXT_BYTES.saturating_sub(frame.text.len());
            let length = usize::try_from(length).ok().filter(|length| *length <= room);
            let length = length.ok_or(FrameError::Limit("a response longer than allowed"))?;
            read_exact(reader, length, &mut frame.text)?;
            frame.has_literal = true;
        }
    }
}

/// Appends one line, its end normalised to CRLF.
fn read_line(reader: &mut impl BufRead, text: &mut Vec<u8>) -> Result<(), FrameError> {
    loop {
        let available = fill(reader)?;
        let (piece, used, complete) = match memchr::memchr(b'\n', available) {
            Some(at) => (available.get(..at).unwrap_or_default(), at + 1, true),
            None => (available, available.len(), false),
        };
        if text.len() + piece.len() > MAX_TEXT_BYTES {
            return Err(FrameError::Limit("a line longer than allowed"));
        }
        text.extend_from_slice(piece);
        reader.consume(used);
        if complete {
            if text.last() == Some(&b'\r') {
                text.pop();
            }
            text.extend_from_slice(b"\r\n");
            return Ok(());
        }
    }
}

fn read_body(reader: &mut impl BufRead, length: u64, max_body: u64) -> Result<Body, FrameError> {
    if length > MAX_SKIP_BYTES.max(max_body) {
        return Err(FrameError::TooLarge(length));
    }
    match usize::try_from(length) {
        Ok(bytes) if length <= max_body => {
            let mut body = Vec::new();
            read_exact(reader, bytes, &mut body)?;
            Ok(Body::Whole(body))
        }
        _ => {
            skip(reader, length)?;
            Ok(Body::Oversize(length))
        }
    }
}

/// Appends exactly `length` bytes.
fn read_exact(reader: &mut impl BufRead, length: usize, into: &mut Vec<u8>) -> Result<(), FrameError> {
    let end = into.len() + length;
    while into.len() < end {
        let filled = into.len();
        let step = (end - filled).min(READ_AHEAD_BYTES.max(filled));
        // The first step of a mail of common size allocates exactly its length, so that no spare stays behind.
        into.reserve_exact(step);
        into.resize(filled + step, 0);
        let mut at = filled;
        while at < filled + step {
            // A read larger than the reader's buffer goes past it, straight from the socket.
            match reader.read(into.get_mut(at..).unwrap_or_default()) {
                Ok(0) => return Err(FrameError::Eof),
                Ok(bytes) => at += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(end_or_io(error)),
            }
        }
    }
    Ok(())
}

fn skip(reader: &mut impl BufRead, mut length: u64) -> Result<(), FrameError> {
    while length > 0 {
        let available = fill(reader)?.len();
        let used = usize::try_from(length).unwrap_or(usize::MAX).min(available);
        reader.consume(used);
        length -= used as u64;
    }
    Ok(())
}

fn fill(reader: &mut impl BufRead) -> Result<&[u8], FrameError> {
    // `fill_buf` cannot be retried and returned in one borrow; asking twice is free once the buffer is filled.
    loop {
        match reader.fill_buf() {
            Ok([]) => return Err(FrameError::Eof),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(end_or_io(error)),
        }
    }
    reader.fill_buf().map_err(end_or_io)
}

/// A TLS peer that goes without a goodbye is an end like any other.
fn end_or_io(error: io::Error) -> FrameError {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => FrameError::Eof,
        _ => FrameError::Io(error),
    }
}

/// Whether a response has literals and parentheses: untagged data has; status lines, continuations and tagged
/// lines are text.
fn has_structure(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"* ") else { return false };
    let word = rest.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    ![&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"].iter().any(|status| word.eq_ignore_ascii_case(status))
}

/// Follows the parentheses of one line outside quotes; tells whether the line ends inside a quote.
fn scan_depth(line: &[u8], depth: &mut usize, too_deep: &mut bool) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' if !quoted => {
                *depth += 1;
                *too_deep |= *depth > MAX_DEPTH;
            }
            b')' if !quoted => *depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    quoted
}

/// The length announced at the end of a line, and the length of the marker with its CRLF.
fn literal_marker(line: &[u8]) -> Option<(u64, usize)> {
    let inner = line.strip_suffix(b"}\r\n")?;
    let open = memchr::memrchr(b'{', inner)?;
    let digits = inner.get(open + 1..)?;
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some((length, line.len() - open))
}

/// Whether the text before a literal says that a whole mail comes: `BODY[] ` or `RFC822 `.
fn carries_mail(before: &[u8]) -> bool {
    [&b"BODY[] "[..], b" RFC822 ", b"(RFC822 "].iter().any(|name| {
        before
            .len()
            .checked_sub(name.len())
            .and_then(|at| before.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes in pieces of the given lengths, then in one.
    struct Pieces<'a> {
        bytes: &'a [u8],
        lengths: Vec<usize>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let piece = self.lengths.pop().unwrap_or(usize::MAX).max(1);
            let bytes = piece.min(buf.len()).min(self.bytes.len());
            let (now, later) = self.bytes.split_at(bytes);
            buf[..bytes].copy_from_slice(now);
            self.bytes = later;
            Ok(bytes)
        }
    }

    fn frames(bytes: &[u8], lengths: Vec<usize>, buffer: usize) -> (Vec<Frame>, FrameError) {
        let mut reader = BufReader::with_capacity(buffer, Pieces { bytes, lengths });
        let mut frames = Vec::new();
        loop {
            let mut frame = Frame::default();
            match read_frame(&mut reader, 1000, &mut frame) {
                Ok(()) => frames.push(frame),
                Err(error) => return (frames, error),
            }
        }
    }

    fn one(bytes: &[u8]) -> Frame {
        let (mut frames, end) = frames(bytes, vec![], 64);
        assert!(matches!(end, FrameError::Eof), "{end:?}");
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    #[test]
    fn a_mail_is_taken_out_of_its_response() {
        let frame = one(b"* 1 FETCH (UID 7 BODY[] {11}\r\nFrom: a\r\n\r\n FLAGS (\\Seen))\r\n");
        assert_eq!(frame.text, b"* 1 FETCH (UID 7 BODY[] {0}\r\n FLAGS (\\Seen))\r\n");
        assert_eq!(frame.bodies, [Body::Whole(b"From: a\r\n\r\n".to_vec())]);
        assert!(!frame.has_literal);
    }

    #[test]
    fn other_literals_stay_in_the_text() {
        let frame = one(b"* LIST () \"/\" {5}\r\na{1}b\r\n");
        assert_eq!(frame.text, b"* LIST () \"/\" {5}\r\na{1}b\r\n");
        assert!(frame.has_literal && frame.bodies.is_empty());
    }

    #[test]
    fn text_for_people_is_no_literal() {
        for line in [&b"* OK see {5}\r\n"[..], b"f1 NO what {5}\r\n", b"+ {5}\r\n", b"* NO \"{9}\r\n"] {
            assert_eq!(one(line).text, line);
        }
    }

    #[test]
    fn a_bare_line_feed_ends_a_line() {
        assert_eq!(one(b"* OK hi\n").text, b"* OK hi\r\n");
    }

    #[test]
    fn an_oversize_mail_is_read_past() {
        let mut bytes = b"* 1 FETCH (BODY[] {1001}\r\n".to_vec();
        bytes.extend([b'x'; 1001]);
        bytes.extend(b" UID 3)\r\n");
        assert_eq!(one(&bytes).bodies, [Body::Oversize(1001)]);
    }

    #[test]
    fn announced_bytes_are_not_believed() {
        let (_, end) = frames(b"* 1 FETCH (BODY[] {4000000000}\r\nx", vec![], 64);
        assert!(matches!(end, FrameError::TooLarge(4_000_000_000)));
        let (_, end) = frames(b"* 1 FETCH (ENVELOPE {9999999}\r\nx", vec![], 64);
        assert!(matches!(end, FrameError::Limit(_)));
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let bytes = vec![b'x'; MAX_TEXT_BYTES + 1];
        assert!(matches!(frames(&bytes, vec![], 8192).1, FrameError::Limit(_)));
    }

    #[test]
    fn literals_without_end_are_given_up() {
        let bytes = b"* X {0}\r\n".iter().chain(b"{0}\r\n".repeat(100).iter()).copied().collect::<Vec<u8>>();
        assert!(matches!(frames(&bytes, vec![], 64).1, FrameError::Limit(_)));
    }

    #[test]
    fn nesting_is_measured_across_literals_and_outside_quotes() {
        assert!(one(format!("* 1 FETCH ({}\r\n", "(".repeat(16)).as_bytes()).too_deep);
        assert!(
            one(format!("* 1 FETCH ({}{{0}}\r\n{}\r\n", "(".repeat(8), "(".repeat(8)).as_bytes()).too_deep
        );
        assert!(!one(format!("* 1 FETCH (X \"{}\")\r\n", "(".repeat(50)).as_bytes()).too_deep);
        assert!(!one(b"* 1 FETCH (FLAGS (\\Seen))\r\n").too_deep);
    }

    fn response() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60).prop_map(|mail| {
                let mut bytes = format!("* 3 FETCH (UID 9 BODY[] {{{}}}\r\n", mail.len()).into_bytes();
                bytes.extend(mail);
                bytes.extend(b" FLAGS ())\r\n");
                bytes
            }),
            "[a-z]{0,9}".prop_map(|name| {
                format!("* LIST () \"/\" {{{}}}\r\n{name}\r\n", name.len()).into_bytes()
            }),
            "[ -~]{0,40}".prop_map(|text| format!("* OK {text}\r\n").into_bytes()),
            "[ -~]{0,40}".prop_map(|text| format!("f1 NO {text}\n").into_bytes()),
            Just(b"* 17 EXISTS\r\n".to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn any_split_of_the_stream_gives_the_same_frames(
            responses in proptest::collection::vec(response(), 1..8),
            lengths in proptest::collection::vec(1usize..40, 0..200),
            buffer in 1usize..100,
        ) {
            let bytes = responses.concat();
            let (whole, end) = frames(&bytes, vec![], 4096);
            prop_assert_eq!(whole.len(), responses.len());
            prop_assert!(matches!(end, FrameError::Eof));
            let (split, end) = frames(&bytes, lengths, buffer);
            prop_assert_eq!(split, whole);
            prop_assert!(matches!(end, FrameError::Eof));
        }

        #[test]
        fn no_bytes_panic_or_outgrow_the_caps(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'{'), Just(b'}'), Just(b'('), Just(b'\n'), Just(b'9')], 0..300)
        ) {
            let mut stream = b"* 1 FETCH (BODY[] {3}\r\nabc ".to_vec();
            stream.extend(bytes);
            for frame in frames(&stream, vec![], 16).0 {
                prop_assert!(frame.text.len() <= stream.len() + 8 * frame.bodies.len() + 2);
            }
        }

        #[test]
        fn a_stream_cut_anywhere_never_yields_a_cut_mail(cut in 0usize..52) {
            let stream = b"* 1 FETCH (UID 7 BODY[] {11}\r\nFrom: a\r\n\r\n FLAGS ())\r\n";
            let (frames, end) = frames(&stream[..cut], vec![], 16);
            prop_assert!(frames.is_empty() && matches!(end, FrameError::Eof));
        }
    }
}
