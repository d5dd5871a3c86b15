//! File names that are safe to store and to show.

use crate::defect::{Defect, Found};

/// Longest name kept, in characters; longer ones lose their middle, never their extension.
const MAX_CHARS: usize = 200;

/// The name without any path, control or direction-changing characters; `None` where nothing is left.
pub(crate) fn sanitise(name: &str, found: &mut Found) -> Option<String> {
    let base = name.rsplit(['/', '\\']).find(|piece| !piece.trim().is_empty()).unwrap_or_default();
    let clean: String = base.chars().filter(|&c| !c.is_control() && !is_bidi_control(c)).collect();
    let mut clean = clean.trim().to_owned();
    if clean.chars().all(|c| c == '.') {
        clean.clear();
    }
    if clean.chars().count() > MAX_CHARS {
        let chars: Vec<char> = clean.chars().collect();
        // In bounds: there are more than MAX_CHARS of them.
        clean = chars[..MAX_CHARS - 20].iter().chain(&chars[chars.len() - 20..]).collect();
    }
    if clean != name.trim() {
        found.note(Defect::UnsafeFilename(name.to_owned()));
    }
    (!clean.is_empty()).then_some(clean)
}

/// Characters that make `exe.pdf` of `fdp.exe` on the screen.
const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_gets_through() {
        let clean = |name: &str| sanitise(name, &mut Found::default());
        assert_eq!(clean("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(clean("C:\\Windows\\evil.exe").as_deref(), Some("evil.exe"));
        assert_eq!(clean("a\u{202e}fdp.exe").as_deref(), Some("afdp.exe"));
        assert_eq!(clean("a\nb\0.txt").as_deref(), Some("ab.txt"));
        assert_eq!(clean(".."), None);
        assert_eq!(clean("  "), None);
        let long = format!("{}.pdf", "x".repeat(1000));
        let kept = clean(&long).unwrap();
        assert!(kept.chars().count() == MAX_CHARS && kept.rsplit('.').next() == Some("pdf"));
    }
}
