//! At which SMTP command a mail was refused.
//!
//! Notices say it in words of their own ("in reply to RCPT TO"), or quote the conversation, most of them with `>>>`
//! before what was sent and `<<<` before the answer. What an unknown user means depends on it: a server that answers RCPT knows its
//! mailboxes, one that answers DATA pretends.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::bounce::notice::{one_spaced, prefix};
use crate::table::{row, rows};

/// Text that is searched.
const LONGEST: usize = 16 * 1024;

/// The SMTP command that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Before any command, or at EHLO.
    Connect,
    Mail,
    Rcpt,
    Data,
}

/// Words, in lower case, that name the command which was answered, by who writes them.
pub(crate) static WORDS: &[(&str, Command)] = &[
    // Postfix.
    ("in reply to end of data", Command::Data),
    ("in reply to data", Command::Data),
    ("in reply to mail from", Command::Mail),
    ("in reply to rcpt to", Command::Rcpt),
    ("in reply to ehlo", Command::Connect),
    ("in reply to helo", Command::Connect),
    ("refused to talk to me", Command::Connect),
    ("while receiving the initial server greeting", Command::Connect),
    ("while performing the ehlo handshake", Command::Connect),
    ("while performing the helo handshake", Command::Connect),
    ("while sending rcpt to", Command::Rcpt),
    ("while sending mail from", Command::Mail),
    ("while sending data command", Command::Data),
    ("while sending message body", Command::Data),
    ("while sending end of data", Command::Data),
    // Exim.
    ("after end of data", Command::Data),
    ("after pipelined end of data", Command::Data),
    ("after sending data block", Command::Data),
    ("mail server after data", Command::Data),
    ("mail server after pipelined data", Command::Data),
    ("after mail from", Command::Mail),
    ("after pipelined mail from", Command::Mail),
    ("after rcpt", Command::Rcpt),
    ("after pipelined rcpt", Command::Rcpt),
    ("after initial connection", Command::Connect),
    ("after ehlo", Command::Connect),
    ("after helo", Command::Connect),
    ("after lhlo", Command::Connect),
    // GMX, which is an Exim of its own.
    ("after mail command", Command::Mail),
    ("after data command", Command::Data),
    // qmail and its kin.
    ("does not like recipient", Command::Rcpt),
    ("failed after i sent the message", Command::Data),
    ("failed on data command", Command::Data),
    ("greeting failed", Command::Connect),
    ("my name was rejected", Command::Connect),
    ("most progress was rcpt to", Command::Rcpt),
    ("most progress was mail from", Command::Mail),
    ("most progress was initial connection", Command::Connect),
    // DragonFly.
    ("did not like our rcpt", Command::Rcpt),
    ("did not like our mail", Command::Mail),
    ("did not like our data", Command::Data),
    ("did not like our final data", Command::Data),
    ("did not like our ehlo", Command::Connect),
    ("did not like our helo", Command::Connect),
    ("did not like our connect", Command::Connect),
    // Yahoo.
    ("[rcpt_to]", Command::Rcpt),
    ("[mail_from]", Command::Mail),
    ("[end of data]", Command::Data),
    ("[data]", Command::Data),
    ("[helo]", Command::Connect),
    ("[ehlo]", Command::Connect),
    ("[connection]", Command::Connect),
    // OpenSMTPD, which tells what was answered for each recipient and names no command: mostly that one.
    ("attempting to deliver a message for the following list of recipients", Command::Rcpt),
    // James, by the errors of its library.
    ("smtpaddressfailedexception", Command::Rcpt),
    ("smtpsenderfailedexception", Command::Mail),
    // Others that name it.
    ("smtp:rcpt", Command::Rcpt),
    ("smtp:mail", Command::Mail),
    ("smtp:data", Command::Data),
    ("smtp:conn", Command::Connect),
    ("smtp command rcpt", Command::Rcpt),
    ("smtp command data", Command::Data),
    ("smtp command mail", Command::Mail),
    ("following rcpt command", Command::Rcpt),
    ("following mail command", Command::Mail),
    ("following data command", Command::Data),
    ("sent: rcpt to", Command::Rcpt),
    ("send: rcpt to", Command::Rcpt),
    ("sent: mail from", Command::Mail),
    ("send: mail from", Command::Mail),
    ("response to rcpt to", Command::Rcpt),
    ("response to mail from", Command::Mail),
    ("response to data", Command::Data),
    ("rcpt to generated following response", Command::Rcpt),
    // Gmail numbers its states. Those up to 12 are encryption and authentication: no command of the mail.
    ("(state 13)", Command::Mail),
    ("(state 14)", Command::Rcpt),
    ("(state 15)", Command::Data),
    ("(state 17)", Command::Data),
    ("(state 18)", Command::Data),
];

/// The command that a text says was answered with a refusal: the last one it names.
pub(crate) fn command(text: &str) -> Option<Command> {
    let lower = conversation(text);
    if let Some(command) = refused(&lower) {
        return Some(command);
    }
    let found = SEARCH.as_ref()?.find_overlapping_iter(&lower);
    let found = found.filter_map(|found| Some((found.start(), row(WORDS, found.pattern().as_usize())?)));
    found.max_by_key(|(start, _)| *start).map(|(_, (_, command))| *command)
}

/// How conversations are quoted by others than sendmail and its kin: what it is here.
pub(crate) static ARROWS: &[(&str, &str)] = &[
    // InterScan, the wrong way round.
    ("sent <<< ", ">>> "),
    ("received >>> ", "<<< "),
    // MDaemon.
    ("--> ", ">>> "),
    ("<-- ", "<<< "),
];

/// A text in lower case with single spaces, its quoted conversation as sendmail writes it.
fn conversation(text: &str) -> String {
    let lower = one_spaced(prefix(text, LONGEST));
    rows(ARROWS).fold(lower, |text, (theirs, ours)| text.replace(theirs, ours))
}

/// Finds all words in one pass. They are few and short, which is all that can make this fail.
static SEARCH: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::new(WORDS.iter().map(|(words, _)| words)).ok());

/// The command of a quoted conversation whose answer is the last refusal. A refusal of the order of commands (503)
/// only follows from another.
fn refused(lower: &str) -> Option<Command> {
    let mut sent = None;
    let mut refused = None;
    for piece in lower.split(">>> ").flat_map(|sent| sent.split("<<< ").enumerate()) {
        match piece {
            // Sendmail, of a greeting that refuses: nothing was sent yet.
            (0, line) if line.trim_end().ends_with(':') && line.contains("while talking to ") => {
                sent = Some(Command::Connect);
            }
            (0, line) => sent = named(line),
            (_, answer) => {
                if answer.starts_with(['4', '5']) && !answer.starts_with("503") {
                    refused = sent.or(refused);
                }
            }
        }
    }
    refused
}

/// Whether a quoted conversation refuses just this recipient.
pub(crate) fn refuses(text: &str, address: &str) -> bool {
    let lower = conversation(text);
    let sent = format!(">>> rcpt to:<{}>", address.to_ascii_lowercase());
    let answer = lower.split_once(&sent).and_then(|(_, rest)| rest.split_once("<<< "));
    answer.is_some_and(|(_, answer)| answer.starts_with(['4', '5']))
}

/// How a line begins that a client sends, in lower case (RFC 5321 section 4.1.1); Courier names what comes before any.
pub(crate) static COMMANDS: &[(&str, Command)] = &[
    ("mail from", Command::Mail),
    ("rcpt to", Command::Rcpt),
    ("data", Command::Data),
    (".", Command::Data),
    ("ehlo", Command::Connect),
    ("helo", Command::Connect),
    ("(initial greeting", Command::Connect),
];

fn named(line: &str) -> Option<Command> {
    let starts = |word: &str| line.starts_with(word);
    rows(COMMANDS).find(|(word, _)| starts(word)).map(|(_, command)| *command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_refuses_the_recipient_it_names_and_none_whose_address_is_shorter() {
        let text = ">>> RCPT To:<a@b.com>\n<<< 550 no\n>>> RCPT To:<a@b.co> NOTIFY=FAILURE\n<<< 250 ok\n";
        assert!(refuses(text, "A@b.com"));
        assert!(!refuses(text, "a@b.co"));
    }

    #[test]
    fn a_greeting_that_refuses_answers_no_command() {
        let talking = "... while talking to mx.example.org.:\n";
        assert_eq!(command(&format!("{talking}<<< 554 go away")), Some(Command::Connect));
        assert_eq!(command(&format!("{talking}>>> DATA\n<<< 554 go away")), Some(Command::Data));
    }

    #[test]
    fn the_command_that_was_answered_is_the_last_one_refused() {
        assert_eq!(command(">>> MAIL From:<a@b>\n<<< 250 ok\n>>> DATA\n<<< 550 no"), Some(Command::Data));
        assert_eq!(
            command(">>> RCPT To:<a@b>\n<<< 550 Unknown user\n>>> DATA\n<<< 503 Bad sequence"),
            Some(Command::Rcpt)
        );
        assert_eq!(command("550 no (in reply to MAIL FROM command)"), Some(Command::Mail));
        assert_eq!(command("550 no (in reply to RCPT TO command)"), Some(Command::Rcpt));
        assert_eq!(command("550 no"), None);
        assert_eq!(command(">>> (initial greeting)\n<<< 554 no"), Some(Command::Connect));
        let state = |number: u8| command(&format!("The error was: 550 550 no (state {number})."));
        assert_eq!(
            [13, 14, 15, 18].map(state),
            [Command::Mail, Command::Rcpt, Command::Data, Command::Data].map(Some)
        );
        assert_eq!(
            [6, 8, 9, 12].map(state),
            [None; 4],
            "where the server it relays through refuses the sender's login"
        );
    }
}
