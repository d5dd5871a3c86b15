//! A report within a report: a gateway tells its users of a bounce by a notice of its own that names nobody, and
//! encloses the bounce it got.

use memchr::memmem;

use crate::bounce::report::{self, Row};
use crate::bounce::returned::{self, Returned};
use crate::defect::Found;
use crate::header::{self, Block};
use crate::kind::author;
use crate::limits::Limits;
use crate::mail::{Attachment, Mail};
use crate::words::Decoder;

/// Bytes of an enclosed mail that are searched.
const LONGEST: usize = 256 * 1024;

/// Enclosed mails that are looked at.
const MAILS: usize = 3;

/// What the report says that a mail encloses, and the mail which that report returns. Only reports in plain text are
/// read, as reports are (RFC 3464 section 2.1), and none within them.
pub(crate) fn report(mail: &Mail, limits: &Limits, decoder: &mut Decoder) -> Option<(Vec<Row>, Returned)> {
    let enclosed = mail.attachments.iter().filter(|file| file.mime_type == "message/rfc822").take(MAILS);
    enclosed.filter(|file| is_report(file, limits)).find_map(|file| {
        let content = file.content.get(..LONGEST).unwrap_or(&file.content);
        let text: Vec<u8> = content.iter().copied().filter(|&byte| byte != b'\r').collect();
        let lower = text.to_ascii_lowercase();
        let at = memmem::find(&lower, b"\nfinal-recipient:")?;
        let begin = memmem::rfind(lower.get(..at)?, b"\n\n").map_or(0, |at| at + 2);
        let end = memmem::find(lower.get(at..)?, b"\n--").map_or(lower.len(), |end| at + end);
        let rows = report::delivery_status(text.get(begin..end)?, limits, decoder);
        let rest = lower.get(end..).unwrap_or_default();
        let part =
            ["message/rfc822", "rfc822-headers"].iter().find_map(|kind| memmem::find(rest, kind.as_bytes()));
        let body = part.and_then(|part| Some(end + part + memmem::find(rest.get(part..)?, b"\n\n")? + 2));
        let returned =
            body.and_then(|body| text.get(body..)).map(|body| returned::read(body, limits, decoder));
        (!rows.is_empty()).then(|| (rows, returned.unwrap_or_default()))
    })
}

/// Whether a mail encloses a bounce: a report, or the mail of a machine that returns mail.
pub(crate) fn is_bounce(mail: &Mail, limits: &Limits) -> bool {
    let enclosed = mail.attachments.iter().filter(|file| file.mime_type == "message/rfc822").take(MAILS);
    enclosed.into_iter().any(|file| {
        let content = crate::parse::prepare(&file.content);
        let block = top(&content, limits);
        is_delivery_report(&block)
            || block.first("x-failed-recipients").is_some()
            || block.first("return-path").is_some_and(author::is_machines_path)
            || block.first("from").is_some_and(author::is_daemons)
    })
}

fn is_report(file: &Attachment, limits: &Limits) -> bool {
    is_delivery_report(&top(&crate::parse::prepare(&file.content), limits))
}

fn top<'a>(content: &'a [u8], limits: &Limits) -> Block<'a> {
    header::read(content, 0, limits, &mut Found::default(), |_| false)
}

fn is_delivery_report(block: &Block<'_>) -> bool {
    let kind = block.first("content-type").unwrap_or_default().to_ascii_lowercase();
    memmem::find(&kind, b"multipart/report").is_some() && memmem::find(&kind, b"delivery-status").is_some()
}
