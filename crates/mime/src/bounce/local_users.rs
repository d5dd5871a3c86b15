//! Users whom sendmail names without a domain, for they are its own: `550 5.1.1 ann... User unknown`.

use crate::bounce::named::is_status;
use crate::bounce::status;
use crate::limits::Limits;

/// The addresses at this machine of the users that lines of sendmail begin with, behind its codes.
pub(crate) fn named(said: &str, machine: &str, limits: &Limits) -> Vec<String> {
    let user = |line: &str| {
        let (before, _) = line.split_once("... ")?;
        let mut words = before.split_whitespace().rev();
        let name = words.next()?.trim_matches(['<', '>']);
        let is_name = name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        let only_codes = words.all(|word| status::reply_code(word).is_some() || is_status(word));
        (is_name && only_codes).then(|| format!("{name}@{machine}"))
    };
    let mut found: Vec<String> = Vec::new();
    for user in said.lines().filter_map(user) {
        if found.len() < limits.max_recipients && !found.contains(&user) {
            found.push(user);
        }
    }
    found
}
