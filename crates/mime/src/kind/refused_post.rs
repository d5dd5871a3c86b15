//! Posts that a manager of mailing lists refuses: the list was the recipient, and the mail did not reach it.

use crate::address;
use crate::bounce::notice::{one_spaced, prefix};
use crate::defect::Found;
use crate::header;
use crate::kind::author::{has_no_author, is_daemon, is_named_daemon};
use crate::kind::subject::{is_marked, lowered};
use crate::limits::Limits;
use crate::mail::{Address, Mail};
use crate::table::rows;
use crate::words::Decoder;

/// A manager of mailing lists refuses a post: fml says so in the subject.
pub(crate) fn is_refused_post(mail: &Mail, subject: &str) -> bool {
    mail.header("x-mlserver").is_some() && rows(REFUSED_POST).any(|words| subject.contains(words))
}

/// Words, in lower case, of the subjects of fml.
pub(crate) static REFUSED_POST: &[&str] = &["are not member", "not a member", "rejected", "fml system error"];

/// Words, in lower case, by which a manager of mailing lists refuses a post that it returns.
pub(crate) static RETURNED_POST: &[&str] = &[
    "was rejected",
    "has been rejected",
    "has been automatically rejected",
    "was automatically rejected",
    "unable to be delivered",
    "was denied",
    "has been denied",
    "was refused",
    "has been refused",
    "not allowed to post",
];

/// Somebody's own mail comes back to him from a list, with words that it was refused: so Mailman and mlmmj refuse posts,
/// with the name of the list as their own and any subject.
pub(crate) fn is_returned_post(mail: &Mail) -> bool {
    const LONGEST: usize = 1_000;
    const HEADER: usize = 64 * 1024;
    let enclosed = mail.attachments.iter().find(|file| file.mime_type == "message/rfc822");
    let Some(file) = enclosed else { return false };
    let is_daemons = is_daemon(mail) || is_named_daemon(mail) || has_no_author(mail);
    if is_daemons || !is_list_managers(mail) || !mail.in_reply_to.is_empty() || is_marked(&lowered(mail)) {
        return false;
    }
    let said = one_spaced(prefix(mail.shown_text(), LONGEST));
    if !rows(RETURNED_POST).any(|words| said.contains(words)) {
        return false;
    }
    let content = crate::parse::prepare(file.content.get(..HEADER).unwrap_or(&file.content));
    let block = header::read(&content, 0, &Limits::default(), &mut Found::default(), |_| false);
    let author = block.first("from").map(|raw| address::read(raw, 1, &mut Decoder::new(100)));
    author.is_some_and(|author| {
        let is_own = |to: &Address| author.iter().any(|from| from.address.eq_ignore_ascii_case(&to.address));
        mail.to.iter().take(1).any(is_own)
    })
}

/// Whether a manager of mailing lists writes: by the address of a list's owner, or with the fields of a list.
fn is_list_managers(mail: &Mail) -> bool {
    let local = mail.from.iter().find_map(|from| from.address.split('@').next()).unwrap_or_default();
    let is_owners = |name: &&str| {
        let before = local.len().checked_sub(name.len() + 1);
        let end = before.and_then(|at| local.get(at..));
        end.is_some_and(|end| end.starts_with(['-', '+']) && end[1..].eq_ignore_ascii_case(name))
    };
    rows(OWNERS).any(is_owners) || mail.header("list-id").is_some()
}

/// How the local parts of those end who speak for a list, behind its name.
pub(crate) static OWNERS: &[&str] = &["owner", "bounces"];
