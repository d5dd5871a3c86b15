//! Steps are done here: on the real queue, and on the model beside it. What the queue answers must be what the model
//! says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use mailfleet_model::Lane;
use mailfleet_queue::{Consumer, ConsumerName, Delivery, Queue};

use super::jobs::UIDS;
use super::raw::Raw;
use super::state::{Entry, State};
use super::step::{SLOTS, Step, Way};

/// What is wrong, if something is.
pub type Check<T = ()> = Result<T, String>;

/// Ends the case with these words unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(super) use ensure;

/// A delivery in a worker's hands, whether it is still the worker's own or not.
pub struct Token {
    /// No other delivery has it.
    pub number: u64,
    pub uid: u32,
    pub entry: Entry,
    pub delivery: Delivery,
}

/// The delivery by which a consumer believes to hold an entry.
#[derive(Clone, Copy)]
pub struct Holding {
    pub token: u64,
    /// It takes the one place for what runs alone.
    pub alone: bool,
}

/// One consumer's process.
pub struct Worker {
    pub consumer: Consumer,
    pub tokens: Vec<Token>,
    /// What it believes to hold.
    pub held: BTreeMap<Entry, Holding>,
    /// What it dropped without settling it.
    pub let_go: BTreeSet<Entry>,
}

impl Worker {
    fn new(queue: &Queue, slot: usize, generation: u32) -> Self {
        let name = ConsumerName::new(format!("worker{slot}-{generation:06}")).unwrap();
        let consumer = queue.consumer(name);
        Self { consumer, tokens: Vec::new(), held: BTreeMap::new(), let_go: BTreeSet::new() }
    }

    pub fn name(&self) -> String {
        self.consumer.name().to_string()
    }

    /// Whether it may take one more that runs alone.
    pub fn has_room_alone(&self) -> bool {
        !self.held.values().any(|holding| holding.alone)
    }

    /// Whether it believes to hold the entry by this delivery: of several of one entry, only by the last.
    pub fn holds(&self, token: &Token) -> bool {
        self.held.get(&token.entry).is_some_and(|holding| holding.token == token.number)
    }

    /// Takes one delivery out of its hands.
    pub fn release(&mut self, token: &Token) -> bool {
        self.holds(token) && self.held.remove(&token.entry).is_some()
    }
}

pub struct World {
    pub queue: Queue,
    pub raw: Raw,
    pub model: State,
    /// Held entries whose leases have run out.
    pub expired: BTreeSet<Entry>,
    pub paused: BTreeSet<Lane>,
    pub closed: bool,
    /// Lanes that refuse what is new, as the last enqueue left them.
    pub refusing: BTreeSet<Lane>,
    pub workers: Vec<Worker>,
    generation: u32,
    /// The number of the next delivery.
    pub next_token: u64,
    /// When Redis was last seen, and whether that was without a gap; see `clock`.
    pub last_seen: Option<Instant>,
    /// How often something noteworthy has happened, over all cases.
    pub met: BTreeMap<&'static str, u32>,
}

impl World {
    pub fn new(queue: Queue, raw: Raw) -> Self {
        Self {
            queue,
            raw,
            model: State::default(),
            expired: BTreeSet::new(),
            paused: BTreeSet::new(),
            closed: false,
            refusing: BTreeSet::new(),
            workers: Vec::new(),
            generation: 0,
            next_token: 0,
            last_seen: None,
            met: BTreeMap::new(),
        }
    }

    /// Runs one case from an empty Redis to an empty queue, with a look at everything after each step.
    pub async fn case(&mut self, seed: u64, steps: &[Step]) -> Check {
        fastrand::seed(seed);
        self.workers = (0..SLOTS).map(|slot| self.worker(slot)).collect();
        for step in std::iter::once(&Step::FlushAll).chain(steps) {
            self.step(step).await?;
        }
        self.empty_the_queue().await
    }

    /// Whatever has happened, once everybody is dead and time has passed a single consumer gets all that is left.
    async fn empty_the_queue(&mut self) -> Check {
        for by in 0..SLOTS {
            self.step(&Step::Crash { by }).await?;
        }
        self.step(&Step::Resume(None)).await?;
        for of in 0..self.model.due.len() {
            self.step(&Step::DuePasses { of }).await?;
        }
        for of in 0..self.model.owners().len() {
            self.step(&Step::LeasePasses { of }).await?;
        }
        // What is to run alone comes one by one.
        for _ in UIDS {
            if self.model.live.is_empty() {
                break;
            }
            self.step(&Step::Reclaim { by: 0, forget: true }).await?;
            self.step(&Step::Claim { by: 0, max: UIDS.len() }).await?;
            let count = self.workers[0].tokens.len();
            self.step(&Step::Settle { by: 0, pick: 0, count, way: Way::Done }).await?;
        }
        ensure!(self.model.live.is_empty(), "in the end nobody gets {:?}", self.model.live);
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Check {
        let done = async {
            self.act(step).await?;
            Box::pin(self.agree()).await
        };
        // Boxed, since the look at everything asks for much at once.
        Box::pin(done).await.map_err(|why| format!("after {step:?}: {why}"))?;
        self.seen();
        Ok(())
    }

    async fn act(&mut self, step: &Step) -> Check {
        match step {
            Step::Enqueue(jobs) => self.enqueue(jobs, false).await,
            Step::Replay(of) => self.replay(*of).await,
            Step::ForgetDead(uids) => self.forget_dead(uids).await,
            Step::RebuildDead(uids) => self.rebuild_dead(uids).await,
            Step::Claim { by, max } => self.claim(*by, *max).await,
            Step::Settle { by, pick, count, way } => self.settle(*by, *pick, *count, *way).await,
            Step::Begin { by, pick } => self.begin(*by, *pick).await,
            Step::Drop { by, pick } => {
                self.drop_one(*by, *pick);
                Ok(())
            }
            Step::Pause(lane) => self.pause(*lane).await,
            Step::Resume(lane) => self.resume(*lane).await,
            Step::Close => self.close().await,
            Step::KeepAlive { by } => self.keep_alive(*by).await,
            Step::Crash { by } => {
                self.workers[*by] = self.worker(*by);
                Ok(())
            }
            Step::Leave { by } => self.leave(*by).await,
            Step::LostAnswer { by, lane } => self.lost_answer(*by, *lane).await,
            Step::Adopt { by } => self.adopt(*by).await,
            Step::LeasePasses { of } => self.lease_passes(*of).await,
            Step::Reclaim { by, forget } => self.reclaim(*by, *forget).await,
            Step::DuePasses { of } => self.due_passes(*of).await,
            Step::FlushAll => self.flush_all().await,
            Step::ScriptFlush => self.raw.everywhere("SCRIPT FLUSH").await,
            Step::DestroyGroup(lane) => self.destroy_group(*lane).await,
        }
    }

    /// A new process in this slot; names are never used again.
    pub fn worker(&mut self, slot: usize) -> Worker {
        self.generation += 1;
        Worker::new(&self.queue, slot, self.generation)
    }

    /// The next consumer, from this one on, that has deliveries in hand.
    pub fn with_tokens(&self, by: usize) -> Option<usize> {
        (by..by + SLOTS).map(|slot| slot % SLOTS).find(|slot| !self.workers[*slot].tokens.is_empty())
    }

    pub fn note(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }
}

pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
