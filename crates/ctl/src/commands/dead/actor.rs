//! Who runs this command, for the book of dead letters.

use std::os::unix::fs::MetadataExt as _;

use mailfleet_store::Actor;

/// The user of the operating system and the machine, with what was said of it on the command line.
pub fn actor(by: Option<&str>) -> Actor {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    let host = host.trim();
    // A process's own entry belongs to the user it runs as, whatever the environment says.
    let uid = std::fs::metadata("/proc/self").ok().map(|entry| entry.uid());
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let os_user = uid.map_or_else(|| "unknown".to_owned(), |uid| user(&users, uid));
    let host = if host.is_empty() { "unknown" } else { host };
    let by = by.map(str::trim).filter(|by| !by.is_empty()).map(str::to_owned);
    Actor { os_user, host: host.to_owned(), by }
}

/// The name of a user; without one, as in a container with a user of its own, the number.
fn user(users: &str, uid: u32) -> String {
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_or_a_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\n# none\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!([0, 1_000, 65_532].map(|uid| user(users, uid)), ["root", "ann", "uid 65532"]);
        assert!(!actor(None).os_user.is_empty());
        assert_eq!([" ", " ann "].map(|by| actor(Some(by)).by), [None, Some("ann".to_owned())]);
    }
}
