//! The fleet of account threads: starts one for each enabled account, follows the table of accounts, ends them all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mailfleet_model::{AccountId, Class, Classify};
use mailfleet_runtime::{Beat, Shutdown};
use mailfleet_store::Account;

use crate::account::Worker;
use crate::control::{Control, State};
use crate::services::Services;

/// How often the fleet looks at its threads.
const TICK: Duration = Duration::from_millis(500);
/// How often it looks while it waits for their end.
const END_TICK: Duration = Duration::from_millis(10);

/// One account's thread.
#[derive(Debug)]
struct Running {
    account: Account,
    control: Arc<Control>,
    thread: JoinHandle<()>,
}

/// All account threads.
#[derive(Debug)]
pub struct Fleet {
    services: Arc<Services>,
    shutdown: Shutdown,
    running: BTreeMap<AccountId, Running>,
    /// The components of `/readyz` that are reported here.
    accounts: Beat,
    store: Beat,
    generation: u64,
    /// Whether the table of accounts was ever read: before that their number is not known, which is not none.
    known: bool,
}

impl Fleet {
    /// A fleet without ships.
    pub fn new(services: Arc<Services>, shutdown: Shutdown, accounts: Beat, store: Beat) -> Self {
        let generation = services.generation();
        Self { services, shutdown, running: BTreeMap::new(), accounts, store, generation, known: false }
    }

    /// Runs until the process stops, then ends every thread.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut refresh_at = Instant::now();
        loop {
            if refresh_at <= Instant::now() && self.refresh().await {
                refresh_at = Instant::now() + self.services.config.producer.refresh_every();
            }
            self.pass_on_sweep();
            self.report();
            if !self.shutdown.sleep(TICK).await {
                break;
            }
        }
        self.end().await;
        Ok(())
    }

    /// Brings the threads into line with the table. False when PostgreSQL is away: the threads go on as they are.
    async fn refresh(&mut self) -> bool {
        let answer = self.shutdown.unless_stopping(self.services.store.accounts(true)).await;
        let accounts = match answer {
            None => return true,
            Some(Ok(accounts)) => accounts,
            Some(Err(error)) => {
                self.store.failed(&error);
                let text = "cannot read the accounts; the running ones go on";
                match self.services.outage_log.open() {
                    Some(suppressed) if error.class() == Class::Outage => {
                        tracing::warn!(suppressed, %error, "{text}");
                    }
                    Some(suppressed) => tracing::error!(suppressed, %error, "{text}"),
                    None => {}
                }
                return false;
            }
        };
        self.store.ok();
        self.known = true;
        let wanted: BTreeMap<AccountId, Account> =
            accounts.into_iter().map(|account| (account.id, account)).collect();
        for (id, running) in &self.running {
            if wanted.get(id) != Some(&running.account) && !running.control.stopping() {
                tracing::info!(account = running.account.name, "the account was changed or disabled");
                running.control.stop();
            }
        }
        // A changed account begins anew only when its old thread has ended, so that no mailbox has two watchers.
        self.running.retain(|_, running| !running.thread.is_finished());
        for (id, account) in wanted {
            if !self.running.contains_key(&id) {
                let name = account.name.clone();
                if let Err(error) = self.start(account) {
                    // What is short for one is short for those after it. The next look at the table tries again; the
                    // accounts that run go on.
                    tracing::error!(account = name, "{error:#}");
                    break;
                }
            }
        }
        self.running.values().all(|running| !running.control.stopping())
    }

    fn start(&mut self, account: Account) -> anyhow::Result<()> {
        let control = Arc::new(Control::new().context(
            "cannot watch another account: no file descriptors left (raise the limit, `ulimit -n`)",
        )?);
        let worker = Worker::new(Arc::clone(&self.services), Arc::clone(&control), account.clone());
        // The default stack of 2 MiB: only what is touched is memory.
        let thread = thread::Builder::new()
            .name(format!("imap {}", account.name.chars().take(10).collect::<String>()))
            .spawn(move || worker.run())
            .context("cannot watch another account: the system refuses another thread")?;
        self.running.insert(account.id, Running { account, control, thread });
        Ok(())
    }

    /// Wakes every thread when Redis may have lost something.
    fn pass_on_sweep(&mut self) {
        let generation = self.services.generation();
        if generation != self.generation {
            self.generation = generation;
            for running in self.running.values() {
                running.control.nudge();
            }
        }
    }

    /// Tells metrics and health how the accounts stand.
    ///
    /// One account that fails, or even hangs, does not make the process unready; that none gets anything done does.
    fn report(&self) {
        if !self.known {
            self.accounts.failed("the table of accounts has not been read yet");
            return;
        }
        let limits = &self.services.config.producer;
        // A thread reports after every wait and every batch; the longest honest silence is one IDLE and one slow answer.
        let longest = limits.idle() + Duration::from_millis(self.services.config.imap.read_timeout_ms);
        let now = Instant::now();
        let mut moving = 0_usize;
        let mut by_state = [0_u64; State::ALL.len()];
        for running in self.running.values() {
            let report = running.control.report();
            if let Some(index) = State::ALL.iter().position(|state| *state == report.state)
                && let Some(count) = by_state.get_mut(index)
            {
                *count += 1;
            }
            let recent = report.progress.is_some_and(|at| now.saturating_duration_since(at) <= longest);
            moving += usize::from(recent && report.state == State::Connected);
        }
        for (state, count) in State::ALL.iter().zip(by_state) {
            self.services.metrics.accounts.set(&[state.as_str()], Some(count));
        }
        if moving > 0 || self.running.is_empty() {
            self.accounts.ok();
        } else {
            self.accounts.failed(&format!("none of {} accounts gets anything done", self.running.len()));
        }
    }

    /// Ends every thread: first they finish the batch in hand; those that a server keeps waiting are cut off well
    /// before the process would be.
    async fn end(self) {
        for running in self.running.values() {
            running.control.stop();
            if running.control.report().state != State::Connected {
                // Nothing in hand: it waits for a server to take its connection or its login.
                running.control.kill.kill();
            }
        }
        let cut_at = Instant::now() + self.shutdown.time_left().unwrap_or_default() / 2;
        let mut cut = false;
        while self.running.values().any(|running| !running.thread.is_finished()) {
            if !cut && Instant::now() >= cut_at {
                cut = true;
                let left = self.running.values().filter(|running| !running.thread.is_finished()).count();
                tracing::warn!(accounts = left, "cutting off accounts that do not end by themselves");
                self.services.cut();
                for running in self.running.values() {
                    running.control.kill.kill();
                }
            }
            // The supervisor ends the process at the deadline if even this does not help.
            tokio::time::sleep(END_TICK).await;
        }
        tracing::info!(
            accounts = self.running.len(),
            "all accounts ended; every cursor stands where it was enqueued"
        );
    }
}
