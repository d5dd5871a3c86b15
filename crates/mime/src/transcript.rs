//! At which SMTP command a mail was refused.
//!
//! Notices say it in words of their own ("in reply to RCPT TO"), or quote the conversation: `>>>` before what was
//! sent, `<<<` before the answer. What an unknown user means depends on it: a server that answers RCPT knows its
//! mailboxes, one that answers DATA pretends.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::notice::prefix;

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
const WORDS: &[(&str, Command)] = &[
    // Postfix.
    ("in reply to end of data", Command::Data),
    ("in reply to data", Command::Data),
    ("in reply to mail from", Command::Mail),
    ("in reply to rcpt to", Command::Rcpt),
    ("in reply to ehlo", Command::Connect),
    ("in reply to helo", Command::Connect),
    ("refused to talk to me", Command::Connect),
    // Exim.
    ("after end of data", Command::Data),
    ("after pipelined end of data", Command::Data),
    ("after mail from", Command::Mail),
    ("after pipelined mail from", Command::Mail),
    ("after rcpt", Command::Rcpt),
    ("after initial connection", Command::Connect),
    ("after ehlo", Command::Connect),
    ("after helo", Command::Connect),
    // qmail and its kin.
    ("does not like recipient", Command::Rcpt),
    ("sender was rejected", Command::Mail),
    ("failed after i sent the message", Command::Data),
    ("failed on data command", Command::Data),
    ("greeting failed", Command::Connect),
    ("my name was rejected", Command::Connect),
    // DragonFly.
    ("did not like our rcpt", Command::Rcpt),
    ("did not like our mail", Command::Mail),
    ("did not like our data", Command::Data),
    ("did not like our final data", Command::Data),
    // Yahoo.
    ("[rcpt_to]", Command::Rcpt),
    ("[mail_from]", Command::Mail),
    ("[end of data]", Command::Data),
    // Others that name it.
    ("smtp:rcpt", Command::Rcpt),
    ("smtp command rcpt", Command::Rcpt),
    ("smtp command data", Command::Data),
    ("smtp command mail", Command::Mail),
    ("sent: rcpt to", Command::Rcpt),
    ("send: rcpt to", Command::Rcpt),
    ("sent: mail from", Command::Mail),
    ("send: mail from", Command::Mail),
    ("response to rcpt to", Command::Rcpt),
    ("response to mail from", Command::Mail),
    ("while sending rcpt to", Command::Rcpt),
    ("while sending mail from", Command::Mail),
    ("rcpt to generated following response", Command::Rcpt),
    // Gmail numbers its states.
    ("(state 13)", Command::Rcpt),
    ("(state 14)", Command::Rcpt),
    ("(state 17)", Command::Data),
    ("(state 18)", Command::Data),
];

/// The command that a text says was answered with a refusal: the last one it names.
pub(crate) fn command(text: &str) -> Option<Command> {
    let lower = prefix(text, LONGEST).to_ascii_lowercase();
    if let Some(command) = refused(&lower) {
        return Some(command);
    }
    let found = SEARCH.as_ref()?.find_overlapping_iter(&lower);
    let last = found.max_by_key(aho_corasick::Match::start)?;
    WORDS.get(last.pattern().as_usize()).map(|(_, command)| *command)
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
    let lower = prefix(text, LONGEST).to_ascii_lowercase();
    let sent = format!(">>> rcpt to:<{}", address.to_ascii_lowercase());
    let answer = lower.split_once(&sent).and_then(|(_, rest)| rest.split_once("<<< "));
    answer.is_some_and(|(_, answer)| answer.starts_with(['4', '5']))
}

fn named(line: &str) -> Option<Command> {
    let starts = |word: &str| line.starts_with(word);
    [("mail from", Command::Mail), ("rcpt to", Command::Rcpt), ("data", Command::Data), (".", Command::Data)]
        .into_iter()
        .chain([("ehlo", Command::Connect), ("helo", Command::Connect)])
        .find(|(word, _)| starts(word))
        .map(|(_, command)| command)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
