//! The look at everything after each step: raw keys, the queue's own answers and the model.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use futures::try_join;
use mailfleet_model::{Counters, Lane};
use mailfleet_queue::{Refuses, State as Doing};

use super::jobs::{self, UIDS};
use super::produce::MARKS;
use super::state::{Live, Place};
use super::world::{Check, World, ensure, text};

impl World {
    /// Model, raw keys and the answers of the queue say the same.
    pub async fn agree(&self) -> Check {
        // First, since the sweep's question for live jobs puts right what is stuck.
        let raw = self.raw.state().await?;
        ensure!(raw == self.model, "Redis has\n  {raw:?}\nand the model\n  {:?}", self.model);
        try_join!(self.depth(), self.live(), self.pauses(), try_join_all(UIDS.map(|uid| self.locate(uid))))?;
        self.holdings()
    }

    /// What the consumers and their deliveries say about what is held.
    fn holdings(&self) -> Check {
        for worker in &self.workers {
            let (told, held) = (worker.consumer.held(), worker.held.len());
            ensure!(told == held, "{} says that it holds {told}, and holds {held}", worker.name());
            for token in &worker.tokens {
                let (lost, held) = (token.delivery.lease_lost(), worker.holds(token));
                ensure!(lost != held, "{:?}: lost {lost}, held by {} {held}", token.delivery, worker.name());
            }
        }
        Ok(())
    }

    async fn depth(&self) -> Check {
        let depth = self.queue.depth().await.map_err(text)?;
        for lane in Lane::ALL {
            let count = |wanted: &dyn Fn(&Live) -> bool| Some(self.model.entries(lane, wanted).len() as u64);
            let counted = [
                count(&|live| live.place == Place::New),
                count(&|live| matches!(live.place, Place::Held(_))),
                count(&|live| live.place == Place::Delayed),
                count(&|live| live.place == Place::Ready),
            ];
            let told = depth.lane(lane);
            let told = [told.waiting, told.in_flight, told.delayed, told.released];
            ensure!(told == counted, "depth of {lane}: told {told:?}, are {counted:?}");
            let told = depth.lane(lane).refuses;
            let entries = self.model.entries(lane, |_| true).len();
            let by_entries = self.refusing.contains(&lane) && entries >= MARKS[lane.index()].1;
            let refuses = Refuses { by_entries, by_memory: false };
            ensure!(told == Some(refuses), "{lane}: told to refuse {told:?}, does {refuses:?}");
            for ((_, entries), (state, age)) in
                depth.lane(lane).states().iter().zip(depth.lane(lane).oldest.states())
            {
                // An entry of this very millisecond is as old as none.
                let fits = age.is_some_and(|age| age == 0 || *entries > Some(0));
                ensure!(fits, "{lane}: {entries:?} {state}, and the oldest is {age:?}");
            }
            // The bytes by number are compared with the entries where the raw keys are read.
            let dead = self.model.dead.values().filter(|(of, _)| *of == lane).count() as u64;
            ensure!(
                depth.lane(lane).dead == Some(dead),
                "{lane}: {dead} dead, told {:?}",
                depth.lane(lane).dead
            );
            let bytes = depth.lane(lane).bytes;
            ensure!(
                bytes.is_some_and(|bytes| (bytes > 0) == (entries > 0)),
                "{lane}: {bytes:?} in {entries}"
            );
        }
        let is_due =
            |live: &&Live| live.place == Place::Delayed && self.model.due.get(&live.entry) == Some(&true);
        let due = self.model.live.values().filter(is_due).count() as u64;
        ensure!(depth.due == Some(due), "due: told {:?}, are {due}", depth.due);
        ensure!(depth.dead == Some(self.model.dead.len() as u64), "dead: told {:?}", depth.dead);
        Ok(())
    }

    async fn live(&self) -> Check {
        let ids: Vec<_> = UIDS.map(jobs::id).collect();
        let told = self.queue.live(&ids).await.map_err(text)?;
        let live: Vec<bool> = UIDS.map(|uid| self.model.live.contains_key(&uid)).collect();
        ensure!(told == live, "live jobs: told {told:?}, are {live:?}");
        Ok(())
    }

    async fn pauses(&self) -> Check {
        let told = self.queue.paused().await.map_err(text)?;
        let lanes: BTreeSet<Lane> = Lane::ALL.into_iter().filter(|lane| told.lane(*lane).is_some()).collect();
        ensure!((&lanes, told.closed.is_some()) == (&self.paused, self.closed), "told {told:?}");
        Ok(())
    }

    /// Where the queue says that a job is.
    async fn locate(&self, uid: u32) -> Check {
        let told = self.queue.locate(&jobs::id(uid)).await.map_err(text)?;
        let (lane, place) = match (self.model.live.get(&uid), self.model.dead.get(&uid)) {
            (Some(live), _) => (live.entry.lane, Some(live)),
            (None, Some((lane, _))) => (*lane, None),
            (None, None) => {
                ensure!(told.is_none(), "job {uid} is not there and told to be {told:?}");
                return Ok(());
            }
        };
        let told = told.ok_or_else(|| format!("job {uid} is not found"))?;
        let (counters, history) =
            place.map_or((Counters::default(), 0), |live| (live.counters, live.history));
        let same = match (place.map(|live| &live.place), &told.state) {
            (None, Doing::Dead)
            | (Some(Place::New | Place::Ready), Doing::Waiting)
            | (Some(Place::Delayed), Doing::Delayed { .. }) => true,
            (Some(Place::Held(owner)), Doing::InFlight { consumer, .. }) => owner == consumer,
            _ => false,
        };
        ensure!(same, "job {uid} is {place:?} and told to be {told:?}");
        let as_told = (told.lane, told.counters, told.history.len());
        ensure!(as_told == (lane, counters, history), "job {uid} is {place:?} and told to be {told:?}");
        Ok(())
    }
}
