//! Any bytes as the machine-readable part of a delivery report, and as the notice above it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailfleet_mime::{Limits, parse};

const TOP: &[u8] = b"From: MAILER-DAEMON@example.com\nSubject: Undelivered Mail\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\n";
const STATUS: &[u8] = b"\n--b\nContent-Type: message/delivery-status\n\n";

fuzz_target!(|bytes: &[u8]| {
    let (notice, status) = bytes.split_at(bytes.len() / 2);
    let raw = [TOP, notice, STATUS, status, b"\n--b--\n"].concat();
    let limits = Limits::default();
    let parsed = parse(&raw, &limits);
    if let Some(bounce) = parsed.mail.bounce {
        assert!(bounce.recipients.len() <= limits.max_recipients);
    }
});
