//! The charset of text that has no label, nor anything else in its mail that names one: told from the letters by chardetng.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::Encoding;

/// Bytes beyond ASCII that a guess needs. Fewer say nothing: they are more often a few accents of a Western language than a
/// word of another one.
const FEWEST: usize = 6;
/// Bytes beyond ASCII from which on the accents of one European language are told from those of another one.
const FEWEST_LATIN: usize = 16;
/// Bytes that are looked at, from a little before the first one beyond ASCII.
const MOST: usize = 4 * 1024;

/// The charset of 8-bit text; `None` where nothing speaks against windows-1252.
pub(super) fn detect(bytes: &[u8]) -> Option<&'static Encoding> {
    let first = bytes.iter().position(|byte| !byte.is_ascii())?;
    let from = first.saturating_sub(MOST / 8);
    let sample = bytes.get(from..bytes.len().min(from + MOST))?;
    let beyond = sample.iter().filter(|byte| !byte.is_ascii()).count();
    // A file that calls itself text has no letters.
    if beyond < FEWEST || sample.contains(&0) {
        return None;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(sample, true);
    let encoding = detector.guess(None, Utf8Detection::Deny);
    let letters = sample.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let enough = match encoding.name() {
        "windows-1252" => false,
        // Of accents there are few among the letters, and they look alike.
        "windows-1250" | "windows-1254" | "windows-1257" | "windows-1258" | "ISO-8859-2" | "ISO-8859-4"
        | "ISO-8859-10" | "ISO-8859-13" | "ISO-8859-16" => beyond >= FEWEST_LATIN,
        // Of other scripts every letter is beyond ASCII.
        _ => beyond * 2 >= letters || beyond >= FEWEST_LATIN * 4,
    };
    enough.then_some(encoding)
}
