//! A mail that a consumer died on while it ran alone is read by a child process first, which may die of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mailfleet_model::{Class, JobId};
use mailfleet_queue::{Settled, State};
use mailfleet_testkit::eventually;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::crashes::{die_with, reclaimed};
use crate::world::{Consumer, LONG, World, mail, mails};

/// Time for ordinary mails, and not for reading [`long`]; one worker, so that nobody else could go on for it.
const TINY: &str = "workers = 1\nchild_seconds = 1\n";

#[tokio::test]
async fn a_mail_that_ends_its_children_is_dead_lettered_as_hostile_and_neither_consumer_nor_mails_notice() {
    let world = world().await;
    let job = deadly(&world, long()).await;
    let consumer = world.consumer(TINY);
    world.enqueue(mails(2..=20)).await;
    world.until_stored(19).await;
    eventually("the first crash", LONG, || async { (consumer.processed("crashed") > 0).then_some(()) }).await;
    world.enqueue(mails(21..=30)).await;
    world.until_stored(29).await;
    let letter = world.until_dead(&job).await;
    world.until_empty().await;

    assert_eq!((letter.reason.as_str(), letter.class), ("crashes_exhausted", Class::Hostile));
    assert_eq!((letter.counters.crashes, letter.counters.attempts), (3, 0));
    assert!(letter.error.contains("a child"), "{}", letter.error);
    let history = letter.history.as_array().unwrap();
    let told = |attempt: &serde_json::Value| attempt["class"] == "hostile" && attempt["error"] != "";
    assert!(history.len() == 3 && history.iter().all(told), "each of them is told of: {history:?}");
    assert_eq!(letter.raw.as_deref(), Some(&long()[..]));
    assert_eq!(consumer.processed("crashed"), 2, "the last one is the letter");
    assert_eq!(consumer.metric("mailfleet_dead_lettered_total", &["class=\"hostile\""]), 1);
    assert_eq!((consumer.processed("persisted"), consumer.processed("retried")), (29, 0));
    assert!(consumer.0.is_running() && children(&consumer).is_empty());
}

#[tokio::test]
async fn a_mail_that_can_be_read_passes_its_rehearsal_and_is_stored() {
    let world = world().await;
    deadly(&world, mail("innocent", "")).await;
    let consumer = world.consumer("");
    world.until_stored(1).await;
    world.until_empty().await;
    consumer.0.wait_for_line("read by a child process", LONG).unwrap();
    assert_eq!((consumer.processed("persisted"), consumer.processed("crashed")), (1, 0));
    assert!(world.letters().await.is_empty());
}

#[tokio::test]
async fn others_go_on_while_a_child_stands_still() {
    let mut world = world().await;
    // On a machine that stands still for seconds the child goes with the lease, which is not what is to be seen.
    world.lease_ms = 30_000;
    // It is read to its end, twice.
    deadly(&world, long_of(1 << 19)).await;
    let (consumer, child) = frozen(&world, "workers = 1\nchild_seconds = 60\n").await;
    world.enqueue(mails(2..=10)).await;
    world.until_stored(9).await;
    assert!(is_there(child), "they were stored beside it, not after it");
    signal(child, Signal::CONT);
    world.until_stored(10).await;
    world.until_empty().await;
    assert_eq!((consumer.processed("persisted"), consumer.processed("crashed")), (10, 0));
}

#[tokio::test]
async fn a_child_out_of_time_is_a_crash_by_the_clock_as_well_as_by_its_processor() {
    let world = world().await;
    let job = deadly(&world, long()).await;
    let (consumer, child) = frozen(&world, "child_seconds = 1\n").await;
    consumer.0.wait_for_line("took longer than 10 s", LONG).unwrap();
    assert!(!is_there(child));
    // The others are left to themselves.
    let letter = world.until_dead(&job).await;
    assert_eq!((letter.class, letter.counters.crashes), (Class::Hostile, 3));
    world.until_empty().await;
    assert!(world.subjects().is_empty() && consumer.0.is_running());
}

#[tokio::test]
async fn a_child_that_gets_no_more_memory_is_a_crash_of_its_mail() {
    let world = world().await;
    let job = deadly(&world, long()).await;
    let (consumer, child) = frozen(&world, "child_seconds = 60\n").await;
    // Its own limit, which it set itself, met in the middle: what it asks for next it does not get.
    let met = Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
    let before = prlimit(Pid::from_raw(child), Resource::As, met).unwrap();
    assert_eq!(before.maximum, Some(640 << 20));
    signal(child, Signal::CONT);
    consumer.0.wait_for_line("ended by signal 6 (aborted: out of memory", LONG).unwrap();
    consumer.until_metric("mailfleet_processed_total", &["outcome=\"crashed\""], 1).await;
    let counters = world.queue.locate(&job).await.unwrap().unwrap().counters;
    assert_eq!((counters.crashes, counters.attempts), (1, 0));
    assert!(consumer.0.is_running() && world.letters().await.is_empty());
}

#[tokio::test]
async fn a_child_has_no_secrets_and_dies_with_its_consumer_and_with_a_drain() {
    let world = world().await;
    let job = deadly(&world, long()).await;
    let (consumer, child) = frozen(&world, "child_seconds = 60\n").await;
    let of_child = |what: &str| fs::read_to_string(format!("/proc/{child}/{what}")).unwrap();
    assert_eq!(of_child("environ"), "MALLOC_ARENA_MAX=1\0");
    assert_eq!(of_child("cmdline"), "mailfleet-consumer\0--rehearse\0");
    // What whoever started the consumer left open for all, and nothing that the consumer opened.
    for file in fs::read_dir(format!("/proc/{child}/fd")).unwrap().map(|file| file.unwrap().path()) {
        let number = file.file_name().unwrap();
        if !["0", "1", "2"].iter().any(|pipe| number == *pipe) {
            let ours = fs::read_link(Path::new("/proc/self/fd").join(number)).unwrap_or_default();
            assert_eq!(fs::read_link(&file).unwrap(), ours, "{file:?}");
        }
    }
    let limits = of_child("limits");
    let time = limits.lines().find(|line| line.starts_with("Max cpu time")).unwrap();
    assert!(time.contains(" 60 ") && time.contains(" 61 "), "{time}");
    let space = limits.lines().find(|line| line.starts_with("Max address space")).unwrap();
    assert!(space.contains(&(640u64 << 20).to_string()), "{space}");
    // Stopped it would be ended by the kernel, which leaves no stopped orphans; at work it has seconds to go.
    signal(child, Signal::CONT);
    consumer.0.sigkill();
    until_gone(child, Duration::from_secs(1)).await;

    // Its consumer was killed before the mail ran in it: that was no crash of the mail's.
    let (consumer, child) = frozen(&world, "child_seconds = 60\n[shutdown]\ndrain_seconds = 3\n").await;
    consumer.0.sigterm();
    assert!(consumer.0.wait_exit(LONG).unwrap().success());
    until_gone(child, LONG).await;
    let location = world.queue.locate(&job).await.unwrap().unwrap();
    assert!(matches!(location.state, State::Waiting), "{location:?}");
    let counters = location.counters;
    assert_eq!((counters.attempts, counters.crashes, counters.drains), (0, 0, 1));
}

#[tokio::test]
async fn somebody_who_ends_the_child_costs_the_mail_nothing_once_and_an_attempt_after_that() {
    let mut world = world().await;
    world.max_attempts = 2;
    let job = deadly(&world, long()).await;
    let (consumer, first) = frozen(&world, "child_seconds = 60\n").await;
    let mut first = Some(first);
    let counters = || async {
        let counters = world.queue.locate(&job).await.unwrap().unwrap().counters;
        (counters.attempts, counters.crashes)
    };
    // As a stop of the machine does, and its kernel where memory runs out.
    for (ends, outcome, counted) in
        [(Signal::TERM, "put_off", (0, 0)), (Signal::KILL, "retried", (1, 0)), (Signal::KILL, "", (2, 0))]
    {
        let child = match first.take() {
            Some(child) => child,
            None => freeze_child(&consumer).await,
        };
        signal(child, ends);
        signal(child, Signal::CONT);
        if counted.0 < 2 {
            let outcome = format!("outcome=\"{outcome}\"");
            consumer.until_metric("mailfleet_processed_total", &[&outcome], 1).await;
            assert_eq!(counters().await, counted);
            // It need not be waited for in real time.
            world.redis(&format!("ZADD K:delayed XX 1 n:{}", entry(&world)));
        }
    }
    let letter = world.until_dead(&job).await;
    assert_eq!((letter.reason.as_str(), letter.class), ("attempts_exhausted", Class::Fault));
    assert!(letter.error.contains("rehearsed") && letter.error.contains("out of memory"), "{}", letter.error);
    assert_eq!((letter.counters.attempts, letter.counters.crashes), (2, 0));
    assert_eq!(letter.raw.as_deref(), Some(&long()[..]));
    world.until_empty().await;
}

/// The id of the one entry there is.
pub fn entry(world: &World<'_>) -> String {
    let answer = world.redis("XRANGE K:normal - + COUNT 1");
    answer.lines().find(|line| line.contains('-') && !line.starts_with(['*', '$'])).unwrap().trim().to_owned()
}

/// The consumers' leases hold on a busy machine, too: what is to be seen here is not how they are lost.
pub async fn world() -> World<'static> {
    let mut world = World::new().await;
    world.lease_ms = 3_000;
    world
}

/// Enqueues a mail with which in hand a consumer has died in a batch, and then alone: a suspect. It waits, so that whoever
/// claims next has it, however long the leases are.
pub async fn deadly(world: &World<'_>, raw: Vec<u8>) -> JobId {
    let job = world.enqueue([(1, raw)]).await.remove(0);
    let victim = world.victim();
    die_with(victim.claim(10).await.unwrap());
    let taken = reclaimed(&world.victim()).await;
    assert!(taken.run_alone() && !taken.is_suspect());
    die_with(vec![taken]);
    let finder = world.victim();
    let taken = reclaimed(&finder).await;
    assert!(taken.is_suspect());
    assert_eq!(finder.delay_uncounted(vec![taken], Duration::ZERO).await.unwrap(), [Settled::Done]);
    job
}

/// A mail that takes some seconds to be read.
fn long() -> Vec<u8> {
    long_of(3 << 19)
}

/// A mail of so many lines that take their time.
fn long_of(lines: usize) -> Vec<u8> {
    let mut raw = mail("long", "");
    raw.extend_from_slice(&b"caf\xe9 and so on and on\r\n".repeat(lines));
    raw
}

/// Starts a consumer that has a suspect to rehearse, and stops its child in the middle. Nothing is claimed before somebody
/// looks for the child, which may be gone after a second or two.
async fn frozen(world: &World<'_>, config: &str) -> (Consumer, i32) {
    world.queue.pause(None, "the test", "").await.unwrap();
    let consumer = world.consumer(config);
    // The first child of all only proves that there can be one.
    consumer.until_ready(200).await;
    assert!(world.queue.resume(None).await.unwrap());
    let child = freeze_child(&consumer).await;
    (consumer, child)
}

/// Waits for a child that reads a mail and stops it in the middle.
async fn freeze_child(consumer: &Consumer) -> i32 {
    eventually("a child to be stopped", LONG, || async {
        let child = children(consumer).into_iter().next()?;
        // Not before it has its limits and the whole mail: then a thread begins to read it.
        let threads = fs::read_dir(format!("/proc/{child}/task")).ok()?.count();
        if threads < 2 {
            return None;
        }
        signal(child, Signal::STOP);
        is_there(child).then_some(child)
    })
    .await
}

fn signal(process: i32, signal: Signal) {
    // It may have ended by itself meanwhile, which the caller finds out.
    let _ = kill_process(Pid::from_raw(process).unwrap(), signal);
}

/// The process' state and parent; none when it has ended.
fn stat(process: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?)).filter(|(state, _)| *state != 'Z')
}

fn is_there(process: i32) -> bool {
    stat(process).is_some()
}

async fn until_gone(process: i32, within: Duration) {
    eventually("the child to be gone", within, || async { (!is_there(process)).then_some(()) }).await;
}

fn children(consumer: &Consumer) -> Vec<i32> {
    let parent = i32::try_from(consumer.0.pid()).unwrap();
    let all = fs::read_dir("/proc").unwrap();
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|process| stat(*process).is_some_and(|(_, of)| of == parent)).collect()
}
