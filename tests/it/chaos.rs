//! Faults in random order, under load: whatever comes, alone or two at once, every mail and every delivery event takes
//! effect once, and the fleet goes on in time.
//!
//! A minute in the ordinary suite, five with `make test-slow`, any length with `make chaos DURATION=…` (seconds). The seed
//! is printed; `SEED=…` runs its plan again.

mod cast;
mod checker;
mod effects;
mod inject;
mod journal;
mod kind;
mod load;
mod plan;
mod redis;
mod table;
mod watch;

use std::sync::Mutex;
use std::time::Duration;

use mailfleet_testkit::eventually_blocking;
use mailfleet_tests::{Door, Fleet};

use self::cast::{Cast, LEASE_MS};
use self::checker::Verdict;
use self::journal::Journal;
use self::kind::Kind;
use self::load::{ACCOUNTS, Load, SHARED};
use self::plan::{Plan, Step};
use self::table::Table;
use self::watch::Mark;

/// The fleet has caught up so soon after a single fault: lease and 5 s, and slack for a busy machine.
const ALONE: Duration = Duration::from_millis(LEASE_MS + 5_000 + 15_000);
/// And so soon after two at once.
const TOGETHER: Duration = Duration::from_secs(60);
/// Until the last call is answered and the last entry is gone.
const AT_THE_END: Duration = Duration::from_secs(60);

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

    let (doors, load) = (Mutex::<Vec<Door>>::default(), Load::default());
    let mut cast = Cast::start(&fleet, &journal, &doors);
    journal.note("two producers and three consumers run");
    let mut plan = Plan::new(seed);
    let mut table = Table::default();
    let unanswered = std::thread::scope(|scope| {
        // Also where a step fails: the load must not go on for ever.
        let _stop = Stop(&load);
        scope.spawn(|| load.trickle(&fleet));
        let calls = scope.spawn(|| load.send(&doors, AT_THE_END));
        while !plan.all_came() || journal.seconds() < length.as_secs_f64() {
            run(&plan.step(), &fleet, &load, &mut cast, &journal, &mut table);
        }
        load.stop();
        calls.join().unwrap()
    });
    assert_eq!(unanswered, 0, "calls that nobody answered");
    finish(&fleet, &load, &mut cast, &journal, &table);
}

/// Stops the load when it is dropped.
struct Stop<'a>(&'a Load);

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
fn run(step: &Step, fleet: &Fleet, load: &Load, cast: &mut Cast<'_>, journal: &Journal, table: &mut Table) {
    let before = cast.redelivered();
    load.deliver(fleet, step.burst);
    std::thread::sleep(step.lead);
    for fault in &step.faults {
        let whom = fault.begin(fleet, cast);
        journal.note(&format!("{} {whom} ({fault:?})", fault.kind.name()));
        if fault.kind.lasts() {
            load.deliver(fleet, step.burst / 2);
        }
        // Of two, the second begins in the middle of the first.
        std::thread::sleep(fault.hold / u32::try_from(step.faults.len()).unwrap());
    }
    for fault in &step.faults {
        let refused = fault.end(fleet, cast);
        // With another fault beside it nobody may have come so far as to be refused.
        assert!(refused || step.faults.len() > 1, "nothing was refused: {fault:?} met nobody");
    }
    let mark = Mark::now(fleet, load.deliver(fleet, 1));
    journal.note(&format!("over, {} mails delivered", mark.mails));
    let within = if step.faults.len() == 1 { ALONE } else { TOGETHER };
    let recovery = mark.wait(fleet, within).unwrap_or_else(|stuck| {
        journal.note(&stuck.why);
        panic!("{step:?}: {}\n{}", stuck.why, fleet.mailfleet(&["queue", "depth"]).stdout)
    });
    let redelivered = cast.redelivered().since(before);
    journal.note(&format!("{recovery:.2?}, {redelivered:?}"));
    cast.assert_alive();
    table.add(step, recovery, redelivered);
}

/// Everything is done, the books are compared, and the table is printed.
fn finish(fleet: &Fleet, load: &Load, cast: &mut Cast<'_>, journal: &Journal, table: &Table) {
    let mark = Mark::now(fleet, load.deliver(fleet, 1));
    mark.wait(fleet, AT_THE_END).unwrap_or_else(|stuck| panic!("{}", stuck.why));
    eventually_blocking("empty queues", AT_THE_END, || (fleet.entries() == 0).then_some(()));
    cast.assert_alive();
    let redelivered = cast.end_consumers();
    // The lease of one that was killed while it counted runs for two minutes more; nobody is left who could hold it.
    let _ = fleet.sql("UPDATE mailfleet.leases SET expires = now()");
    fleet.mailfleet(&["analytics", "run"]);
    let audit = fleet.try_mailfleet(&["audit", "--older-than", "0"]);

    let asked = load.asked();
    let tenant =
        |account: &str| ACCOUNTS.iter().find(|(name, _)| *name == account).map_or("", |(_, tenant)| tenant);
    let verdict = Verdict::of(&asked, &asked.totals("acme", tenant), &effects::found(fleet));
    journal.note(&format!("\n{}\n{redelivered:?}\n{verdict}", table.render()));
    assert!(verdict.is_good(), "{verdict}");
    assert!(audit.status.success(), "audit: {}\n{}", audit.stdout, audit.stderr);
    for kind in Kind::ALL {
        assert!(table.came(kind) > 0, "{} never came", kind.name());
    }
    assert!(redelivered.reclaimed > 0.0 && redelivered.run_again > 0.0, "nothing was hit: {redelivered:?}");
}

/// A number that the environment gives.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
