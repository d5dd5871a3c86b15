//! Turns any bytes into a mail: total, bounded, and honest about what was wrong with them.
//!
//! [`parse`] never fails and never panics; what it had to bend or leave undone is listed as [`Defect`]s, and what
//! it could not take apart is kept as an opaque attachment. No I/O, no clock, no allocation without a bound.
//!
//! mailparse reads the structure of ordinary mail, header fields and well-formed base64. Around it stand, each in its
//! module, the parts that keep hostile or broken mail from failing as a whole or running away:
//!
//! - `ordinary` gives a mail to `mailparse::parse_mail` if that can be done in bounded time, and takes its parts if
//!   nothing about them is odd: sound header blocks, exact boundaries, all closed, nothing behind them;
//! - `structure` cuts every other mail in one pass over the lines, with exact boundaries: mailparse's own recursion
//!   scans the body once per level, takes a boundary for any longer one that begins like it, drops what stands behind
//!   the last one, and gives up the whole mail beyond 100 levels. Of ordinary mail both give the same parts;
//! - encoded words are decoded in linear time, across word limits and with charset aliases; text under a wrong label or
//!   none is read as what its bytes are (`charsets`);
//! - parameters (RFC 2231) are read in one pass, in pieces however numbered and with half of their marks;
//! - base64 and quoted-printable fall back to lenient decoders that lose no byte;
//! - winmail.dat (`tnef`) and opaque signatures (`smime`) are opened, what they hold stands beside them (`enclosed`);
//! - files in text (uuencode) are taken out of it, and text that was broken for transport is whole again (`flowed`);
//! - addresses and dates are read as people write them.
//!
//! What a mail is, a person's or a machine's, stands in `kind`; who bounced and why in `bounce`.
//!
//! [`peek`] reads the few top header fields that decide a mail's priority and tenant, [`canonical`] gives the bytes
//! its identity is made of, and [`json`] is the record that `mailfleet parse --json` prints.

mod address;
mod assemble;
mod bounce;
mod budget;
mod canonical;
mod charsets;
mod content_type;
mod date;
mod defect;
mod display;
mod enclosed;
mod filename;
mod flowed;
mod header;
mod html;
pub mod json;
mod kind;
mod limits;
mod mail;
mod message_id;
mod ordinary;
mod parse;
mod peek;
mod smime;
mod stray;
mod structure;
mod table;
mod tnef;
mod transfer;
mod uuencode;
mod words;

pub use bounce::reason::Reason;
pub use canonical::canonical;
pub use defect::Defect;
pub use limits::Limits;
pub use mail::{
    Address, Attachment, Bounce, BounceKind, DateSource, Mail, MessageType, Original, Parsed, Recipient,
    TextSource,
};
pub use parse::parse;
pub use peek::{Peek, peek};
pub use stray::{Place, Stray};
