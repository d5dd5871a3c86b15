//! Faults in random order, under load: whatever comes, alone or two at once, every mail and every delivery event takes
//! effect once, and the fleet goes on in time.
//!
//! In the ordinary suite it ends when every kind has come, which takes a minute or two; with `make test-slow` after five minutes,
//! with `make chaos DURATION=…` after so many seconds. The seed is printed; `SEED=…` runs its plan again.

mod cast;
mod checker;
mod effects;
mod inject;
mod journal;
mod kind;
mod load;
mod plan;
mod redelivered;
mod redis;
mod table;
mod watch;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use mailfleet_testkit::eventually_blocking;
use mailfleet_tests::{Door, Fleet};

use self::cast::{Cast, LEASE_MS};
use self::checker::Verdict;
use self::inject::Begun;
use self::journal::{Journal, Keep};
use self::kind::{Kind, Target};
use self::load::{ACCOUNTS, Load, SHARED};
use self::plan::{Plan, Step};
use self::redelivered::Redelivered;
use self::table::Table;
use self::watch::{Mark, Stuck};

/// The fleet has caught up so soon after a single fault: lease and 5 s, and slack for a busy machine.
const ALONE: Duration = Duration::from_millis(LEASE_MS + 5_000 + 15_000);
/// And so soon after two at once.
const TOGETHER: Duration = Duration::from_secs(60);
/// New mail goes on so soon after Redis is back: 5 s, and slack for a busy machine.
const REDIS_IS_BACK: Duration = Duration::from_secs(5 + 3);
/// Until the last call is answered and the last entry is gone.
const AT_THE_END: Duration = Duration::from_secs(60);
/// Until nothing is left of jobs that are done.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn faults_in_any_order_lose_and_double_nothing_and_the_fleet_goes_on_in_time() {
    let length = Duration::from_secs(
        number("CHAOS_SECONDS")
            .unwrap_or_else(|| if std::env::var_os("MAILFLEET_SLOW").is_some() { 300 } else { 60 }),
    );
    let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed}: `make chaos SEED={seed} DURATION={}` runs its plan again", length.as_secs());
    let journal = Journal::begin(seed);
    let fleet = Fleet::servers();
    settle(&fleet);

    let _keep = Keep(&fleet, &journal);
    let (doors, load) = (Mutex::<Vec<Door>>::default(), Load::new(&journal));
    let mut cast = Cast::start(&fleet, &journal, &doors);
    journal.note("two producers and three consumers run");
    let mut plan = Plan::new(seed);
    let mut table = Table::default();
    let (unanswered, stuck) = std::thread::scope(|scope| {
        // Also where a step fails: the load must not go on for ever.
        let _stop = Stop(&load);
        let mails = scope.spawn(|| load.trickle(&fleet));
        let calls = scope.spawn(|| load.send(&doors, AT_THE_END));
        let mut stuck = None;
        while stuck.is_none() && (!plan.all_came() || journal.seconds() < length.as_secs_f64()) {
            assert!(!mails.is_finished() && !calls.is_finished(), "the load has ended, see above");
            stuck = run(&plan.step(), &fleet, &load, &mut cast, &journal, &mut table).err();
        }
        load.stop();
        (calls.join().unwrap(), stuck)
    });
    finish(&fleet, &load, &mut cast, &journal, &table, stuck);
    assert_eq!(unanswered, 0, "calls that nobody answered");
}

/// Stops the load when it is dropped.
struct Stop<'a>(&'a Load<'a>);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}

/// Tenants and accounts.
fn settle(fleet: &Fleet) {
    fleet.mailfleet(&["migrate"]);
    for tenant in ["acme", "globex"] {
        fleet.mailfleet(&["tenant", "add", tenant, "--domain", &format!("{tenant}.example")]);
    }
    for (account, tenant) in ACCOUNTS {
        fleet.add_account(account, &["--tenant", tenant]);
    }
    fleet.add_account(SHARED, &["--shared"]);
}

/// One step: work comes, in its middle the fault, and then the fleet has to catch up in time.
fn run(
    step: &Step,
    fleet: &Fleet,
    load: &Load<'_>,
    cast: &mut Cast<'_>,
    journal: &Journal,
    table: &mut Table,
) -> Result<(), Stuck> {
    let alone = step.faults.len() == 1;
    let before = cast.redelivered();
    load.deliver(fleet, step.burst);
    std::thread::sleep(step.lead);
    let mut begun: Vec<Begun> = Vec::new();
    for fault in &step.faults {
        let it = fault.begin(fleet, cast, load, alone);
        journal.note(&format!("{} {} ({fault:?})", fault.kind.name(), it.whom));
        begun.push(it);
        if fault.kind.wants_large_mails() {
            load.deliver_large(fleet, step.burst / 2);
        } else if fault.kind.lasts() {
            load.deliver(fleet, step.burst / 2);
        }
        // Of two, the second begins in the middle of the first.
        std::thread::sleep(fault.hold / u32::try_from(step.faults.len()).unwrap());
    }
    // With another one beside it nobody may have come so far as to feel it.
    let single = if let ([fault], [begun]) = (step.faults.as_slice(), begun.as_slice()) {
        Some((fault, begun))
    } else {
        None
    };
    if let Some((fault, begun)) = single.filter(|(fault, _)| fault.kind.lasts()) {
        fault.assert_felt(fleet, cast, begun);
    }
    step.faults.iter().for_each(|fault| fault.end(fleet, cast));
    let mark = Mark::now(fleet, load.deliver(fleet, 1));
    journal.note(&format!("over, {} mails delivered", mark.mails));
    let within = if alone { ALONE } else { TOGETHER };
    let recovery = mark.wait(fleet, within).inspect_err(|stuck| {
        let depth = fleet.try_mailfleet(&["queue", "depth"]);
        journal.note(&format!("{step:?}: {}\n{}{}", stuck.why, depth.stdout, depth.stderr));
    })?;
    cast.wait_renewed();
    let redelivered = cast.redelivered().since(before);
    journal.note(&format!("{recovery:.2?}, {redelivered:?}"));
    cast.assert_alive();
    if let Some((fault, begun)) = single {
        if !fault.kind.lasts() {
            fault.assert_felt(fleet, cast, begun);
        }
        let taken_from_the_living = !fault.kind.may_cost_leases() && redelivered.reclaimed > 0.0;
        assert!(!taken_from_the_living, "{}: {redelivered:?}, although nobody was gone", fault.kind.name());
        let late = fault.kind.target() == Target::Redis && recovery.goes_on > REDIS_IS_BACK;
        assert!(!late, "{}: went on after {:.2?}", fault.kind.name(), recovery.goes_on);
    }
    table.add(step, recovery, redelivered);
    Ok(())
}

/// Everything is done, the books are compared, and the table is printed. Also of a run that got `stuck`, so that it is
/// known what is lost and what only late.
fn finish(
    fleet: &Fleet,
    load: &Load<'_>,
    cast: &mut Cast<'_>,
    journal: &Journal,
    table: &Table,
    stuck: Option<Stuck>,
) {
    if stuck.is_none() {
        let mark = Mark::now(fleet, load.deliver(fleet, 1));
        mark.wait(fleet, AT_THE_END).unwrap_or_else(|stuck| panic!("{}", stuck.why));
        // What nobody owns stands in a mailbox of its own, which no mark waits for.
        let is_stray = |item: &&checker::Item| matches!(item, checker::Item::Stray(_));
        let strays = load.asked().accepted.iter().filter(is_stray).count();
        let letters = || fleet.count("SELECT count(*) FROM mailfleet.dead_letters");
        eventually_blocking("letters of what nobody owns", AT_THE_END, || {
            (usize::try_from(letters()).ok()? >= strays).then_some(())
        });
        eventually_blocking("empty queues", AT_THE_END, || (fleet.entries() == 0).then_some(()));
    }
    let begun = Instant::now();
    let mut left = redis::left(fleet.redis.port());
    while !left.is_empty() && begun.elapsed() < LEFT_WITHIN {
        std::thread::sleep(Duration::from_millis(50));
        left = redis::left(fleet.redis.port());
    }
    cast.assert_alive();
    let redelivered = cast.end_consumers();
    // The lease of one that was killed while it counted runs for two minutes more; nobody is left who could hold it.
    let _ = fleet.sql("UPDATE mailfleet.leases SET expires = now()");
    let counted = fleet.try_mailfleet(&["analytics", "run"]);
    let audit = fleet.try_mailfleet(&["audit", "--older-than", "0"]);

    let verdict = verdict(fleet, load, redelivered);
    journal.note(&format!("\n{}\n{redelivered:?}\n{verdict}", table.render()));
    if let Some(stuck) = stuck {
        panic!("{}\n{verdict}\nleft in Redis: {left}", stuck.why);
    }
    assert!(left.is_empty(), "all is done, and left in Redis is: {left}");
    assert!(counted.status.success(), "analytics: {}\n{}", counted.stdout, counted.stderr);
    assert!(verdict.is_good(), "{verdict}");
    assert!(audit.status.success(), "audit: {}\n{}", audit.stdout, audit.stderr);
    for kind in Kind::ALL {
        assert!(table.came(kind) > 0, "{} never came", kind.name());
    }
    assert!(redelivered.reclaimed > 0.0, "nothing was ever taken over: {redelivered:?}");
}

/// What was accepted against what is there.
fn verdict(fleet: &Fleet, load: &Load<'_>, redelivered: Redelivered) -> Verdict {
    let asked = load.asked();
    let tenant =
        |account: &str| ACCOUNTS.iter().find(|(name, _)| *name == account).map_or("", |(_, tenant)| tenant);
    let mut found = effects::found(fleet);
    found.past_the_ledger = redelivered.past_the_ledger;
    Verdict::of(&asked, &asked.totals("acme", tenant), &found)
}

/// A number that the environment gives.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
