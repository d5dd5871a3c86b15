//! The thread of one account: connect, read what is new, wait for more; on any trouble, wait and begin again.
//!
//! The session is a value. Whatever breaks it drops it, and the next iteration connects anew; a cursor has only ever
//! moved over what was enqueued, so that dropping a session at any point loses nothing.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailfleet_imap::{Endpoint, MailSource, Wake};
use mailfleet_model::{Backoff, Class, Classify};
use mailfleet_store::Account;

use crate::control::{Control, State};
use crate::mailbox::{Visitor, Watch};
use crate::problem::Problem;
use crate::services::Services;

/// A session that lasted shorter counts as one more failure: a server that lets us in and drops us at once must not
/// be called on in a tight loop.
const STABLE: Duration = Duration::from_secs(30);
/// Waits after errors that a person must mend: asked again, because the mending may happen on the server.
const MENDED_BY_HAND: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(300) };
/// Waits after a server that broke the protocol.
const ODD: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// The same trouble is logged again after this.
const LOG_AGAIN: Duration = Duration::from_secs(60);
/// No wait is shorter, so that a random zero does not become a busy loop.
const LEAST_WAIT: Duration = Duration::from_millis(20);

type Session = Box<dyn MailSource>;

/// A mailbox that cannot be read, while the account's others can.
#[derive(Debug)]
struct Parked {
    until: Instant,
    tries: u32,
}

/// One mailbox and when it is looked at next.
#[derive(Debug)]
struct Slot {
    watch: Watch,
    due: Instant,
    parked: Option<Parked>,
}

/// What the thread shares with others, and what it is for.
#[derive(Debug)]
struct Base {
    services: Arc<Services>,
    control: Arc<Control>,
    account: Account,
}

impl Base {
    fn visitor(&self) -> Visitor<'_> {
        Visitor { services: &self.services, account: &self.account, control: &self.control }
    }
}

/// The account's thread, as a value.
#[derive(Debug)]
pub struct Worker {
    base: Base,
    slots: Vec<Slot>,
    /// The slot whose mailbox is open.
    open: Option<usize>,
    connected_at: Option<Instant>,
    failures: u32,
    logged: Option<(String, Instant)>,
}

impl Worker {
    /// A worker that has not begun.
    pub fn new(services: Arc<Services>, control: Arc<Control>, account: Account) -> Self {
        let due = Instant::now();
        let slots = account
            .watched()
            .map(|(name, direction)| Slot {
                watch: Watch::new(name.to_owned(), direction),
                due,
                parked: None,
            })
            .collect();
        let base = Base { services, control, account };
        Self { base, slots, open: None, connected_at: None, failures: 0, logged: None }
    }

    /// Runs until the account is stopped.
    pub fn run(mut self) {
        let _span = tracing::info_span!("account", account = self.base.account.name).entered();
        tracing::debug!("watching begins");
        let mut session: Option<Session> = None;
        while !self.base.control.stopping() {
            session = self.iterate(session);
        }
        for slot in &mut self.slots {
            slot.watch.forget_count(self.base.visitor());
        }
        if let Some(session) = session.filter(|_| !self.base.control.kill.is_killed()) {
            // The server may be gone; so are we.
            let _ = session.logout();
        }
        tracing::debug!("watching ended");
    }

    /// One round. Takes the session and gives it back while it is fit for use.
    fn iterate(&mut self, session: Option<Session>) -> Option<Session> {
        let mut session = session;
        // A panic would be a bug of ours or of the client library on an odd answer; it costs this connection, not
        // the other accounts and not this one's future. What the worker holds is re-read after `lost`.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| self.round(&mut session)));
        let problem = match outcome {
            Ok(Ok(())) => return session,
            // Cut off, or in the middle of something that was not worth finishing: no more is asked of this server.
            Ok(Err(_)) if self.base.control.stopping() => return None,
            Ok(Err(problem)) => problem,
            Err(_) => {
                tracing::error!("a panic ended the session; connecting again (please report it)");
                self.lost();
                self.distrust();
                self.base.control.set_state(State::Error);
                self.wait_after_failure(None, ODD);
                return None;
            }
        };
        if !problem.spares_session() {
            session = None;
            self.lost();
        }
        self.distrust();
        self.report(&problem);
        let retry_after = match &problem {
            Problem::Imap(error) => error.retry_after(),
            _ => None,
        };
        self.wait_after_failure(retry_after, backoff(&problem));
        session
    }

    fn round(&mut self, session: &mut Option<Session>) -> Result<(), Problem> {
        let session = match session {
            Some(session) => session,
            None => session.insert(self.connect()?),
        };
        if !self.visit_all(session.as_mut())? {
            self.rest(session.as_mut())?;
            self.base.control.progress();
        }
        if self.connected_at.is_some_and(|since| since.elapsed() >= STABLE) {
            self.failures = 0;
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<Session, Problem> {
        let password = self.base.account.password.read()?;
        let endpoint = Endpoint {
            host: self.base.account.host.clone(),
            port: self.base.account.port,
            tls: self.base.account.tls,
            ca_file: self.base.account.ca_file.clone(),
            config: self.base.services.config.imap.clone(),
            waits: self.base.services.config.producer.waits(),
        };
        let session = mailfleet_imap::connect(
            &endpoint,
            &self.base.account.username,
            &password,
            &self.base.control.kill,
        )?;
        self.open = None;
        self.connected_at = Some(Instant::now());
        self.base.control.set_state(State::Connected);
        self.base.control.progress();
        tracing::info!(
            host = self.base.account.host,
            port = self.base.account.port,
            idle = session.idles(),
            "logged in"
        );
        let now = Instant::now();
        for slot in &mut self.slots {
            slot.due = now;
        }
        Ok(session)
    }

    /// Visits every mailbox that is due, the first one last, so that it is open when the waiting begins. True when
    /// there is more to do at once.
    fn visit_all(&mut self, session: &mut dyn MailSource) -> Result<bool, Problem> {
        let mut more = false;
        for index in (1..self.slots.len()).chain(std::iter::once(0)) {
            if self.base.control.stopping() {
                return Err(Problem::Stopping);
            }
            more |= self.visit(session, index)?;
        }
        Ok(more)
    }

    fn visit(&mut self, session: &mut dyn MailSource, index: usize) -> Result<bool, Problem> {
        let visitor = self.base.visitor();
        let limits = &visitor.services.config.producer;
        let (now, opened) = (Instant::now(), self.open == Some(index));
        let Some(slot) = self.slots.get_mut(index) else { return Ok(false) };
        if slot.parked.as_ref().is_some_and(|parked| parked.until > now) {
            return Ok(false);
        }
        let first_and_left = index == 0 && !opened;
        if slot.due > now && !first_and_left && !slot.watch.sweep_is_due(visitor.services) {
            return Ok(false);
        }
        // While the visit goes on nothing is open for certain.
        self.open = None;
        match slot.watch.visit(visitor, session, opened) {
            Ok(more) => {
                self.open = Some(index);
                slot.parked = None;
                slot.due = if more { now } else { slot.watch.next_visit().min(now + limits.poll_every()) };
                Ok(more)
            }
            Err(problem) if problem.concerns_mailbox() => {
                self.park(index, &problem);
                Ok(false)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Leaves a mailbox alone for a while; the account's others go on.
    fn park(&mut self, index: usize, problem: &Problem) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.watch.distrust(self.base.visitor());
        let tries = slot.parked.as_ref().map_or(1, |parked| parked.tries.saturating_add(1));
        let wait = MENDED_BY_HAND.ceiling(tries);
        slot.parked = Some(Parked { until: Instant::now() + wait, tries });
        if tries == 1 {
            tracing::error!(mailbox = slot.watch.name, "{problem}; the account's other mailboxes go on");
        }
        if self.slots.iter().all(|slot| slot.parked.is_some()) {
            self.base.control.set_state(State::Error);
        }
    }

    /// Waits for new mail in the open mailbox, or for the next thing to do.
    fn rest(&mut self, session: &mut dyn MailSource) -> Result<(), Problem> {
        let now = Instant::now();
        let limits = &self.base.services.config.producer;
        let next = self
            .slots
            .iter()
            .enumerate()
            .map(|(index, slot)| match &slot.parked {
                Some(parked) => parked.until,
                None if Some(index) == self.open => slot.watch.next_visit(),
                None => slot.due,
            })
            .fold(now + limits.idle(), Instant::min);
        let at_most = next.saturating_duration_since(now).max(LEAST_WAIT);
        let Some(open) = self.open else {
            // Nothing can be opened: there is nothing to listen to.
            self.base.control.pause(at_most);
            return Ok(());
        };
        self.base.control.set_state(State::Connected);
        let wake = session.wait(at_most, &self.base.control.interrupt)?;
        tracing::trace!(?wake, "woken");
        // A time-out looks too: a server may have lost a notice, and a look is cheap.
        if let (Some(slot), Wake::NewMail | Wake::Timeout) = (self.slots.get_mut(open), wake) {
            slot.due = Instant::now();
        }
        Ok(())
    }

    /// Nothing that was known about the mailboxes is taken for granted any more.
    fn distrust(&mut self) {
        for slot in &mut self.slots {
            slot.watch.distrust(self.base.visitor());
        }
    }

    /// The session is gone.
    fn lost(&mut self) {
        self.open = None;
        if self.connected_at.take().is_some_and(|since| since.elapsed() >= STABLE) {
            self.failures = 0;
        }
    }

    fn wait_after_failure(&mut self, retry_after: Option<Duration>, backoff: Backoff) {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff.delay(self.failures, fastrand::f64()).max(LEAST_WAIT);
        // A server's own word is a floor, with jitter on top: all its clients heard the same number.
        let wait = retry_after.map_or(wait, |floor| floor + wait);
        self.base.control.pause(wait);
    }

    /// Logs a problem once, and again when it changes or lasts, and sets the account's state by it.
    fn report(&mut self, problem: &Problem) {
        if matches!(problem, Problem::Store(_) | Problem::Queue(_)) {
            // Every account meets the same trouble; one line a second says it for all.
            match self.base.services.outage_log.open() {
                Some(suppressed) if problem.class() == Class::Outage => {
                    tracing::warn!(suppressed, "{problem}; waiting, no cursor moves");
                }
                Some(suppressed) => tracing::error!(suppressed, "{problem}; no cursor moves"),
                None => {}
            }
            return;
        }
        let (state, by_hand) = verdict(problem);
        self.base.control.set_state(state);
        let text = problem.to_string();
        let now = Instant::now();
        let fresh = self.logged.as_ref().is_none_or(|(last, at)| *last != text || now - *at >= LOG_AGAIN);
        if !fresh {
            return;
        }
        if by_hand {
            tracing::error!("{text}");
        } else if let Some(suppressed) = self.base.services.mail_outage_log.open() {
            tracing::warn!(suppressed, "{text}; connecting again");
        } else {
            // Not told, so its turn comes with another try: a thousand accounts may be of one server.
            return;
        }
        self.logged = Some((text, now));
    }
}

/// What the account's state is after a problem, and whether a person must do something.
fn verdict(problem: &Problem) -> (State, bool) {
    use mailfleet_imap::Error;
    match problem {
        Problem::Password(_)
        | Problem::Imap(Error::AuthenticationRejected { .. } | Error::InsecureLogin { .. }) => {
            (State::AuthFailed, true)
        }
        other => match other.class() {
            Class::Outage | Class::Transient => (State::Connecting, false),
            Class::Data | Class::Policy | Class::Hostile | Class::Fault => (State::Error, true),
        },
    }
}

/// How long to wait after a problem.
fn backoff(problem: &Problem) -> Backoff {
    match problem.class() {
        Class::Outage => Backoff::RECONNECT,
        Class::Transient | Class::Data | Class::Hostile => ODD,
        Class::Policy | Class::Fault => MENDED_BY_HAND,
    }
}
