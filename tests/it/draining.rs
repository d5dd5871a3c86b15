//! SIGTERM: the process ends within its deadline, its entries run elsewhere, and nobody pays for it. A queue that is paused, or
//! drained for other partitions, stands still and goes on with everything that there was.

use std::time::{Duration, Instant};

use mailfleet_testkit::eventually_blocking;
use mailfleet_tests::{Fleet, metrics, numbered};

/// No step of these tests takes longer on any machine.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn sigterm_in_the_middle_of_work_hands_back_uncounted_within_the_deadline() {
    let fleet = Fleet::start();
    let mut lock = fleet.hold_ledger();
    fleet.deliver((1..=50).map(numbered));
    let _producer = fleet.producer();
    let stopping =
        fleet.started(fleet.builder("mailfleet-consumer").env("MAILFLEET_SHUTDOWN__DRAIN_SECONDS", "6"));
    eventually_blocking("entries in flight", Duration::from_secs(20), || {
        (fleet.in_flight() > 0).then_some(())
    });
    let asked = Instant::now();
    stopping.sigterm();
    let status = stopping.wait_exit(Duration::from_secs(10)).unwrap();
    assert!(asked.elapsed() < Duration::from_secs(8), "took {:?}", asked.elapsed());
    assert!(status.success(), "{status}: {}", stopping.stderr());
    assert_eq!(fleet.in_flight(), 0, "everything was handed back");
    let counters = fleet.mailfleet_json(&["explain", &fleet.job(1)])["queue"][0]["counters"].clone();
    assert_eq!(counters, serde_json::json!({"attempts": 0, "crashes": 0, "drains": 1}), "free, and said so");
    lock.release();

    let other = fleet.consumer();
    // At once: what was handed back waits for no lease.
    let handed_back = Instant::now();
    fleet.wait_accounted(50, Duration::from_secs(30));
    assert!(handed_back.elapsed() < Duration::from_secs(10), "took {:?}", handed_back.elapsed());
    fleet.assert_all_once(50);
    let retried = metrics::sum(&other, &["mailfleet_processed_total{", "outcome=\"retried\""]);
    assert_eq!(retried, Some(0.0));
}

#[test]
fn a_second_sigterm_ends_the_process_at_once() {
    let fleet = Fleet::start();
    let _lock = fleet.hold_ledger();
    fleet.deliver((1..=10).map(numbered));
    let _producer = fleet.producer();
    let consumer = fleet.consumer();
    eventually_blocking("entries in flight", Duration::from_secs(20), || {
        (fleet.in_flight() > 0).then_some(())
    });
    let mark = consumer.mark();
    consumer.sigterm();
    consumer.wait_for_line_after(mark, "asked to stop", Duration::from_secs(5)).unwrap();
    consumer.sigterm();
    let status = consumer.wait_exit(Duration::from_secs(3)).unwrap();
    assert!(!status.success(), "{status}");
}

#[test]
fn an_idle_fleet_drains_at_once() {
    let fleet = Fleet::start();
    let (producer, consumer) = (fleet.producer(), fleet.consumer());
    fleet.deliver([numbered(1)]);
    fleet.wait_accounted(1, Duration::from_secs(20));
    for process in [producer, consumer] {
        process.sigterm();
        assert!(process.wait_exit(Duration::from_secs(5)).unwrap().success(), "{}", process.stderr());
    }
}

/// Lets every mail take this long to be stored, so that there is load for as long as a test looks at it.
fn slow_down(fleet: &Fleet, seconds: f32) {
    let _ = fleet.sql(&format!(
        "CREATE FUNCTION public.slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END'; \
         CREATE TRIGGER slowly BEFORE INSERT ON mailfleet.mailbox_messages FOR EACH ROW EXECUTE FUNCTION public.slowly()"
    ));
}

#[test]
fn a_pause_stops_two_consumers_under_load_within_a_second_and_a_resume_lets_them_go_on() {
    const MAILS: u32 = 300;
    let fleet = Fleet::start();
    slow_down(&fleet, 0.05);
    fleet.deliver((1..=MAILS).map(numbered));
    let _producer = fleet.producer();
    eventually_blocking("all of them in the queue", LONG, || {
        (fleet.waiting() == u64::from(MAILS)).then_some(())
    });
    let consumer = || {
        let builder = fleet.builder("mailfleet-consumer").env("MAILFLEET_CONSUMER__BATCH_COUNT", "5");
        fleet.started(builder)
    };
    let _consumers = [consumer(), consumer()];
    eventually_blocking("load", LONG, || (fleet.accounted() >= 10).then_some(()));
    fleet.mailfleet(&["queue", "pause", "--queue", "mails", "--reason", "the release"]);
    let paused = Instant::now();
    let more_is_begun = |last: &mut u64| {
        let waiting = fleet.waiting();
        std::mem::replace(last, waiting) != waiting
    };
    // What was asked for before the pause may still be told after it.
    let mut waiting = u64::MAX;
    while paused.elapsed() < Duration::from_secs(1) {
        more_is_begun(&mut waiting);
        std::thread::sleep(Duration::from_millis(50));
    }
    more_is_begun(&mut waiting);
    assert!(waiting > 100, "{waiting} left: too few to be sure that they would have been begun");
    // Four times as long as a batch takes.
    while paused.elapsed() < Duration::from_secs(3) {
        assert!(!more_is_begun(&mut waiting), "begun {:?} after the pause", paused.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    eventually_blocking("what was in hand at its end", LONG, || (fleet.in_flight() == 0).then_some(()));
    assert_eq!(fleet.accounted() + waiting, u64::from(MAILS), "and stored");
    // Producers go on filling it.
    fleet.deliver((MAILS + 1..=MAILS + 10).map(numbered));
    eventually_blocking("what is new in the queue", LONG, || (fleet.waiting() == waiting + 10).then_some(()));

    let _ = fleet.sql("DROP TRIGGER slowly ON mailfleet.mailbox_messages");
    fleet.mailfleet(&["queue", "resume"]);
    fleet.wait_accounted(u64::from(MAILS + 10), LONG);
    fleet.assert_all_once(MAILS + 10);
}

/// The commands of the README's recipe for another number of partitions, as words.
fn recipe() -> Vec<Vec<String>> {
    let readme = include_str!("../../README.md");
    let (_, recipe) = readme.split_once("This is how `queue.partitions` is changed").unwrap();
    let (recipe, _) = recipe.split_once("\n## ").unwrap();
    let commands = recipe.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("mailfleet "));
    let words = |command: &str| {
        // What stands between quotes is one word.
        let parts = command.split('\'').enumerate();
        parts
            .flat_map(|(number, part)| match number % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect()
    };
    commands.map(words).collect()
}

/// The least number of partitions with which the account's entries lie elsewhere than with one.
fn enough_partitions(fleet: &Fleet) -> u128 {
    let id =
        fleet.sql("SELECT replace(id::text, '-', '') FROM mailfleet.email_accounts WHERE name = 'inbox'");
    let number = u128::from_str_radix(&id, 16).unwrap();
    let folded = (number >> 64) ^ (number & u128::from(u64::MAX));
    (2..=256).find(|partitions| !folded.is_multiple_of(*partitions)).unwrap()
}

#[test]
fn the_readmes_recipe_changes_the_partitions_and_nothing_is_lost_or_doubled() {
    let fleet = Fleet::start();
    let [drain, resume] = <[Vec<String>; 2]>::try_from(recipe()).unwrap();
    assert_eq!((drain[1].as_str(), resume.join(" ").as_str()), ("drain", "queue resume"), "{drain:?}");
    let mut lock = fleet.hold_ledger();
    fleet.deliver((1..=40).map(numbered));
    let (producer, consumer) = (fleet.producer(), fleet.consumer());
    eventually_blocking("entries in flight", LONG, || (fleet.in_flight() > 0).then_some(()));

    // Step 1: while it waits, mail comes that has to stay in its mailbox.
    let draining = fleet.builder("mailfleet").args(&drain).spawn().unwrap();
    eventually_blocking("a closed queue", LONG, || {
        fleet.mailfleet(&["queue", "depth"]).stdout.contains("mails: closed").then_some(())
    });
    fleet.deliver((41..=60).map(numbered));
    lock.release();
    let ended = draining.wait_exit(LONG).unwrap();
    assert!(ended.success() && fleet.entries() == 0, "{ended}: {}", draining.stdout());
    for queue in ["mails: empty", "events: empty"] {
        assert!(draining.stdout().contains(queue), "{}", draining.stdout());
    }
    // Nobody has lost anything by it: what is not stored is in its mailbox.
    let stored = fleet.accounted();
    assert!((1..=40).contains(&stored), "{stored}");

    // Step 2.
    for process in [producer, consumer] {
        process.sigterm();
        assert!(process.wait_exit(LONG).unwrap().success(), "{}", process.stderr());
    }
    let partitions = enough_partitions(&fleet);
    let config = std::fs::read_to_string(fleet.config()).unwrap();
    let config = config.replace("[queue]\n", &format!("[queue]\npartitions = {partitions}\n"));
    std::fs::write(fleet.config(), config).unwrap();
    let _processes = [fleet.producer(), fleet.consumer()];
    assert!(fleet.mailfleet(&["queue", "depth"]).stdout.contains("mails: closed"), "it is still closed");

    // Step 3.
    let resume: Vec<&str> = resume.iter().map(String::as_str).collect();
    fleet.mailfleet(&resume);
    fleet.wait_accounted(60, LONG);
    fleet.assert_all_once(60);
}
