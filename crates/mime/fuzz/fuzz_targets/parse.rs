//! Any bytes are a mail: reading them ends, gives text without NUL, keeps no more bytes than came in many times over, and
//! gives the same mail when it is stored in canonical form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailfleet_mime::{Limits, canonical, parse, peek};

fuzz_target!(|raw: &[u8]| {
    let parsed = parse(raw, &Limits::default());
    let mail = &parsed.mail;
    assert!(!mail.content_text().contains('\0') && !mail.content_html().contains('\0'));
    assert!(mail.headers.iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0')));
    let kept: usize = mail.attachments.iter().map(|attachment| attachment.content.len()).sum();
    assert!(kept <= 4 * raw.len() + 1024, "{kept} bytes of {}", raw.len());
    let _ = mail.headers_json();
    let _ = peek(raw);
    let once = canonical(raw);
    assert_eq!(canonical(&once), once);
});
