//! The packing of RTF in Exchange (MS-OXRTFCP): literals and references into a ring of 4 KiB that begins filled.

use super::properties::Reader;

/// What the ring holds before the first byte.
const BEGIN: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \
\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\
\\b\\i\\u\\tab\\tx";
const RING: usize = 4096;
/// Bytes of one token.
const LONGEST: usize = 17;
const PACKED: u32 = 0x7546_5a4c;
const STORED: u32 = 0x414c_454d;

/// Why something stays packed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// It is no RTF in this packing.
    NotPacked,
    /// It says that it is longer than it may be.
    TooLong,
}

/// Unpacks RTF of at most `most` bytes. What ends early gives what came.
pub(super) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Closed> {
    let mut reader = Reader::new(packed);
    let mut number = || reader.u32().ok_or(Closed::NotPacked);
    let (_packed_size, size, kind, _checksum) = (number()?, number()?, number()?, number()?);
    let wanted = usize::try_from(size).unwrap_or(usize::MAX);
    match kind {
        STORED | PACKED if wanted > most => Err(Closed::TooLong),
        STORED => Ok(reader.up_to(size).to_vec()),
        PACKED => Ok(expand(reader, wanted, packed.len())),
        _ => Err(Closed::NotPacked),
    }
}

/// A token is at most 17 bytes long, so that this ends after `wanted` bytes or with the input.
///
/// The ring is the end of what was written: a place in it is so many bytes back, and before the first byte stand those
/// that it begins with.
fn expand(mut reader: Reader<'_>, wanted: usize, packed: usize) -> Vec<u8> {
    // Two bytes and a bit stand for 17 at most.
    let wanted = RING + wanted.min(packed.saturating_mul(9));
    let mut out = Vec::with_capacity(wanted + LONGEST);
    out.resize(RING - BEGIN.len(), b' ');
    out.extend_from_slice(BEGIN);
    'tokens: while let Some(flags) = reader.byte() {
        for bit in 0..8 {
            if out.len() >= wanted {
                break 'tokens;
            }
            if flags >> bit & 1 == 0 {
                let Some(byte) = reader.byte() else { break 'tokens };
                out.push(byte);
                continue;
            }
            let (Some(high), Some(low)) = (reader.byte(), reader.byte()) else { break 'tokens };
            let (place, length) = (usize::from(high) << 4 | usize::from(low >> 4), usize::from(low & 15) + 2);
            let back = (BEGIN.len() + out.len() - place) % RING;
            if back == 0 {
                break 'tokens;
            }
            let from = out.len() - back;
            if back >= length {
                out.extend_from_within(from..from + length);
            } else {
                // It repeats what it has just written.
                for at in from..from + length {
                    out.extend(out.get(at).copied());
                }
            }
        }
    }
    out.truncate(wanted);
    out.drain(..RING);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(size: u32, kind: u32) -> Vec<u8> {
        [0, size, kind, 0].into_iter().flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn the_example_of_the_specification_is_unpacked() {
        assert_eq!(BEGIN.len(), 207);
        let mut packed = header(43, PACKED);
        packed.extend_from_slice(&[
            0x03, 0x00, 0x0a, 0x00, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20,
            0x68, 0x65, 0x6c, 0x09, 0x00, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f,
            0xa0,
        ]);
        assert_eq!(unpack(&packed, 100).unwrap(), b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n");
        assert_eq!(unpack(&packed, 42), Err(Closed::TooLong), "a bomb is left packed");
        assert!(unpack(&packed[..30], 100).unwrap().starts_with(b"{\\rtf1\\ansi"));
    }

    #[test]
    fn stored_rtf_is_taken_as_it_is() {
        let mut stored = header(5, STORED);
        stored.extend_from_slice(b"{\\rt}more");
        assert_eq!(unpack(&stored, 100).unwrap(), b"{\\rt}");
        assert_eq!(unpack(b"", 100), Err(Closed::NotPacked));
    }
}
