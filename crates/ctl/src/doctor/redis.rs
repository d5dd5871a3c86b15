//! The doctor's look at Redis.

use mailfleet_model::{Class, Classify};
use mailfleet_queue::{Error, Queue, ServerInfo};

use super::Finding;

const AREA: &str = "redis";
/// The scripts need what came with this version.
const OLDEST: (u32, u32) = (7, 0);
/// From this share of maxmemory on there is a warning, in per cent.
const FULL_PERCENT: u64 = 80;

/// Is Redis there, is it recent enough, does it keep what it is given.
pub async fn look(queue: &Queue) -> Vec<Finding> {
    if let Err(error) = queue.ping().await {
        return vec![unreachable(&error)];
    }
    let mut findings = match queue.server_info().await {
        Ok(info) => judge(&info),
        Err(error) => return vec![unreachable(&error)],
    };
    // Every move of the queue is a script: one that reads alone shows whether this user may run them.
    if let Err(error) = queue.depth().await {
        findings.push(scripts(&error));
    }
    findings
}

fn scripts(error: &Error) -> Finding {
    if error.class() == Class::Outage {
        return unreachable(error);
    }
    let (found, remedy) = parts(error);
    let remedy = remedy
        .unwrap_or("what Redis says names the cause; another queue.queue or database is one of nobody else");
    Finding::error(AREA, format!("the queue's scripts cannot be run: {found}"), remedy)
}

fn unreachable(error: &Error) -> Finding {
    let (found, remedy) = parts(error);
    let remedy = remedy.unwrap_or(match error.class() {
        Class::Outage => "start Redis, or correct queue.url (host, port, redis:// or rediss://)",
        _ => "correct user and password in queue.url, or give the user the rights it needs (ACL LOG on the server)",
    });
    Finding::error(AREA, found, remedy)
}

/// What was found, and what to do where the queue knows it; its errors say both in one line.
fn parts(error: &Error) -> (String, Option<&'static str>) {
    let text = error.to_string();
    let remedy = error.remedy();
    let found =
        remedy.and_then(|remedy| text.strip_suffix(remedy)).map(|found| found.trim_end_matches([';', ' ']));
    (found.unwrap_or(&text).to_owned(), remedy)
}

fn judge(info: &ServerInfo) -> Vec<Finding> {
    [Some(version(info)), role(info), Some(eviction(info)), memory(info), persistence(info)]
        .into_iter()
        .flatten()
        .collect()
}

fn version(info: &ServerInfo) -> Finding {
    let Some(version) = &info.version else {
        return Finding::warn(
            AREA,
            "reachable; its version is hidden from this user",
            "allow INFO for the user of queue.url (ACL SETUSER … +info), or make sure that it is 7.0 or later",
        );
    };
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        let remedy = format!("upgrade the server to Redis {}.{} or later", OLDEST.0, OLDEST.1);
        Finding::error(AREA, format!("version {version} is too old"), remedy)
    } else {
        Finding::ok(AREA, format!("reachable, version {version}"))
    }
}

fn role(info: &ServerInfo) -> Option<Finding> {
    let role = info.role.as_deref()?;
    (role != "master").then(|| {
        Finding::error(
            AREA,
            format!("the server's role is {role}"),
            "let queue.url name the master, or sentinels that know it (redis+sentinel://); a replica takes no writes",
        )
    })
}

fn eviction(info: &ServerInfo) -> Finding {
    match info.maxmemory_policy.as_deref() {
        Some("noeviction") => Finding::ok(AREA, "maxmemory-policy is noeviction"),
        Some(policy) => Finding::error(
            AREA,
            format!("maxmemory-policy is {policy}: queued mail is thrown away when memory is short"),
            "set `maxmemory-policy noeviction` in redis.conf (CONFIG SET maxmemory-policy noeviction; with a managed Redis \
             in its parameters)",
        ),
        None => Finding::warn(
            AREA,
            "the eviction policy is hidden from this user",
            "make sure that it is noeviction, or allow INFO for the user of queue.url (ACL SETUSER … +info)",
        ),
    }
}

fn memory(info: &ServerInfo) -> Option<Finding> {
    let (most, used) = (info.maxmemory_bytes.filter(|most| *most > 0)?, info.used_memory_bytes?);
    let percent = used.saturating_mul(100) / most;
    (percent >= FULL_PERCENT).then(|| {
        Finding::warn(
            AREA,
            format!("{percent} % of maxmemory are used"),
            "raise maxmemory or add consumers; at 100 % new mail waits in its mailboxes until there is room",
        )
    })
}

fn persistence(info: &ServerInfo) -> Option<Finding> {
    let append_only = info.append_only?;
    Some(if append_only {
        Finding::ok(AREA, "the append-only file is on")
    } else {
        Finding::warn(
            AREA,
            "the append-only file is off",
            "nothing is lost without it, but after a restart all queued mail is fetched again; `appendonly yes` with \
             `appendfsync everysec` spares that",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn info(version: &str, policy: Option<&str>) -> ServerInfo {
        ServerInfo {
            version: Some(version.to_owned()),
            maxmemory_policy: policy.map(str::to_owned),
            append_only: Some(true),
            ..ServerInfo::default()
        }
    }

    fn worst(info: &ServerInfo) -> Level {
        judge(info).into_iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }

    #[test]
    fn what_loses_queued_mail_is_an_error_and_what_is_hidden_a_warning() {
        assert_eq!(worst(&info("7.0.15", Some("noeviction"))), Level::Ok);
        assert_eq!(worst(&info("8.2.1", Some("noeviction"))), Level::Ok);
        assert_eq!(worst(&info("6.2.14", Some("noeviction"))), Level::Error);
        assert_eq!(worst(&info("7.0.15", Some("allkeys-lru"))), Level::Error);
        assert_eq!(worst(&info("7.0.15", None)), Level::Warn);
        assert_eq!(worst(&ServerInfo::default()), Level::Warn);
        let replica = ServerInfo { role: Some("slave".into()), ..info("7.0.15", Some("noeviction")) };
        assert_eq!(worst(&replica), Level::Error);
        let full = ServerInfo {
            maxmemory_bytes: Some(100),
            used_memory_bytes: Some(81),
            ..info("7.0.15", Some("noeviction"))
        };
        assert_eq!(worst(&full), Level::Warn);
    }

    #[test]
    fn every_finding_that_is_not_ok_says_what_to_do() {
        let bad = ServerInfo { append_only: Some(false), ..info("6.0", Some("volatile-lru")) };
        for finding in judge(&bad).iter().chain(&judge(&ServerInfo::default())) {
            assert!(finding.level == Level::Ok || finding.remedy.len() > 20, "{finding:?}");
        }
    }
}
