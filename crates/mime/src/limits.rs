//! How much of one mail is taken apart. Past a limit the rest is kept whole and named as a defect.

/// The limits of one parse. The defaults fit every mail a person sends; they exist for the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A mail longer than this many bytes is not taken apart: its headers are read, its body is one opaque
    /// attachment. Default 50 MiB.
    pub max_raw_bytes: u64,
    /// Parts that are told apart; what follows is one opaque attachment. As many files again are taken out of others
    /// (winmail.dat, signatures, uuencoded text). Default 1,000.
    pub max_parts: usize,
    /// Levels of nested multiparts; a deeper one is an opaque attachment. Default 50.
    pub max_depth: usize,
    /// Encoded words decoded in the whole mail; later ones stay as they were sent. Default 10,000.
    pub max_encoded_words: usize,
    /// Bytes of one header block that are read; later fields of it are skipped. Default 1 MiB.
    pub max_header_bytes: usize,
    /// Fields of one header block that are read; later ones are skipped. Of all parts together ten times as many are read,
    /// and beyond that only the fields that say what a part is. Default 2,000.
    pub max_headers: usize,
    /// Addresses read from one field. Default 10,000.
    pub max_addresses: usize,
    /// HTML longer than this many bytes has its tags cut out instead of being rendered as text. Default 256 KiB.
    pub max_html_bytes: usize,
    /// HTML nested deeper than this has its tags cut out instead of being rendered as text: the renderer's time
    /// is quadratic in the nesting. Default 200.
    pub max_html_depth: usize,
    /// HTML of more tags than this has its tags cut out instead of being rendered as text: the renderer takes some 3 µs
    /// and 3 KiB for each. Default 5,000.
    pub max_html_tags: usize,
    /// Recipients read from one delivery report. Default 1,000.
    pub max_recipients: usize,
    /// Bytes of decoded content in the whole mail, with what is taken out of winmail.dat, signatures, rich text and
    /// uuencoded text. What is beyond is kept as it was sent, undecoded. Whatever the limit, it is never more than three
    /// times the mail's own bytes and 8 MiB: one text always has room, for a byte of any charset becomes at most three of
    /// UTF-8, and before it is decoded it counts as many where it is not UTF-8 already. Long texts that are joined count
    /// twice, for they are moved: of several that grow so, and are more than 8 MiB together, the later ones may be attachments.
    /// The text that is made of long HTML is cut where its HTML has left no room for it. Default 150 MiB.
    pub max_decoded_bytes: usize,
    /// The limit on time, as work: bytes that passes look at, each weighed by its cost, so that a unit is about a nanosecond of
    /// one core. It is no clock, because a mail must read the same whenever it is read. Past it HTML has its tags cut
    /// out, files that enclose others stay closed, lines stay as they were broken, and the mail is not looked at for what
    /// kind it is. Default 2,500,000,000: two and a half seconds, 50 ms for each MiB of the longest mail.
    pub max_work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_raw_bytes: 50 * 1024 * 1024,
            max_parts: 1_000,
            max_depth: 50,
            max_encoded_words: 10_000,
            max_header_bytes: 1024 * 1024,
            max_headers: 2_000,
            max_addresses: 10_000,
            max_html_bytes: 256 * 1024,
            max_html_depth: 200,
            max_html_tags: 5_000,
            max_recipients: 1_000,
            max_decoded_bytes: 150 * 1024 * 1024,
            max_work: 2_500_000_000,
        }
    }
}
