//! Any bytes as the HTML of a mail that has no text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailfleet_mime::{Limits, parse};

fuzz_target!(|html: &[u8]| {
    let raw = [b"Content-Type: text/html; charset=utf-8\n\n", html].concat();
    let parsed = parse(&raw, &Limits::default());
    assert!(!parsed.mail.content_text().contains('\0'));
});
