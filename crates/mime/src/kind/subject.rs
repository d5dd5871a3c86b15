//! Subjects: those of notices that a mail was not delivered, in many languages, and those of answers to them.

use crate::bounce::notice::prefix;
use crate::mail::Mail;
use crate::table::rows;

/// Words in the subject of a notice that a mail was not delivered, in lower case.
pub(crate) static SUBJECTS: &[&str] = &[
    "undeliver",
    "delivery status",
    "delivery failure",
    "delivery_failure",
    "delivery failed",
    "delivery report",
    "delivery notification",
    "delivery problem",
    "delivery error",
    "delivery has failed",
    "delivery warning",
    "automatically rejected mail",
    "failure notice",
    "failure delivery",
    "mail failed",
    "failure notification",
    "failed mail",
    "failed delivery",
    "mail system error",
    "mail failure",
    "mail error",
    "message you sent blocked",
    "message frozen",
    "has been frozen",
    "non-delivery",
    "nondeliver",
    "not delivered",
    "returned mail",
    "returned to sender",
    "unable to deliver",
    "could not send message",
    "couldn't be delivered",
    "could not be delivered",
    "could not deliver",
    "cannot deliver",
    "delivery delay",
    "delayed mail",
    "bounced mail",
    "mail bounced",
    "returned email",
    "returned message",
    "permanent failure",
    "postmaster notify",
    "still being retried",
    "error sending",
    "user unknown",
    "warning: could not send",
    "warning: message",
    // German.
    "unzustellbar",
    "nicht zustellbar",
    "nicht zugestellt",
    "zustellungsfehler",
    "zustellung fehlgeschlagen",
    "fehler bei der zustellung",
    // French.
    "non remis",
    "non distribu",
    "echec de distribution",
    "échec de la remise",
    "échec de la distribution",
    // Spanish, Portuguese, Italian.
    "no se puede entregar",
    "no se pudo entregar",
    "no entregado",
    "no se ha podido entregar",
    "error de entrega",
    "fallo de entrega",
    "falha na entrega",
    "errore di consegna",
    "error en la entrega",
    "não é possível entregar",
    "não entregue",
    "non recapitabile",
    "impossibile recapitare",
    "mancato recapito",
    "mancata consegna",
    // Dutch and Scandinavian languages, Finnish.
    "onbestelbaar",
    "niet bezorgd",
    "bezorging mislukt",
    "leveransfel",
    "leveringsfejl",
    "olevererbart",
    "kan inte levereras",
    "kan ikke leveres",
    "ikke leveret",
    "ei voitu toimittaa",
    "ekki hægt að afhenda",
    // Polish, Czech, Hungarian, Turkish, Russian.
    "niedostarczalne",
    "nie można dostarczyć",
    "nedoručitelné",
    "nelze doručit",
    "kézbesíthetetlen",
    "nem kézbesíthető",
    "teslim edilemedi",
    "не доставлено",
    "недоставленное",
    "не удается доставить",
    "недоставлено",
    // Japanese, Chinese, Korean.
    "メールエラー通知",
    "配信エラー",
    "配信不能",
    "配信不可",
    "配達不能",
    "送信できません",
    "配信できません",
    "退信",
    "无法传递",
    "无法送达",
    "未送达",
    "无法投递",
    "投递失败",
    "傳送失敗",
    "無法傳遞",
    "배달되지 않음",
    "반송",
];

/// The subject of a mail in lower case, as far as it is looked at: nobody's is longer.
pub(crate) fn lowered(mail: &Mail) -> String {
    const LONGEST: usize = 1_000;
    prefix(mail.subject.trim(), LONGEST).to_lowercase()
}

pub(crate) fn has_bounce_subject(subject: &str) -> bool {
    rows(SUBJECTS).any(|words| subject.contains(words))
}

/// How the subjects of answers and of forwarded mails begin, in lower case, which of the Turkish `İ` is two characters.
pub(crate) static ANSWERS: &[&str] = &[
    "re",
    "aw",
    "sv",
    "vs",
    "antw",
    "odp",
    "ynt",
    "r",
    "rif",
    "res",
    "ref",
    "fwd",
    "fw",
    "wg",
    "tr",
    "rv",
    "i",
    "enc",
    "doorst",
    "vb",
    "vl",
    "vid",
    "pd",
    "i\u{307}lt",
    "atb",
    "回复",
    "答复",
    "转发",
    "回覆",
    "轉寄",
    "返信",
    "転送",
];

/// Somebody writes about a bounce: its subject stands behind the mark of an answer.
pub(crate) fn is_answer(subject: &str) -> bool {
    let mut rest = subject;
    for _ in 0..MOST_MARKS {
        let Some(answered) = answered(rest) else { return false };
        if has_bounce_subject(prefix(answered.trim_start(), ANSWERED)) {
            return true;
        }
        rest = answered;
    }
    false
}

/// A subject that begins as that of an answer or of a forwarded mail, be it behind the number of a ticket.
pub(crate) fn is_marked(subject: &str) -> bool {
    let tagged = subject.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
    answered(subject).is_some() || tagged.is_some_and(|(_, rest)| answered(rest).is_some())
}

/// What stands behind the mark of an answer.
fn answered(subject: &str) -> Option<&str> {
    let (mark, rest) = subject.split_once([':', '：'])?;
    let mark = mark
        .trim()
        .trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '[' | ']' | '(' | ')' | '^'));
    let mark = mark.trim_end();
    rows(ANSWERS).any(|known| *known == mark).then_some(rest)
}

/// Marks of answers that are looked behind.
const MOST_MARKS: usize = 10;

/// As much of a subject as shows that a bounce's own begins there.
const ANSWERED: usize = 40;
