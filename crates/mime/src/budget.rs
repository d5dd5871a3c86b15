//! What one parse may still spend: bytes of decoded content, and work.
//!
//! A parse is a pure function and reads no clock: the same mail reads the same on a busy machine, and a limit can be
//! tested to the byte. Its time is counted as work instead. Each pass that takes long is charged the bytes it looks at,
//! times what a byte of it cost in nanoseconds at worst (measured, optimised build). Passes that find what a mail says are
//! always made, and are linear; the others are left out once the work is used up, and the content stays as it came.

use crate::defect::{Defect, Found};
use crate::limits::Limits;

/// Decoded content may be so many times as long as the mail, and [`DECODED_BASE`] bytes more: less than that no sender
/// needs, more than that no small mail may cost. So memory is bounded by the mail's length as well.
const DECODED_RATIO: usize = 3;
const DECODED_BASE: usize = 8 * 1024 * 1024;

/// A pass over bytes, by what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Transfer encodings and charsets.
    Decode,
    /// Header fields: encoded words, addresses.
    Headers,
    /// Looking for files in text.
    Uuencode,
    /// Joining the lines of flowed text.
    Flowed,
    /// Opening winmail.dat or a signature.
    Open,
    /// Unpacking rich text, and reading it as text.
    RichText,
    /// Rendering HTML as text.
    Render,
    /// Cutting tags out of HTML.
    CutTags,
    /// What kind of mail it is, and what a report says.
    Classify,
}

impl Pass {
    /// What a byte costs.
    const fn weight(self) -> u64 {
        match self {
            Self::Decode | Self::Uuencode | Self::Open => 5,
            Self::Flowed | Self::CutTags => 10,
            Self::RichText => 25,
            Self::Headers => 50,
            Self::Render | Self::Classify => 500,
        }
    }
}

/// What is left.
#[derive(Debug)]
pub(crate) struct Budget {
    decoded: usize,
    /// Something was too much: nothing more is decoded.
    is_closed: bool,
    work: u64,
}

impl Budget {
    /// For a mail of so many bytes.
    pub(crate) fn new(raw: usize, limits: &Limits) -> Self {
        let by_length = raw.saturating_mul(DECODED_RATIO).saturating_add(DECODED_BASE);
        Self { decoded: limits.max_decoded_bytes.min(by_length), is_closed: false, work: limits.max_work }
    }

    /// How many more bytes may be decoded.
    pub(crate) const fn decoded(&self) -> usize {
        if self.is_closed { 0 } else { self.decoded }
    }

    /// How many bytes what is made of decoded content may have, whether or not something was too much.
    pub(crate) const fn left(&self) -> usize {
        self.decoded
    }

    /// Counts decoded bytes; `false` where they are too many. Then nothing more is decoded: what follows is kept as it
    /// came.
    pub(crate) fn decode(&mut self, bytes: usize, found: &mut Found) -> bool {
        let fits = self.fits(bytes, found);
        if fits {
            self.decoded -= bytes;
        }
        fits
    }

    /// Whether so many bytes could be decoded: asked before they are, where they may weigh more than what they come from.
    pub(crate) fn fits(&mut self, bytes: usize, found: &mut Found) -> bool {
        let fits = bytes <= self.decoded();
        if !fits {
            self.refuse(found);
        }
        fits
    }

    /// Nothing more is decoded.
    pub(crate) fn refuse(&mut self, found: &mut Found) {
        self.is_closed = true;
        found.note(Defect::TooMuchDecoded);
    }

    /// Charges a pass that is made in any case.
    pub(crate) const fn spend(&mut self, pass: Pass, bytes: usize) {
        self.work = self.work.saturating_sub(cost(pass, bytes));
    }

    /// Charges a pass that can be left out; `false` where it must be, and so must all that follow.
    pub(crate) fn may(&mut self, pass: Pass, bytes: usize, found: &mut Found) -> bool {
        let left = self.work.checked_sub(cost(pass, bytes));
        if left.is_none() {
            found.note(Defect::TooMuchWork);
        }
        self.work = left.unwrap_or(0);
        left.is_some()
    }
}

const fn cost(pass: Pass, bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(pass.weight())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decoded_is_counted_to_the_byte() {
        let mut found = Found::default();
        let mut budget = Budget::new(1_000, &Limits { max_decoded_bytes: 10, ..Limits::default() });
        assert!(budget.decode(6, &mut found) && budget.fits(4, &mut found) && budget.decode(4, &mut found));
        assert!(found.is_empty() && budget.decode(0, &mut found));
        assert!(!budget.decode(1, &mut found));
        assert_eq!(found.into_vec(), [Defect::TooMuchDecoded]);
    }

    #[test]
    fn after_too_much_nothing_more_is_decoded() {
        let mut found = Found::default();
        let mut budget = Budget::new(1_000, &Limits { max_decoded_bytes: 10, ..Limits::default() });
        assert!(
            !budget.decode(11, &mut found) && !budget.decode(1, &mut found) && !budget.fits(1, &mut found)
        );
    }

    #[test]
    fn a_small_mail_may_decode_to_less_than_a_large_one() {
        let limits = Limits::default();
        assert!(Budget::new(0, &limits).decoded() < Budget::new(1_000_000, &limits).decoded());
        assert_eq!(Budget::new(usize::MAX, &limits).decoded(), limits.max_decoded_bytes);
    }

    #[test]
    fn work_is_counted_by_what_a_pass_costs() {
        let mut found = Found::default();
        let limits = Limits { max_work: 1_000, ..Limits::default() };
        let mut budget = Budget::new(0, &limits);
        budget.spend(Pass::Decode, 100);
        assert!(budget.may(Pass::Render, 1, &mut found) && found.is_empty());
        assert!(!budget.may(Pass::Uuencode, 1, &mut found));
        assert_eq!(found.into_vec(), [Defect::TooMuchWork]);
    }
}
