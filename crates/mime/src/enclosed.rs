//! Files that enclose others: what is in them is listed behind them, and the file itself stays as it came.

use std::borrow::Cow;

use crate::assemble::{Assembled, Assembler};
use crate::budget::Pass;
use crate::defect::{Defect, Found};
use crate::header;
use crate::limits::Limits;
use crate::mail::Attachment;
use crate::smime;
use crate::structure;
use crate::tnef::{self, Taking};
use crate::words::Decoder;
use mailfleet_model::Disposition;

/// Signatures within signatures that are opened.
const MAX_SIGNATURES: usize = 3;

/// What was found in the enclosing files of one mail, and what taking it out has cost so far.
#[derive(Debug, Default)]
pub(crate) struct Enclosed {
    files: usize,
    /// Signatures that are open around what is read now.
    depth: usize,
    rtf_used: usize,
    rtf_read: usize,
    text: Option<String>,
    html: Option<String>,
}

impl Enclosed {
    /// How many more files may be taken out of others.
    pub(crate) const fn room(&self, limits: &Limits) -> usize {
        limits.max_parts.saturating_sub(self.files)
    }

    /// So many were taken.
    pub(crate) const fn count(&mut self, files: usize) {
        self.files += files;
    }

    const fn has_text(&self) -> bool {
        self.text.is_some() || self.html.is_some()
    }

    /// The text of winmail.dat is that of the mail where there is no other: Outlook sends both, and some gateways keep
    /// the one only.
    pub(crate) fn stand_in(self, body: &mut Assembled) {
        if is_blank(body.text.as_ref()) && is_blank(body.html.as_ref()) {
            body.text = self.text.or(body.text.take());
            body.html = self.html.or(body.html.take());
        }
    }
}

/// Lists what the attachment at `index`, the last one, encloses.
pub(crate) fn open(to: &mut Assembler<'_>, index: usize, decoder: &mut Decoder) {
    let Some(file) = to.body.attachments.get_mut(index) else { return };
    let is_tnef = may_be_tnef(file);
    let may_be_signed = !is_tnef && to.enclosed.depth < MAX_SIGNATURES && may_be_signed(file);
    if !is_tnef && !may_be_signed || !to.budget.may(Pass::Open, file.content.len(), &mut decoder.found) {
        return;
    }
    // Lent out while it is read, not copied.
    let content = std::mem::take(&mut file.content);
    if is_tnef {
        winmail(to, &content, decoder);
    } else if to.budget.fits(content.len(), &mut decoder.found)
        && let Some(signed_content) = smime::signed_content(&content)
    {
        to.enclosed.depth += 1;
        signed(to, index, signed_content, decoder);
        to.enclosed.depth -= 1;
    }
    if let Some(file) = to.body.attachments.get_mut(index) {
        file.content = content;
    }
}

fn winmail(to: &mut Assembler<'_>, content: &[u8], decoder: &mut Decoder) {
    let mut taking = Taking {
        room: to.enclosed.room(to.limits),
        rtf_left: tnef::MAX_RTF.saturating_sub(to.enclosed.rtf_used),
        read_left: tnef::MAX_READ.saturating_sub(to.enclosed.rtf_read),
        keep_text: to.text.is_blank() && to.html.is_blank() && !to.enclosed.has_text(),
        budget: to.budget,
    };
    let opened = tnef::open(content, &mut taking, decoder);
    to.enclosed.rtf_used = tnef::MAX_RTF - taking.rtf_left;
    to.enclosed.rtf_read = tnef::MAX_READ - taking.read_left;
    to.enclosed.count(opened.files.len());
    to.enclosed.text = to.enclosed.text.take().or(opened.text);
    to.enclosed.html = to.enclosed.html.take().or(opened.html);
    to.body.attachments.extend(opened.files);
}

fn is_blank(text: Option<&String>) -> bool {
    text.is_none_or(|text| text.trim().is_empty())
}

/// Reads what was signed: a mail's parts where it says so, else a file (a signed contract, say).
fn signed(to: &mut Assembler<'_>, index: usize, content: Cow<'_, [u8]>, decoder: &mut Decoder) {
    let room = to.enclosed.room(to.limits);
    if room == 0 {
        decoder.found.note(Defect::TooManyParts);
        return;
    }
    let block = header::read(&content, 0, to.limits, &mut Found::default(), |_| false);
    if block.first("content-type").is_some() {
        // What was joined from pieces weighs beside what is read out of it.
        let joined = if matches!(content, Cow::Owned(_)) { content.len() } else { 0 };
        if !to.budget.decode(joined, &mut decoder.found) {
            return;
        }
        let limits = Limits { max_parts: room, ..to.limits.clone() };
        let parts = structure::read(&content, &limits, &mut decoder.found);
        to.enclosed.count(parts.len());
        to.parts(&parts, decoder);
        return;
    }
    if !to.budget.decode(content.len(), &mut decoder.found) {
        return;
    }
    to.enclosed.count(1);
    let name = to.body.attachments.get(index).and_then(|file| file.filename.as_deref());
    let filename = name.and_then(|name| strip_suffix(name, ".p7m")).map(str::to_owned);
    to.body.attachments.push(Attachment {
        filename: filename.filter(|name| !name.eq_ignore_ascii_case("smime")),
        mime_type: "application/octet-stream".to_owned(),
        content: content.into_owned(),
        disposition: Disposition::Attachment,
        content_id: None,
    });
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

/// By its type or name; the content says whether it is signed or encrypted.
fn may_be_signed(file: &Attachment) -> bool {
    matches!(file.mime_type.as_str(), "application/pkcs7-mime" | "application/x-pkcs7-mime")
        || file.filename.as_deref().is_some_and(|name| strip_suffix(name, ".p7m").is_some())
}

/// `name` without `suffix`, which is ASCII, in whatever case.
fn strip_suffix<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let (stem, end) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
    (!stem.is_empty() && end.eq_ignore_ascii_case(suffix)).then_some(stem)
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64_MIME;

    use crate::smime::tests::signed;
    use crate::{Limits, parse};

    /// A mail of nothing but this, signed.
    fn opaque(content: &[u8], name: &str) -> Vec<u8> {
        let head = format!(
            "Content-Type: application/pkcs7-mime; smime-type=signed-data; name={name}\n\
             Content-Transfer-Encoding: base64\n\n"
        );
        [head.as_bytes(), BASE64_MIME.encode(&signed(content)).as_bytes()].concat()
    }

    #[test]
    fn a_signed_mail_shows_its_text_and_files_and_keeps_its_signature() {
        let inner = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nDear all\r\n--x\r\n\
                     Content-Type: application/pdf; name=a.pdf\r\n\r\npdf\r\n--x--\r\n";
        let raw = [b"From: a@b.org\n", opaque(inner.as_bytes(), "smime.p7m").as_slice()].concat();
        let mail = parse(&raw, &Limits::default()).mail;
        assert_eq!(mail.content_text(), "Dear all");
        assert_eq!(names(&mail), ["smime.p7m", "a.pdf"]);
        assert_eq!(mail.attachments[0].mime_type, "application/pkcs7-mime");
    }

    #[test]
    fn a_signed_file_stands_beside_its_signature() {
        let mail = parse(&opaque(b"%PDF-1.4 contract", "contract.pdf.p7m"), &Limits::default()).mail;
        assert_eq!(names(&mail), ["contract.pdf.p7m", "contract.pdf"]);
        assert_eq!((mail.attachments[1].content.as_slice(), mail.text), (&b"%PDF-1.4 contract"[..], None));
    }

    #[test]
    fn signatures_around_signatures_are_opened_to_a_depth() {
        let mut raw = b"Content-Type: text/plain\n\nat last".to_vec();
        for _ in 0..super::MAX_SIGNATURES {
            raw = opaque(&raw, "smime.p7m");
        }
        assert_eq!(parse(&raw, &Limits::default()).mail.content_text(), "at last");
        raw = opaque(&raw, "smime.p7m");
        let mail = parse(&raw, &Limits::default()).mail;
        assert_eq!((mail.content_text().as_str(), mail.attachments.len()), ("", super::MAX_SIGNATURES + 1));
    }

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
