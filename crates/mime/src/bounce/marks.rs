//! The words by which notices of bounces are divided, as data: what they say before the list of recipients, before
//! the mail they return, and of whom else they speak.
//!
//! All stand in lower case, with single spaces: they are looked for in text made so, and may be wrapped there. The
//! layouts that hold them are in `tests/layouts`, and the mail that needs each row in `tests/corpus/rows`. What a refusal
//! means is not told here: that is `rules`.

/// Below these the returned mail begins.
pub(crate) static RETURNED_BELOW: &[&str] = &[
    // Exim and its kin.
    "this is a copy of the message",
    "this is a copy of your message",
    "header of the original message",
    "message text follows: ----",
    "message header follows: ----",
    // Sendmail.
    "-- original message",
    "- message header follows -",
    "unsent message follows",
    // qmail and its kin.
    "below this line is",
    "below the next line is",
    "mensaje original adjunto",
    "original message follows",
    "copy of the message follows",
    "returned message follows",
    "your message follows",
    "the text you sent follows",
    // OpenSMTPD, DragonFly, MailEnable, SmarterMail.
    "below is a copy of the original message",
    "message headers follow",
    "header and top 20 lines of the message follow",
    "included is a copy of the message header",
    "no message was collected",
    // Notes, m-FILTER and others.
    "- returned message -",
    "---original message ",
    "---original mail info",
    "start of returned message",
    "returned mail follows",
    "here is your returned mail",
    "- returned mail -",
    "your message reads",
    "the message i received",
];

/// Fields that begin a returned header.
pub(crate) static FIELDS: &[&str] = &["received:", "return-path:", "from:", "message-id:"];

/// Above the recipients that failed.
pub(crate) static LISTED_BELOW: &[&str] = &[
    "following recipient",
    "following address",
    "following destination",
    "following user",
    "following e-mail address",
    "following email address",
    "following message to",
    "these recipients",
    "recipients were affected",
    "list of recipients",
    "recipients of this delivery",
    "addresses had",
    "failed recipient",
    "failed address",
    "address to which the message has not yet been delivered",
    "have yet to be delivered",
    "recipient addresses that were incorrectly",
    "undeliverable address",
    "undeliverable to",
    "intended recipient",
    "originally addressed to",
    "did not receive a copy",
    "error-for:",
    "delivered to",
    "deliver to",
    "deliver message to",
    "rejected your message to",
    "failure reasons",
    // German.
    "folgende empfänger",
    "folgende(r) empfänger",
    "folgenden empfänger",
    "folgende adresse",
    "zugestellt an",
    // French.
    "destinataires suivants",
    "destinataire suivant",
    "destinataire(s) suivant(s)",
    "ces destinataires",
    "distribué à",
    // Spanish, Portuguese, Italian.
    "siguientes destinatarios",
    "siguientes direcciones",
    "estos destinatarios",
    "seguintes destinatários",
    "estes destinatários",
    "seguenti destinatari",
    "recapitato a",
    // Dutch and Scandinavian languages.
    "volgende geadresseerde",
    "volgende ontvanger",
    "deze geadresseerden",
    "följande mottagare",
    "følgende modtager",
    "følgende mottaker",
    // Polish, Russian.
    "następujących adresatów",
    "następujących odbiorców",
    "следующим получателям",
    "следующим адресатам",
    // Japanese, Chinese, Korean.
    "次の受信者",
    "以下の受信者",
    "次の宛先",
    "以下の宛先",
    "下記の宛先",
    "以下のメールアドレス",
    "以下收件人",
    "下列收件人",
    "다음 받는 사람",
];

/// How lines begin that name others than the recipients that failed.
pub(crate) static OTHERS: &[&str] = &[
    "from:",
    "mail from:",
    ">>> mail from:",
    "--> mail from:",
    "sender:",
    "sender address:",
    "the sender is",
    "original sender:",
    "original-envelope-id:",
    "reply-to:",
    "return-path:",
    "cc:",
    "subject:",
    "system contact:",
    "contact:",
    "reporting-mta:",
    "sender-mta:",
    "de:",
    "von:",
];

/// Lines of the mail's own header, which name its addressees: they count where nobody else is named.
pub(crate) static ADDRESSEES: &[&str] = &["to:", "an:", "à:", "para:"];

/// Before the address that the mail was sent to and that stands for the one which failed; as Exim, sendmail and
/// Postfix write them.
pub(crate) static ORIGINALS: &[&str] = &["generated from", "expanded from"];

/// Local parts of machines: the recipient that failed only where the notice says so outright.
pub(crate) static MACHINES: &[&str] = &["postmaster", "mailer-daemon"];

/// A notice that gives no mail up.
pub(crate) static LATE: &[&str] = &[
    "will be retried",
    "will keep trying",
    "will continue trying",
    "warning message only",
    "this is a warning only",
    "still being retried",
    "delivery attempts will continue",
    "continue to try to deliver",
    "has been postponed",
    "this is just a warning",
    "delivery attempts will be made",
    "following recipient has been delayed",
    "still awaiting delivery",
    "do not need to resend your message",
    "additional attempts to deliver",
    "only a temporary failure report",
];

/// How the subjects of such notices begin, in lower case.
pub(crate) static LATE_SUBJECTS: &[&str] = &[
    "delayed mail",
    "delivery delay",
    "delivery status notification (delay",
    "delivery status notification: delay",
    "warning: could not send message for",
    "warning: delayed mail",
];

/// What stands behind a recipient in a notice that tells of deliveries too, as sendmail and Exim write it.
pub(crate) static EACH_DELIVERED: &[&str] =
    &["(successfully delivered", "(relayed to non-dsn", "(relayed via non dsn", "(delivered)"];

/// A notice that a mail was delivered, as its sender wished to be told.
pub(crate) static DELIVERED: &[&str] = &[
    "was successfully delivered",
    "has been successfully delivered",
    "had successful delivery notifications",
    "message was relayed to these recipients",
    "requested a delivery acknowledgement",
    "your message has been delivered to the following recipients",
    "delivery to these recipients or groups is complete",
    "wurde erfolgreich zugestellt",
];

/// A notice that a mail was not delivered, in its text.
pub(crate) static UNDELIVERED: &[&str] = &[
    "could not be delivered",
    "was not delivered",
    "wasn't delivered",
    "were not delivered",
    "has not been delivered",
    "has not yet been delivered",
    "couldn't be delivered",
    "cannot be delivered",
    "can't be delivered",
    "could not be sent",
    "did not reach",
    "unable to deliver",
    "not able to deliver",
    "wasn't able to deliver",
    "failed to deliver",
    "delivery failed",
    "delivery has failed",
    "delivery to the following",
    "was undeliverable",
    "had delivery problems",
    "had delivery errors",
    "had permanent fatal errors",
    "awaiting delivery",
    "was automatically rejected",
    "error message below",
    "requested action not taken",
    "transcript of session follows",
    "unsent message follows",
    "undeliverable to",
    "not delivered to the following",
    "unknown user:",
    "no such user here",
    "user's mailbox is full",
    "trouble delivering your",
    "error delivering your",
    "nicht zugestellt",
    "nicht erreicht",
    "n'a pas été remis",
    "n'a pas pu être remis",
    "no pudo ser entregado",
    "no se pudo entregar",
    "não foi entregue",
    "non è stato recapitato",
    "kan niet worden bezorgd",
    "kon niet worden bezorgd",
    "не доставлено",
    "не может быть доставлено",
    "配信できません",
    "送信できません",
    "送信に失敗",
    "届けられません",
    "无法送达",
    "无法投递",
];
