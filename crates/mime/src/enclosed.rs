//! Files that enclose others: what is in them is listed behind them, and the file itself stays as it came.

use crate::assemble::{Assembled, Assembler};
use crate::mail::Attachment;
use crate::tnef;
use crate::words::Decoder;

/// What was found in the enclosing files of one mail, and what taking it out has cost so far.
#[derive(Debug, Default)]
pub(crate) struct Enclosed {
    files: usize,
    rtf_used: usize,
    text: Option<String>,
    html: Option<String>,
}

impl Enclosed {
    /// The text of winmail.dat is that of the mail where there is no other: Outlook sends both, and some gateways keep
    /// the one only.
    pub(crate) fn stand_in(self, body: &mut Assembled) {
        let empty = |text: &Option<String>| text.as_ref().is_none_or(|text| text.trim().is_empty());
        if empty(&body.text) && empty(&body.html) {
            body.text = self.text.or(body.text.take());
            body.html = self.html.or(body.html.take());
        }
    }
}

/// Lists what the attachment at `index`, the last one, encloses.
pub(crate) fn open(to: &mut Assembler<'_>, index: usize, decoder: &mut Decoder) {
    let Some(file) = to.body.attachments.get(index) else { return };
    if may_be_tnef(file) {
        let room = to.limits.max_parts.saturating_sub(to.enclosed.files);
        let opened = tnef::open(&file.content, room, &mut to.enclosed.rtf_used, decoder);
        to.enclosed.files += opened.files.len();
        to.enclosed.text = to.enclosed.text.take().or(opened.text);
        to.enclosed.html = to.enclosed.html.take().or(opened.html);
        to.body.attachments.extend(opened.files);
    }
}

/// By its type or name; of what says nothing else the first bytes decide.
fn may_be_tnef(file: &Attachment) -> bool {
    let says = match file.mime_type.as_str() {
        "application/ms-tnef" | "application/vnd.ms-tnef" => true,
        "application/octet-stream" => tnef::is_tnef(&file.content),
        _ => false,
    };
    says || file.filename.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("winmail.dat"))
}

#[cfg(test)]
mod tests {
    use crate::{Limits, parse};

    /// Carries one text and one file, `a.txt`.
    const WINMAIL: &str =
        "eJ8+IgEAAQyAAgAGAAAASGVsbG8AAAACApAGAAAAAAAAAAIQgAEABgAAAGEudHh0AAAAAg+ABgAEAAAAZmlsZQAA";

    fn mail(text: &str, head: &str) -> crate::Mail {
        let raw = format!(
            "From: a@b.org\nContent-Type: multipart/mixed; boundary=b\n\n{text}--b\n{head}\nContent-Transfer-Encoding: base64\n\n\
             {WINMAIL}\n--b--\n"
        );
        parse(raw.as_bytes(), &Limits::default()).mail
    }

    fn names(mail: &crate::Mail) -> Vec<&str> {
        mail.attachments.iter().filter_map(|file| file.filename.as_deref()).collect()
    }

    #[test]
    fn the_files_of_winmail_dat_stand_behind_it() {
        for head in [
            "Content-Type: application/ms-tnef; name=\"winmail.dat\"",
            "Content-Type: application/octet-stream; name=WINMAIL.DAT",
            "Content-Type: application/octet-stream; name=x\nContent-Disposition: attachment; filename=winmail.dat",
        ] {
            let mail = mail("--b\n\nSee the file.\n", head);
            assert_eq!(names(&mail)[1..], ["a.txt", "message.txt"], "{head}");
            assert_eq!(mail.attachments[1].content, b"file");
            assert_eq!(mail.content_text(), "See the file.");
        }
    }

    #[test]
    fn the_text_in_winmail_dat_stands_in_for_a_missing_one() {
        assert_eq!(mail("", "Content-Type: application/ms-tnef; name=winmail.dat").content_text(), "Hello");
    }
}
