//! The charset of text that has no label, nor anything else in its mail that names one: told from the letters by chardetng.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, WINDOWS_1252};

use super::exact;

/// Bytes beyond ASCII that a guess needs. Fewer say nothing: they are more often a few accents of a Western language than a
/// word of another one.
const FEWEST: usize = 6;
/// Bytes beyond ASCII from which on the accents of one European language are told from those of another one.
const FEWEST_LATIN: usize = 16;
/// Of these, letters within words that windows-1252 reads otherwise. Signs (£, ½, ±) stand alone or beside a digit.
const FEWEST_OTHERS: usize = 3;
/// Bytes that are looked at, from a little before the first one beyond ASCII.
const MOST: usize = 4 * 1024;

/// The charset of 8-bit text; `None` where nothing speaks against windows-1252.
pub(super) fn detect(bytes: &[u8]) -> Option<&'static Encoding> {
    let first = bytes.iter().position(|byte| !byte.is_ascii())?;
    let from = first.saturating_sub(MOST / 8);
    let sample = bytes.get(from..bytes.len().min(from + MOST))?;
    let beyond = sample.iter().filter(|byte| !byte.is_ascii()).count();
    // A file that calls itself text has no letters, nor has a line drawn with a sign.
    if beyond < FEWEST || sample.contains(&0) || is_uniform(sample) {
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
        | "ISO-8859-10" | "ISO-8859-13" | "ISO-8859-16" => {
            beyond >= FEWEST_LATIN && other_letters(sample, encoding) >= FEWEST_OTHERS
        }
        // Of other scripts every letter is beyond ASCII.
        _ => beyond * 2 >= letters || beyond >= FEWEST_LATIN * 4,
    };
    enough.then_some(encoding)
}

/// How many letters beside another one are not what they are in windows-1252. Both charsets have one byte a character.
fn other_letters(sample: &[u8], encoding: &'static Encoding) -> usize {
    let (other, western) = (exact(encoding, sample).0, exact(WINDOWS_1252, sample).0);
    let is_letter = |at: Option<usize>| {
        let byte = at.and_then(|at| sample.get(at));
        byte.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte >= 0xc0)
    };
    let differ =
        other.chars().zip(western.chars()).enumerate().filter(|(_, (other, western))| other != western);
    let letters = differ.filter(|(_, (other, _))| other.is_alphabetic());
    letters.filter(|(at, _)| is_letter(at.checked_sub(1)) || is_letter(at.checked_add(1))).count()
}

/// Whether all beyond ASCII is the same few bytes over and over.
fn is_uniform(sample: &[u8]) -> bool {
    const FEW: usize = 3;
    let mut seen = [false; 256];
    sample.iter().filter(|byte| !byte.is_ascii()).for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count() <= FEW
}
