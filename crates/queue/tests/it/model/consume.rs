//! The steps of consumers: claim, settle, keep alive, leave, adopt.

use std::collections::BTreeSet;
use std::time::Duration;

use mailfleet_model::{Class, Lane};
use mailfleet_queue::{Delivery, Failure, Settled};
use mailfleet_testkit::eventually;

use super::clock::LONG_AGO_MS;
use super::jobs;
use super::state::{Entry, Live, Place};
use super::step::{SLOTS, Way};
use super::world::{Check, Holding, Token, World, ensure, text};
use crate::fixture::SOON;

const AN_HOUR: Duration = Duration::from_secs(3_600);

impl World {
    pub async fn claim(&mut self, by: usize, max: usize) -> Check {
        self.promote();
        let deliveries = self.workers[by].consumer.claim(max).await.map_err(text)?;
        self.is_a_fair_claim(by, max, &deliveries)?;
        self.receive(by, deliveries)
    }

    /// Whatever is due waits to be taken.
    fn promote(&mut self) {
        let due: Vec<Entry> =
            self.model.due.iter().filter(|(_, due)| **due).map(|(entry, _)| *entry).collect();
        for entry in due {
            self.model.due.remove(&entry);
            if let Some(live) = self.model.at_mut(entry).filter(|live| live.place == Place::Delayed) {
                live.place = Place::Ready;
                self.note("a delayed entry came due");
            }
        }
    }

    /// Which lanes give how many is a matter of their weights, and of chance. All else is not: within a lane the one that
    /// runs alone, then what was taken before, then what is new, oldest first; no more than one that runs alone; nothing
    /// of a paused lane; and as many as there are.
    ///
    /// With several partitions a claim asks each of them several times, and what comes with one answer may leave the place
    /// for what runs alone to another one, which comes with a later answer: one that is out of crashes waits among those that
    /// run alone, and is not run; one that was held alone may come again as a new one, when its group was lost.
    fn is_a_fair_claim(&self, by: usize, max: usize, deliveries: &[Delivery]) -> Check {
        let worker = &self.workers[by];
        let room = worker.has_room_alone();
        let is_asked_again = self.queue.config().partitions > 1;
        let was_held_alone = |delivery: &&Delivery| {
            let entry = Entry::parse(delivery.lane(), delivery.entry_id());
            entry.and_then(|entry| worker.held.get(&entry)).is_some_and(|holding| holding.alone)
        };
        let out_of_crashes =
            deliveries.iter().filter(|delivery| delivery.run_alone() && delivery.exhausted_crashes()).count();
        let freed = deliveries.iter().filter(was_held_alone).count();
        let may_come_later = is_asked_again && out_of_crashes + freed > 0;
        let mut alone_taken = 0;
        let mut left = 0;
        let mut alone_in_untouched = 0;
        for lane in Lane::ALL.into_iter().filter(|lane| !self.paused.contains(lane)) {
            let of_lane = deliveries.iter().filter(|delivery| delivery.lane() == lane);
            let got: Vec<Entry> =
                of_lane.filter_map(|delivery| Entry::parse(lane, delivery.entry_id())).collect();
            let ready = |live: &Live, alone| live.place == Place::Ready && (live.count >= 2) == alone;
            let alone = self.model.entries(lane, |live| ready(live, true));
            let first_is_alone = got.first().is_some_and(|first| alone.contains(first));
            let (alone_got, got): (Vec<Entry>, Vec<Entry>) =
                got.into_iter().partition(|entry| alone.contains(entry));
            ensure!(
                alone.starts_with(&alone_got),
                "the oldest that run alone in {lane} come first: {alone:?}, not {alone_got:?}"
            );
            alone_taken += alone_got.len();
            ensure!(
                alone_got.is_empty() || first_is_alone || may_come_later,
                "one that runs alone in {lane} goes before all else"
            );
            if alone_got.is_empty() && !alone.is_empty() {
                // It may only be passed over where another lane's was taken.
                alone_in_untouched += got.len() + usize::from(deliveries.len() < max);
            }
            let mut waiting = self.model.entries(lane, |live| ready(live, false));
            waiting.extend(self.model.entries(lane, |live| live.place == Place::New));
            ensure!(waiting.starts_with(&got), "{lane} has {waiting:?} in this order, and gave {got:?}");
            left += waiting.len() - got.len();
        }
        let paused = deliveries.iter().find(|delivery| self.paused.contains(&delivery.lane()));
        ensure!(paused.is_none(), "{paused:?} of a paused lane");
        let places = usize::from(room) + if is_asked_again { freed } else { 0 };
        let most = if is_asked_again && places > 0 { places + out_of_crashes } else { places };
        ensure!(
            alone_taken <= most,
            "{alone_taken} that run alone, {out_of_crashes} of them out of crashes, with room for {places}"
        );
        ensure!(
            !room || alone_taken > 0 || alone_in_untouched == 0,
            "one that runs alone was passed over: {deliveries:?}"
        );
        ensure!(deliveries.len() <= max, "{} of at most {max}", deliveries.len());
        ensure!(deliveries.len() == max || left == 0, "{left} were left, although {max} were wanted");
        Ok(())
    }

    /// Takes deliveries in, which must be what the model knows of their jobs. Those that were not held before are so now.
    pub fn receive(&mut self, by: usize, deliveries: Vec<Delivery>) -> Check {
        let (max_attempts, max_crashes) = (self.queue.config().max_attempts, self.queue.config().max_crashes);
        for delivery in deliveries {
            let uid = delivery.envelope().work.mail().map(|at| at.uid.get()).unwrap_or_default();
            let entry = Entry::parse(delivery.lane(), delivery.entry_id());
            let worker = &mut self.workers[by];
            let live = self.model.live.get_mut(&uid).filter(|live| Some(live.entry) == entry);
            let live = live.ok_or_else(|| format!("{delivery:?} of job {uid} is not in the model"))?;
            live.place = Place::Held(worker.name());
            live.count = live.count.max(1);
            let exhausted = live.counters.crashes >= max_crashes;
            ensure!(*delivery.job_id() == jobs::id(uid), "{delivery:?} is not of job {uid}");
            ensure!(delivery.malformed().is_none(), "{delivery:?} cannot be read");
            ensure!(delivery.raw()[..] == jobs::raw(uid)[..], "{delivery:?} has other raw mail");
            ensure!(delivery.counters() == live.counters, "{delivery:?}, in the model {live:?}");
            ensure!(delivery.history().len() == live.history, "{delivery:?} has another history: {live:?}");
            ensure!(delivery.run_alone() == (live.count >= 2), "{delivery:?}, in the model {live:?}");
            ensure!(delivery.exhausted_crashes() == exhausted, "{delivery:?}, in the model {live:?}");
            let attempts = if live.once { 1 } else { max_attempts };
            let left = attempts.saturating_sub(live.counters.attempts);
            ensure!(delivery.attempts_left() == left, "{delivery:?} has attempts left, in the model {left}");
            ensure!(!delivery.lease_lost(), "{delivery:?} was lost at once");
            let suspect = live.count >= 3 || (live.count == 2 && live.counters.crashes > 0);
            ensure!(delivery.is_suspect() == suspect, "{delivery:?}, in the model {live:?}");
            let (entry, alone) = (live.entry, live.count >= 2 && !exhausted);
            let number = self.next_token;
            self.next_token += 1;
            let before = worker.held.insert(entry, Holding { token: number, alone });
            worker.let_go.remove(&entry);
            worker.tokens.push(Token { number, uid, entry, delivery });
            if before.is_some() {
                self.note("a lost entry came back to its consumer");
            }
            self.note(match (alone, exhausted) {
                (_, true) => "a delivery was out of crashes",
                (true, _) => "a delivery ran alone",
                _ => "a delivery",
            });
        }
        Ok(())
    }

    pub async fn settle(&mut self, by: usize, pick: usize, count: usize, way: Way) -> Check {
        let count = if matches!(way, Way::Retry { .. } | Way::Crashed { .. }) { 1 } else { count };
        let Some(by) = self.with_tokens(by) else { return Ok(()) };
        let worker = &mut self.workers[by];
        let start = pick % worker.tokens.len();
        worker.tokens.rotate_left(start);
        let mut batch: Vec<Token> = worker.tokens.drain(..count.min(worker.tokens.len())).collect();
        let (consumer, name) = (worker.consumer.clone(), worker.name());
        let mut settled = Vec::new();
        for token in &batch {
            let ours = worker.release(token) && self.model.owner(token.entry) == Some(name.as_str());
            settled.push((
                token.uid,
                token.entry,
                ours,
                token.delivery.counters(),
                token.delivery.history().len(),
            ));
        }
        let mut deliveries: Vec<Delivery> = batch.drain(..).map(|token| token.delivery).collect();
        let after = |now: bool| if now { Duration::ZERO } else { AN_HOUR };
        let answers = match way {
            Way::Done => consumer.done(deliveries).await,
            Way::Retry { now } => {
                let failure = Failure::new(Class::Transient, "a failure");
                consumer.retry(deliveries.remove(0), after(now), &failure).await.map(|settled| vec![settled])
            }
            Way::Crashed { now } => {
                let failure = Failure::new(Class::Hostile, "the end of a child");
                let crashed = consumer.crashed(deliveries.remove(0), after(now), &failure).await;
                crashed.map(|settled| vec![settled])
            }
            Way::Delay { now } => consumer.delay_uncounted(deliveries, after(now)).await,
            Way::HandBack => consumer.hand_back(deliveries).await,
            Way::DeadLetter => {
                let reasoned = deliveries.into_iter().map(|delivery| (delivery, reason(&name))).collect();
                consumer.dead_letter(reasoned).await
            }
        };
        let answers = answers.map_err(|(error, _)| text(error))?;
        ensure!(answers.len() == settled.len(), "{} answers", answers.len());
        for ((uid, entry, ours, counters, history), answer) in settled.into_iter().zip(answers) {
            let expected = if ours { Settled::Done } else { Settled::LostLease };
            ensure!(answer == expected, "settling {entry:?} of job {uid} by {name}: {answer:?}");
            self.note(if ours { "a delivery was settled" } else { "a stale owner was refused" });
            if ours {
                self.expired.remove(&entry);
                self.settled(uid, entry, way, &name);
                let (attempt, crash) = (matches!(way, Way::Retry { .. }), matches!(way, Way::Crashed { .. }));
                if let (true, Some(live)) = (attempt || crash, self.model.at_mut(entry)) {
                    live.counters.attempts =
                        live.counters.attempts.max(counters.attempts + u32::from(attempt));
                    live.counters.crashes = live.counters.crashes.max(counters.crashes + u32::from(crash));
                    live.history = history + 1;
                }
            }
        }
        Ok(())
    }

    fn settled(&mut self, uid: u32, entry: Entry, way: Way, by: &str) {
        if matches!(way, Way::Done | Way::DeadLetter) {
            self.model.live.remove(&uid);
            if way == Way::DeadLetter {
                self.model.dead.insert(uid, (entry.lane, reason(by)));
            }
            return;
        }
        let Some(live) = self.model.at_mut(entry) else { return };
        live.rests();
        match way {
            Way::Retry { now } | Way::Crashed { now } | Way::Delay { now } => {
                live.place = Place::Delayed;
                self.model.due.insert(entry, now);
            }
            Way::HandBack | Way::Done | Way::DeadLetter => {
                live.place = Place::Ready;
                live.counters.drains += 1;
            }
        }
    }

    pub async fn begin(&mut self, by: usize, pick: usize) -> Check {
        let Some(by) = self.with_tokens(by) else { return Ok(()) };
        let worker = &self.workers[by];
        let token = &worker.tokens[pick % worker.tokens.len()];
        let (entry, name) = (token.entry, worker.name());
        let ours = worker.holds(token) && self.model.owner(entry) == Some(name.as_str());
        let begun = worker.consumer.begin(&token.delivery).await.map_err(text)?;
        ensure!(begun == ours, "{name} begins {entry:?}: {begun}");
        if let (true, Some(live)) = (ours, self.model.at_mut(entry)) {
            live.rests();
            live.count = live.count.max(3) + 1;
            self.expired.remove(&entry);
            self.note("an entry ran by itself");
        }
        Ok(())
    }

    /// A delivery is dropped without being settled. Only where it held its entry that is let go.
    pub fn drop_one(&mut self, by: usize, pick: usize) {
        let Some(by) = self.with_tokens(by) else { return };
        let worker = &mut self.workers[by];
        let token = worker.tokens.swap_remove(pick % worker.tokens.len());
        let held = worker.release(&token);
        if held {
            worker.let_go.insert(token.entry);
        }
        self.note(if held { "a delivery was dropped" } else { "a lost delivery was dropped" });
    }

    /// One round of the keeper. What the consumer still owns is fresh after it, and of all else it knows that it is lost.
    pub async fn keep_alive(&mut self, by: usize) -> Check {
        // The next one that has lost something, if any has.
        let mut slots = (by..by + SLOTS).map(|slot| slot % SLOTS);
        let has_lost = slots.find(|slot| {
            let name = self.workers[*slot].name();
            self.workers[*slot].held.keys().any(|entry| self.model.owner(*entry) != Some(name.as_str()))
        });
        let Some(by) = has_lost.or_else(|| self.with_tokens(by)) else { return Ok(()) };
        let name = self.workers[by].name();
        let held: Vec<Entry> = self.workers[by].held.keys().copied().collect();
        let (ours, lost): (Vec<Entry>, Vec<Entry>) =
            held.into_iter().partition(|entry| self.model.owner(*entry) == Some(name.as_str()));
        for entry in &ours {
            self.set_idle(*entry, &name, LONG_AGO_MS).await?;
        }
        let worker = &self.workers[by];
        let told = |entry: &Entry| {
            let holding = worker.held.get(entry);
            let held = |token: &&Token| holding.is_some_and(|holding| holding.token == token.number);
            worker.tokens.iter().find(held).is_some_and(|token| token.delivery.lease_lost())
        };
        let keeper = worker.consumer.spawn_keeper().map_err(text)?;
        eventually("a round of the keeper", SOON, || async {
            let mut renewed = true;
            for entry in &ours {
                let (lane, id) = (entry.lane, entry.id());
                let command = format!("XPENDING K:{lane} consumers {id} {id} 1 {name}");
                let rows: Vec<(String, String, u64, u32)> = self.raw.run(&command).await.unwrap_or_default();
                renewed = renewed && rows.iter().all(|(.., idle_ms, _)| *idle_ms < LONG_AGO_MS);
            }
            (renewed && lost.iter().all(told)).then_some(())
        })
        .await;
        drop(keeper);
        let wrong = ours.iter().find(|entry| told(entry));
        ensure!(wrong.is_none(), "{wrong:?} is told to be lost");
        for entry in lost {
            self.workers[by].held.remove(&entry);
            self.note("a consumer learnt of a lost lease");
        }
        self.expired.retain(|entry| !ours.contains(entry));
        Ok(())
    }

    /// Good-bye: what it holds is handed back and counted, what it owns without knowing is given back.
    pub async fn leave(&mut self, by: usize) -> Check {
        let worker = &self.workers[by];
        let name = worker.name();
        worker.consumer.leave().await.map_err(text)?;
        let kept = worker
            .tokens
            .iter()
            .find(|token| worker.held.contains_key(&token.entry) && !token.delivery.lease_lost());
        ensure!(kept.is_none(), "{:?} is kept by one that has left", kept.map(|token| token.entry));
        for live in self.model.live.values_mut().filter(|live| live.is_held_by(&name)) {
            live.place = Place::Ready;
            live.rests();
            live.counters.drains += u32::from(worker.held.contains_key(&live.entry));
            self.expired.remove(&live.entry);
        }
        self.workers[by] = self.worker(by);
        Ok(())
    }

    /// The claim of one new entry whose answer does not arrive: the entry is the consumer's, which does not know. Where it
    /// still believes to hold that entry by an earlier delivery, it does so rightly again.
    pub async fn lost_answer(&mut self, by: usize, lane: Lane) -> Check {
        // The next lane that has something new, if any has.
        let lanes = Lane::ALL.into_iter().cycle().skip(lane.index()).take(Lane::ALL.len());
        let has_new = |lane: &Lane| !self.model.entries(*lane, |live| live.place == Place::New).is_empty();
        let mut lanes = lanes.filter(|lane| !self.paused.contains(lane));
        let Some(lane) = lanes.find(has_new) else { return Ok(()) };
        let name = self.workers[by].name();
        let command = format!("XREADGROUP GROUP consumers {name} COUNT 1 STREAMS K:{lane} >");
        let _: redis::Value = self.raw.rows(&command).await?;
        let state = self.raw.state().await?;
        let new = self.model.entries(lane, |live| live.place == Place::New);
        let Some(entry) = new.first() else { return Ok(()) };
        // There may be no group yet.
        if state.owner(*entry) == Some(name.as_str())
            && let Some(live) = self.model.at_mut(*entry)
        {
            (live.place, live.count) = (Place::Held(name), 1);
        }
        Ok(())
    }

    /// What a consumer owns without knowing of it.
    fn unknown_to(&self, by: usize) -> BTreeSet<Entry> {
        let worker = &self.workers[by];
        let name = worker.name();
        let unknown = self.model.live.values().filter(|live| {
            let known = worker.held.contains_key(&live.entry) || worker.let_go.contains(&live.entry);
            live.is_held_by(&name) && !known
        });
        unknown.map(|live| live.entry).collect()
    }

    pub async fn adopt(&mut self, by: usize) -> Check {
        let mut slots = (by..by + SLOTS).map(|slot| slot % SLOTS);
        let by = slots.find(|slot| !self.unknown_to(*slot).is_empty()).unwrap_or(by);
        let expected = self.unknown_to(by);
        let deliveries = self.workers[by].consumer.adopt().await.map_err(text)?;
        let got: Option<BTreeSet<Entry>> =
            deliveries.iter().map(|delivery| Entry::parse(delivery.lane(), delivery.entry_id())).collect();
        ensure!(got.as_ref() == Some(&expected), "adopted {got:?}, expected {expected:?}");
        if !expected.is_empty() {
            self.note("an entry was adopted");
        }
        self.expired.retain(|entry| !expected.contains(entry));
        for entry in &expected {
            if let Some(live) = self.model.at_mut(*entry) {
                live.rests();
            }
        }
        self.receive(by, deliveries)
    }
}

/// The reason of a dead letter tells who wrote it.
fn reason(by: &str) -> String {
    format!("{by} gave up")
}
