//! What a notice says of each recipient, by whom, and of which command.

use crate::bounce::excerpts;
use crate::bounce::marks::EACH_DELIVERED;
use crate::bounce::notice::{Notice, prefix};
use crate::bounce::reason::Reason;
use crate::bounce::remote;
use crate::bounce::report::Row;
use crate::bounce::status;
use crate::bounce::transcript::{self, Command};
use crate::kind::refused_post::is_returned_post;
use crate::kind::undelivered::is_rejection;
use crate::mail::{self, Mail};
use crate::table::rows;

/// With more recipients than this what is said of each is not looked for.
pub(crate) const MANY: usize = 50;

/// As much of a reply as shows whom it is about.
const LONGEST_REPLY: usize = 1_000;

/// What the notice says of each recipient. With very many of them it is not divided: that would be quadratic.
pub(crate) struct Excerpts<'a> {
    notice: &'a Notice,
    addresses: &'a [String],
    /// What is said of each.
    said: Vec<String>,
    /// The last SMTP command of the whole notice.
    command: Option<Command>,
    /// The domain of the machine that writes.
    pub(crate) machine: String,
    /// Who refused, where the kind of the notice tells.
    pub(crate) refuser: Option<Reason>,
}

/// Who refuses by a rule of his own, which is all that is known where nothing else is said: no dead address.
fn refuser(mail: &Mail) -> Option<Reason> {
    let by_list = || is_returned_post(mail).then_some(Reason::Rejected);
    is_rejection(mail).then_some(Reason::Filtered).or_else(by_list)
}

impl<'a> Excerpts<'a> {
    pub(crate) fn new(mail: &Mail, notice: &'a Notice, addresses: &'a [String]) -> Self {
        let machine = mail.from.as_ref().and_then(mail::Address::domain).unwrap_or_default();
        let said =
            if addresses.len() > MANY { Vec::new() } else { excerpts::divide(&notice.said, addresses) };
        Self {
            notice,
            addresses,
            said,
            command: transcript::command(&notice.said),
            machine,
            refuser: refuser(mail),
        }
    }

    /// The command that was answered for a recipient. Of several, what was answered last was answered to those alone of
    /// whom a reply is told.
    pub(crate) fn command(&self, address: &str, nearer: [&str; 2]) -> Option<Command> {
        let refused = self.addresses.len() <= MANY && transcript::refuses(&self.notice.said, address);
        let near = nearer.into_iter().find_map(transcript::command);
        let is_answered = self.addresses.len() == 1 || is_reply(nearer[0]);
        near.or(refused.then_some(Command::Rcpt)).or(self.command.filter(|_| is_answered))
    }

    /// Whether what is said of a recipient was said of another one: some hosts write the first reply into each row.
    pub(crate) fn is_about_another(&self, spoken: &str, row: &Row) -> bool {
        let spoken = prefix(spoken, LONGEST_REPLY).to_lowercase();
        let names = |address: &str| spoken.contains(&format!("<{}>", address.to_lowercase()));
        let own = names(&row.address) || row.original.as_deref().is_some_and(names);
        self.addresses.len() <= MANY && !own && self.addresses.iter().any(|address| names(address))
    }

    /// What is said of a recipient. Exim names an alias in a row for each address behind it: which is meant where, nobody
    /// can tell.
    pub(crate) fn about(&self, address: &str) -> &str {
        let is_it = |(_, other): &(usize, &String)| other.eq_ignore_ascii_case(address);
        let mut places = self.addresses.iter().enumerate().filter(is_it).map(|(index, _)| index);
        match (places.next(), places.next()) {
            (Some(index), None) => self.said.get(index).map_or("", String::as_str),
            _ => "",
        }
    }

    /// The host that refused, as what is said of a recipient names it, else the whole notice.
    pub(crate) fn host(&self, excerpt: &str) -> Option<String> {
        let not_own = |host: &String| *host != self.machine;
        let told = remote::host(excerpt).filter(not_own).or_else(|| remote::with_number(excerpt));
        told.or_else(|| remote::host(self.whole()).filter(not_own))
    }

    /// Whether the list of recipients says that the mail was delivered to this one.
    pub(crate) fn is_delivered(&self, address: &str) -> bool {
        let said = self.about(address);
        let behind =
            said.get(address.len()..).unwrap_or_default().trim_start_matches(['>', ' ']).to_lowercase();
        rows(EACH_DELIVERED).any(|words| behind.starts_with(words))
    }

    /// The whole notice, where it can only be about one recipient.
    pub(crate) fn whole(&self) -> &str {
        if self.addresses.len() == 1 { &self.notice.said } else { "" }
    }
}

/// Whether a server replied so; what the own machine says of its users may have a code as well (`unknown; 550 no`).
pub(crate) fn is_reply(said: &str) -> bool {
    const OWN: &[&str] = &["unknown;", "x-unix;"];
    let is_own = OWN.iter().any(|kind| said.get(..kind.len()).is_some_and(|s| s.eq_ignore_ascii_case(kind)));
    !is_own && status::reply_code(said).is_some()
}
