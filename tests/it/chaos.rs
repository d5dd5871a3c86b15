//! Faults in random order, under load: whatever comes together, every mail and every delivery event is there once.
//!
//! Some seconds in the ordinary suite, minutes with `make test-slow`. The seed is printed; `CHAOS_SEED` runs it again.

use std::time::{Duration, Instant};

use mailfleet_testkit::{Process, eventually_blocking};
use mailfleet_tests::{Fleet, Platform, numbered};

/// Longer than the lease: who stands still for this long has lost what it held.
const STANDSTILL: Duration = Duration::from_secs(4);

/// The running binaries: one producer and two consumers at all times, but for the moments between two lines.
struct Running {
    platform: Platform,
    producer: Process,
    consumers: Vec<Process>,
}

impl Running {
    fn start(fleet: &Fleet) -> Self {
        let (platform, producer) = Platform::start(fleet);
        Self { platform, producer, consumers: vec![fleet.consumer(), fleet.consumer()] }
    }

    /// Does one thing to the fleet and says which.
    async fn fault(&mut self, fleet: &Fleet, dice: &mut fastrand::Rng) -> &'static str {
        let one = dice.usize(..self.consumers.len());
        match dice.u8(..9) {
            0 | 1 => {
                self.consumers[one].sigkill();
                self.consumers[one] = fleet.consumer();
                "consumer killed"
            }
            2 => {
                self.consumers[one].sigterm();
                self.consumers[one].wait_exit(Duration::from_secs(30)).unwrap();
                self.consumers[one] = fleet.consumer();
                "consumer replaced, as a deploy does"
            }
            3 => {
                self.consumers[one].stop_cont(STANDSTILL);
                "consumer stood still for longer than its lease"
            }
            4 => {
                self.producer.sigkill();
                self.producer = self.platform.producer(fleet);
                "producer killed"
            }
            5 => {
                fleet.redis.kill();
                fleet.redis.start_again().unwrap();
                "Redis killed"
            }
            6 => {
                fleet.redis.flushall().await;
                "Redis flushed"
            }
            7 => {
                fleet.postgres.kill();
                fleet.postgres.start_again().unwrap();
                "PostgreSQL killed"
            }
            _ => {
                fleet.dovecot.kill();
                fleet.dovecot.start_again().unwrap();
                "Dovecot killed"
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_in_any_order_lose_and_double_nothing() {
    let slow = std::env::var_os("MAILFLEET_SLOW").is_some();
    let length = Duration::from_secs(if slow { 300 } else { 20 });
    let seed =
        std::env::var("CHAOS_SEED").map_or_else(|_| fastrand::u64(..1_000_000), |seed| seed.parse().unwrap());
    println!("CHAOS_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);

    let fleet = Fleet::start();
    let mut running = Running::start(&fleet);
    let begun = Instant::now();
    let mut mails = 0u32;
    while begun.elapsed() < length {
        let more = dice.u32(10..60);
        fleet.deliver((mails + 1..=mails + more).map(numbered));
        mails += more;
        running.platform.send(more / 10);
        // The next fault comes in the middle of this work, or when it is stuck.
        let (before, since, patience) = (fleet.accounted(), Instant::now(), dice.u64(100..1_500));
        eventually_blocking("progress or its lack", Duration::from_secs(5), || {
            let moved = fleet.accounted() > before + u64::from(more / 2);
            (moved || since.elapsed() > Duration::from_millis(patience)).then_some(())
        });
        let what = running.fault(&fleet, &mut dice).await;
        println!("{:7.2} s, {mails} mails delivered: {what}", begun.elapsed().as_secs_f64());
    }
    fleet.wait_accounted(u64::from(mails), Duration::from_secs(90));
    eventually_blocking("the queue to be empty", Duration::from_secs(30), || {
        (fleet.in_flight() + fleet.waiting() == 0).then_some(())
    });
    running.platform.assert_all_once(&fleet, Duration::from_secs(90));
    fleet.assert_all_once(mails);
}
