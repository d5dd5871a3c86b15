//! Every alert has a runbook, and every command in one works on a fleet that is in the state the alert speaks of.

pub mod book;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mailfleet_testkit::{Process, eventually_blocking};
use mailfleet_tests::{Door, door, metrics, numbered};

use self::book::{OnCall, PARTS};
use crate::deploy::logins::fleet_of_two_logins;

const SOON: Duration = Duration::from_secs(20);

/// Alerts whose commands are run in the middle of the trouble, by the test that makes it. Every other runbook is walked on
/// a healthy fleet, so a new alert stands here only if one of its commands does something else there.
const TROUBLES: [&[&str]; 6] = [&WAITING, &SERVERS, &STALLS, &MAILBOXES, &DEAD, &WEBHOOKS];

const WAITING: [&str; 4] =
    ["MailfleetLaneFull", "MailfleetNoConsumer", "MailfleetMailWaitsTooLong", "MailfleetNothingFinishes"];
const SERVERS: [&str; 5] = [
    "MailfleetBlobGone",
    "MailfleetRedisFillsUp",
    "MailfleetRedisAway",
    "MailfleetDepthUnknown",
    "MailfleetPostgresqlAway",
];
const STALLS: [&str; 3] = ["MailfleetReclaims", "MailfleetLeasesLost", "MailfleetProcessRestarts"];
const MAILBOXES: [&str; 5] = [
    "MailfleetUnaccountedMessages",
    "MailfleetNoProducer",
    "MailfleetAccountsInTrouble",
    "MailfleetAccountsUnreachable",
    "MailfleetComponentFailed",
];
const DEAD: [&str; 4] = [
    "MailfleetDeadLettersGrow",
    "MailfleetDeadLetterRate",
    "MailfleetQuarantined",
    "MailfleetUnknownVersion",
];
const WEBHOOKS: [&str; 3] =
    ["MailfleetWebhooksRefused", "MailfleetWebhookInboxWaits", "MailfleetWebhooksTurnedAway"];

/// Waits until the sum of the series with these words satisfies the condition.
fn shown(process: &Process, words: &[&str], holds: impl Fn(f64) -> bool) {
    eventually_blocking(&format!("{words:?} as wanted"), SOON, || {
        metrics::sum(process, words).is_some_and(&holds).then_some(())
    });
}

fn connected(producer: &Process, accounts: f64) {
    shown(producer, &["mailfleet_accounts{", "\"connected\""], |count| count >= accounts);
}

#[test]
fn every_alert_has_a_runbook_with_all_its_parts_and_every_runbook_an_alert() {
    let rules = std::fs::read_to_string(book::directory().join("../prometheus/alerts.yaml")).unwrap();
    let mut alerts: BTreeMap<&str, &str> = BTreeMap::new();
    let mut current = "";
    for line in rules.lines().map(str::trim) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            current = alert;
            assert!(alerts.insert(alert, "").is_none(), "{alert} stands twice");
        } else if let Some(runbook) = line.strip_prefix("runbook: ") {
            alerts.insert(current, runbook);
        }
    }
    let sections = book::sections();
    for alert in alerts.keys() {
        assert!(sections.contains_key(*alert), "{alert} has no heading in deploy/runbooks/");
    }
    for alert in sections.keys() {
        assert!(
            alerts.contains_key(alert.as_str()),
            "no rule of alerts.yaml has the name of the runbook {alert}"
        );
    }
    let mut in_trouble = BTreeSet::new();
    for alert in TROUBLES.concat() {
        assert!(sections.contains_key(alert), "TROUBLES names {alert}, which has no runbook");
        assert!(in_trouble.insert(alert), "TROUBLES names {alert} twice");
    }
    for (alert, section) in &sections {
        let anchor = alert.to_lowercase();
        assert_eq!(alerts[alert.as_str()], format!("deploy/runbooks/{}#{anchor}", section.file));
        for part in PARTS {
            assert!(section.parts.contains_key(part), "{alert} lacks the part {part}");
        }
        for part in ["Look.", "Over."] {
            assert!(!section.parts[part].is_empty(), "{alert}: no command under {part}");
        }
        assert!(section.console <= 2, "{alert}: too much that no test can run");
    }
}

#[test]
fn no_query_of_a_runbook_is_blind_to_the_rows_of_tenants() {
    let mut seen = 0;
    for (alert, section) in book::sections() {
        for command in section.parts.values().flatten() {
            if command.line.contains("psql \"$POSTGRES_URL\"") && command.line.contains(" mailfleet.") {
                seen += 1;
                let first = command.line.contains("c \"SET ROLE mailfleet_maintenance; SELECT ");
                assert!(first, "{alert}: sees nothing, and says 0: {}", command.line);
            }
        }
    }
    assert!(seen >= 4, "only {seen} found");
}

#[test]
fn the_runbooks_that_need_no_trouble_can_be_followed_on_a_healthy_fleet() {
    let fleet = fleet_of_two_logins();
    let mut on_call = OnCall::at(&fleet);
    let (_door, producer) = Door::open(&fleet);
    let consumer = fleet.consumer();
    on_call.meet("PRODUCER", &producer);
    on_call.meet("CONSUMER", &consumer);
    fleet.deliver([numbered(1)]);
    fleet.wait_accounted(1, SOON);
    for (variable, value) in [
        ("ACCOUNT", "inbox"),
        ("JOB", &fleet.job(1)),
        ("TENANT", "acme"),
        ("DOMAIN", "acme.example"),
        ("ENDPOINT", door::ENDPOINT),
    ] {
        on_call.set(variable, value);
    }
    let mut others = book::sections();
    others.retain(|alert, _| !TROUBLES.concat().contains(&alert.as_str()));
    assert!(!others.is_empty());
    for alert in others.keys() {
        on_call.walk(alert, "Look.");
        on_call.walk(alert, "Do.");
        on_call.until_over(alert);
    }
    let others: Vec<&str> = others.keys().map(String::as_str).collect();
    on_call.done_with(&others);
}

#[test]
fn the_runbooks_of_waiting_mail_lead_to_its_arrival() {
    let fleet = fleet_of_two_logins();
    let mut on_call = OnCall::at(&fleet);
    let small_lane = fleet.builder("mailfleet-producer").env("MAILFLEET_QUEUE__NORMAL_MAX_ENTRIES", "10");
    let producer = fleet.started(small_lane);
    on_call.meet("PRODUCER", &producer);
    connected(&producer, 1.0);
    fleet.deliver((1..=15).map(numbered));
    shown(&producer, &["mailfleet_enqueued_total{lane=\"normal\",result=\"lane_full\"}"], |count| {
        count > 0.0
    });
    on_call.walk("MailfleetLaneFull", "Look.");
    on_call.walk("MailfleetNoConsumer", "Look.");
    on_call.walk("MailfleetNoConsumer", "Do.");

    // A consumer is there again, but somebody holds a lock that it needs.
    let lock = fleet.hold_ledger();
    let consumer = fleet.consumer();
    on_call.meet("CONSUMER", &consumer);
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0";
    eventually_blocking("a consumer that waits for the lock", SOON, || {
        (fleet.count(blocked) > 0).then_some(())
    });
    on_call.walk("MailfleetMailWaitsTooLong", "Look.");
    let seen = on_call.walk("MailfleetNothingFinishes", "Look.");
    assert!(
        seen.iter().any(|text| text.contains("mailbox_messages")),
        "the blocked statement is seen: {seen:?}"
    );
    on_call.walk("MailfleetNothingFinishes", "Do.");

    for alert in WAITING {
        on_call.until_over(alert);
    }
    fleet.wait_accounted(15, SOON);
    drop(lock);
    on_call.done_with(&WAITING);
}

#[test]
fn the_runbooks_of_redis_and_postgresql_lead_through_their_outage() {
    let fleet = fleet_of_two_logins();
    let mut on_call = OnCall::at(&fleet);
    let (producer, consumer) = (fleet.producer(), fleet.consumer());
    on_call.meet("PRODUCER", &producer);
    on_call.meet("CONSUMER", &consumer);
    fleet.deliver((1..=5).map(numbered));
    fleet.wait_accounted(5, SOON);

    let evicts = on_call.shell("redis-cli -u \"$REDIS_URL\" CONFIG SET maxmemory-policy allkeys-lru");
    assert!(evicts.status.success(), "{evicts:?}");
    on_call.walk("MailfleetBlobGone", "Look.");
    on_call.walk("MailfleetBlobGone", "Do.");
    on_call.until_over("MailfleetBlobGone");

    // Nine tenths of what Redis may use are in use.
    let used = on_call.shell("redis-cli -u \"$REDIS_URL\" INFO memory").stdout;
    let used = used.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    let limit = used.trim().parse::<u64>().unwrap() / 9 * 10;
    let full = on_call.shell(&format!("redis-cli -u \"$REDIS_URL\" CONFIG SET maxmemory {limit}"));
    assert!(full.status.success(), "{full:?}");
    shown(&consumer, &["mailfleet_redis_memory_bytes{kind=\"max\"}"], |max| max < 1e8);
    on_call.is_not_over("MailfleetRedisFillsUp");
    let seen = on_call.walk("MailfleetRedisFillsUp", "Look.");
    assert!(seen[1].contains("of maxmemory are used"), "{seen:?}");
    on_call.walk("MailfleetRedisFillsUp", "Do.");
    on_call.until_over("MailfleetRedisFillsUp");

    fleet.redis.stop().unwrap();
    on_call.walk("MailfleetDepthUnknown", "Look.");
    shown(&consumer, &["mailfleet_component_ok{component=\"queue\"}"], |ok| ok < 1.0);
    on_call.walk("MailfleetRedisAway", "Look.");
    fleet.redis.start_again().unwrap();
    on_call.until_over("MailfleetDepthUnknown");
    on_call.until_over("MailfleetRedisAway");

    fleet.postgres.kill();
    fleet.deliver([numbered(6)]);
    shown(&consumer, &["mailfleet_component_ok{component=\"store\"}"], |ok| ok < 1.0);
    on_call.walk("MailfleetPostgresqlAway", "Look.");
    fleet.postgres.start_again().unwrap();
    on_call.walk("MailfleetPostgresqlAway", "Do.");
    on_call.until_over("MailfleetPostgresqlAway");
    fleet.wait_accounted(6, SOON);
    on_call.done_with(&SERVERS);
}

#[test]
fn the_runbooks_of_consumers_that_stall_or_die_show_that_their_work_is_done_elsewhere() {
    let fleet = fleet_of_two_logins();
    let mut on_call = OnCall::at(&fleet);
    let mut lock = fleet.hold_ledger();
    fleet.deliver((1..=10).map(numbered));
    let (_producer, stalled) = (fleet.producer(), fleet.consumer());
    eventually_blocking("work in hand", SOON, || (fleet.in_flight() > 0).then_some(()));
    stalled.sigstop();
    let other = fleet.consumer();
    on_call.meet("CONSUMER", &other);
    shown(&other, &["mailfleet_reclaimed_total "], |count| count > 0.0);
    on_call.walk("MailfleetReclaims", "Look.");
    stalled.sigcont();
    shown(&stalled, &["mailfleet_leases_lost_total "], |count| count > 0.0);
    on_call.meet("CONSUMER", &stalled);
    on_call.walk("MailfleetLeasesLost", "Look.");
    lock.release();
    fleet.wait_accounted(10, SOON);
    on_call.until_over("MailfleetLeasesLost");

    stalled.sigkill();
    let again = fleet.consumer();
    on_call.meet("CONSUMER", &again);
    for part in ["Look.", "Do."] {
        on_call.walk("MailfleetProcessRestarts", part);
    }
    on_call.until_over("MailfleetProcessRestarts");
    on_call.until_over("MailfleetReclaims");
    on_call.done_with(&STALLS);
}

#[test]
fn the_runbooks_of_the_mailboxes_find_what_is_missing_and_who_is_refused() {
    let fleet = fleet_of_two_logins();
    let mut on_call = OnCall::at(&fleet);
    let producer = fleet.producer();
    connected(&producer, 1.0);
    producer.sigkill();
    // Old enough for the audit's default, which leaves out the last minute.
    let old = Some("01-Feb-2024 10:00:00 +0000");
    fleet.dovecot.imap_append("inbox", "INBOX", &numbered(1).raw, old).unwrap();
    on_call.set("ACCOUNT", "inbox");
    on_call.set("JOB", fleet.job(1));
    on_call.walk("MailfleetUnaccountedMessages", "Look.");
    on_call.walk("MailfleetNoProducer", "Look.");
    on_call.walk("MailfleetNoProducer", "Do.");
    let (producer, _consumer) = (fleet.producer(), fleet.consumer());
    on_call.meet("PRODUCER", &producer);
    on_call.until_over("MailfleetNoProducer");
    on_call.until_over("MailfleetUnaccountedMessages");
    fleet.wait_accounted(1, SOON);

    // A password that was changed on the server alone.
    let (port, secret) = (fleet.dovecot.port().to_string(), fleet.path("secret"));
    std::fs::write(&secret, "of yesterday\n").unwrap();
    let server = ["--host", "127.0.0.1", "--port", &port, "--tls", "plain", "--user", "sales"];
    let add = ["account", "add", "sales", "--tenant", "acme", "--password-file", secret.to_str().unwrap()];
    fleet.mailfleet(&[&add[..], &server].concat());
    shown(&producer, &["mailfleet_accounts{", "\"auth_failed\""], |count| count > 0.0);
    on_call.set("ACCOUNT", "sales");
    on_call.walk("MailfleetAccountsInTrouble", "Look.");
    std::fs::write(&secret, format!("{}\n", mailfleet_testkit::PASSWORD)).unwrap();
    on_call.walk("MailfleetAccountsInTrouble", "Do.");
    on_call.until_over("MailfleetAccountsInTrouble");
    connected(&producer, 2.0);

    fleet.dovecot.kill();
    shown(&producer, &["mailfleet_component_ok{component=\"accounts\"}"], |ok| ok < 1.0);
    on_call.walk("MailfleetAccountsUnreachable", "Look.");
    on_call.walk("MailfleetComponentFailed", "Look.");
    fleet.dovecot.start_again().unwrap();
    on_call.until_over("MailfleetAccountsUnreachable");
    on_call.until_over("MailfleetComponentFailed");
    on_call.done_with(&MAILBOXES);
}

#[test]
fn the_runbook_of_dead_letters_walks_from_the_alert_to_the_mail_that_arrived_after_all() {
    let fleet = fleet_of_two_logins();
    let mut on_call = OnCall::at(&fleet);
    fleet.mailfleet(&["tenant", "add", "gamma", "--domain", "gamma.example"]);
    fleet.add_account("catchall", &["--shared"]);
    let (first, consumer) = (fleet.producer(), fleet.consumer());
    on_call.meet("CONSUMER", &consumer);
    // Nobody owns the domain: the letters of which the alert tells.
    for number in 1..=3 {
        let mail = format!(
            "Delivered-To: someone@news.example\r\nFrom: a@lead.example\r\nSubject: s{number}\r\n\
             Message-ID: <{number}@news.example>\r\n\r\nhello\r\n"
        );
        fleet.dovecot.deliver("catchall", mail.as_bytes()).unwrap();
    }
    fleet.wait_accounted(3, SOON);
    // Open letters are counted every ten seconds, and at once by a producer that starts.
    first.sigkill();
    let producer = fleet.producer();
    on_call.meet("PRODUCER", &producer);
    shown(&producer, &["mailfleet_dead_letters_open{reason=\"unknown_tenant\"}"], |count| count >= 3.0);
    on_call.set("REASON", "unknown_tenant");
    let listed = on_call.shell("mailfleet dead list --json").stdout;
    let first: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    on_call.set("ID", first["id"].to_string());
    on_call.set("JOB", first["job"].as_str().unwrap());

    on_call.walk("MailfleetDeadLetterRate", "Look.");
    let seen = on_call.walk("MailfleetDeadLettersGrow", "Look.");
    assert!(seen.last().unwrap().contains("news.example"), "the letter names the domain: {seen:?}");
    // The tenant says that the domain is theirs.
    on_call.set("TENANT", "gamma");
    on_call.set("DOMAIN", "news.example");
    on_call.walk("MailfleetDeadLettersGrow", "Do.");
    on_call.walk("MailfleetDeadLetterRate", "Do.");
    let arrived = "SELECT count(*) FROM email_messages m JOIN mailfleet.tenants t ON t.id = m.tenant_id \
                   WHERE t.name = 'gamma'";
    eventually_blocking("the mails of the letters", SOON, || (fleet.count(arrived) == 3).then_some(()));
    on_call.until_over("MailfleetDeadLetterRate");
    let over = on_call.until_over("MailfleetDeadLettersGrow");
    assert!(!over[0].contains("unknown_tenant"), "an open letter is left: {}", over[0]);
    assert!(over[1].contains("unknown_tenant"), "the closed ones are still known: {}", over[1]);

    // Somebody else writes into the queue, and a newer producer does.
    let foreign = "redis-cli -u \"$REDIS_URL\" XADD 'mailfleet:{email:processing:0}:normal' '*' ";
    let newer = fleet.job(1).replace(":1:", ":9:");
    for entry in ["note hello".to_owned(), format!("j {newer} e '{{\"v\":99}}' r raw")] {
        let added = on_call.shell(&format!("{foreign}{entry}"));
        assert!(added.status.success(), "{added:?}");
    }
    for (metric, alert) in [
        ("mailfleet_quarantined_total ", "MailfleetQuarantined"),
        ("mailfleet_unknown_version_total ", "MailfleetUnknownVersion"),
    ] {
        shown(&consumer, &[metric], |count| count > 0.0);
        on_call.walk(alert, "Look.");
        on_call.until_over(alert);
    }
    on_call.done_with(&DEAD);
}

#[test]
fn the_runbooks_of_webhooks_lead_to_events_that_took_effect() {
    let fleet = fleet_of_two_logins();
    let mut on_call = OnCall::at(&fleet);
    let (door, producer) = Door::open(&fleet);
    on_call.meet("PRODUCER", &producer);

    let event = door::event("delivered", 1);
    assert_eq!(door.tell_badly_signed(&event).status, 401);
    shown(&producer, &["mailfleet_webhook_requests_total{", "\"unauthorized\""], |count| count > 0.0);
    on_call.set("ENDPOINT", door::ENDPOINT);
    for part in ["Look.", "Do."] {
        on_call.walk("MailfleetWebhooksRefused", part);
    }
    on_call.until_over("MailfleetWebhooksRefused");

    // A call that was taken, and nobody to apply it; and one whose dead letter somebody has discarded, for which nobody
    // waits.
    assert_eq!(door.tell(&event).status, 200);
    let discarded = "WITH call AS (INSERT INTO mailfleet.webhook_inbox (endpoint_id, tenant_id, provider, dedupe, body) \
                     SELECT id, tenant_id, provider, 'one', '{}' FROM mailfleet.webhook_endpoints RETURNING id) \
                     INSERT INTO mailfleet.dead_letters (job_id, lane, envelope, reason, class, error, attempts, crashes, \
                     drains, state) SELECT 'e:' || id, 'high', '{}', 'malformed_entry', 'data', 'none', 1, 0, 0, 'discarded' \
                     FROM call RETURNING state";
    assert_eq!(fleet.sql(discarded), "discarded");
    on_call.is_not_over("MailfleetWebhookInboxWaits");
    let waiting = on_call.walk("MailfleetWebhookInboxWaits", "Look.");
    let generic: Vec<&str> =
        waiting[0].lines().find(|line| line.contains("generic")).unwrap().split('|').collect();
    assert_eq!(generic[1].trim(), "1", "only the call that waits is counted: {waiting:?}");
    let consumer = fleet.consumer();
    on_call.meet("CONSUMER", &consumer);
    on_call.until_over("MailfleetWebhookInboxWaits");

    fleet.postgres.kill();
    assert_eq!(door.tell(&door::event("delivered", 2)).status, 503);
    shown(&producer, &["mailfleet_webhook_requests_total{", "\"unavailable\""], |count| count > 0.0);
    on_call.walk("MailfleetWebhooksTurnedAway", "Look.");
    fleet.postgres.start_again().unwrap();
    on_call.until_over("MailfleetWebhooksTurnedAway");
    on_call.done_with(&WEBHOOKS);
}
