//! Notices of AOL name recipients by their screen names alone, indented below a sentence.

use crate::limits::Limits;
use crate::mail::{Address, Mail};

/// The addresses at AOL that a notice of its own names; none where another machine writes.
pub(crate) fn screen_names(mail: &Mail, said: &str, limits: &Limits) -> Vec<String> {
    let domain = mail.from.as_ref().and_then(Address::domain).unwrap_or_default();
    if domain != "aol.com" {
        return Vec::new();
    }
    let names = said.lines().skip_while(|line| !line.contains("following recipients")).skip(1);
    let names = names.skip_while(|line| !line.starts_with([' ', '\t'])).map_while(screen_name);
    names.take(limits.max_recipients).map(|name| format!("{name}@{domain}")).collect()
}

/// AOL's names are letters and digits, at most 32 of them, and begin with a letter.
fn screen_name(line: &str) -> Option<String> {
    let name = line.trim();
    let is_name = (3..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric());
    is_name.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use crate::Limits;

    #[test]
    fn recipients_at_aol_are_named_by_their_screen_names() {
        let mail = "From: MAILER-DAEMON@aol.com\nTo: a@b.c\nSubject: Mail Delivery Problem\n\nSorry a@b.c. Your mail to \
                    the following recipients could not be delivered because they are not accepting mail:\n\tsomeone\n\tother1\n\nBye\n";
        let read = |mail: &str| {
            let bounce = crate::parse(mail.as_bytes(), &Limits::default()).mail.bounce.expect("a bounce");
            bounce.recipients.into_iter().map(|r| r.address).collect::<Vec<_>>()
        };
        assert_eq!(read(mail), ["someone@aol.com", "other1@aol.com"]);
        assert!(
            read(&mail.replace("@aol.com", "@b.c")).iter().all(|address| !address.starts_with("someone"))
        );
    }
}
