//! The steps of producers and operators, and disasters.

use std::collections::BTreeSet;

use mailfleet_model::{Counters, Lane};
use mailfleet_queue::{Enqueued, NewJob};

use super::jobs;
use super::state::{Live, Place, State};
use super::world::{Check, World, ensure, text};

/// Of each lane the entries at which it begins to refuse, and below which it ends.
pub const MARKS: [(usize, usize); 3] = [(4, 3), (3, 2), (3, 2)];

impl World {
    /// Enqueues, or replays where the jobs are dead: each job once, within the bounds of lanes and accounts.
    pub async fn enqueue(&mut self, wanted: &[(u32, Lane)], replay: bool) -> Check {
        let account_max = self.queue.config().account_max_entries;
        let mut lanes: Vec<(u32, Lane)> =
            self.model.live.iter().map(|(uid, live)| (*uid, live.entry.lane)).collect();
        let mut expected = Vec::new();
        for lane in Lane::ALL {
            let entries = lanes.iter().filter(|(_, of)| *of == lane).count();
            let (high, low) = MARKS[lane.index()];
            if entries >= high {
                self.refusing.insert(lane);
            } else if entries < low && self.refusing.remove(&lane) {
                self.note("a lane opened again");
            }
        }
        for &(uid, lane) in wanted {
            let in_lane = |account| {
                let of = |(uid, of): &&(u32, Lane)| *of == lane && account == jobs::account(*uid);
                lanes.iter().filter(of).count() as u64
            };
            let [one, two] = jobs::ACCOUNTS.map(in_lane);
            let of_account = in_lane(jobs::account(uid));
            let answer = if lanes.iter().any(|(live, _)| *live == uid) {
                Enqueued::AlreadyLive
            } else if self.closed {
                Enqueued::Closed
            } else if self.refusing.contains(&lane) {
                if one + two < MARKS[lane.index()].0 as u64 {
                    self.note("a lane refused below its mark");
                }
                Enqueued::LaneFull
            } else if lane != Lane::High && of_account >= account_max {
                Enqueued::AccountFull
            } else {
                lanes.push((uid, lane));
                if one + two + 1 >= MARKS[lane.index()].0 as u64 {
                    self.refusing.insert(lane);
                }
                Enqueued::Queued
            };
            expected.push(answer);
        }
        let new: Vec<NewJob> = wanted.iter().map(|(uid, lane)| jobs::job(*uid, *lane)).collect();
        let answers = if replay { self.queue.replay(new).await } else { self.queue.enqueue(new).await };
        let answers = answers.map_err(text)?;
        ensure!(answers == expected, "enqueued with {answers:?}, expected {expected:?}");
        let raw = self.raw.state().await?;
        for (&(uid, lane), answer) in wanted.iter().zip(answers) {
            self.note(match answer {
                Enqueued::Queued => "a job was queued",
                Enqueued::AlreadyLive => "a job was live already",
                Enqueued::LaneFull => "a lane was full",
                Enqueued::AccountFull => "an account was full",
                Enqueued::Closed => "the queue was closed",
            });
            if answer != Enqueued::Queued {
                continue;
            }
            let entry =
                raw.live.get(&uid).ok_or_else(|| format!("job {uid} was queued and is nowhere"))?.entry;
            let last = self.model.entries(lane, |_| true).last().copied();
            ensure!(entry.lane == lane && Some(entry) > last, "job {uid} is not the last of {lane}");
            if self.model.dead.remove(&uid).is_some() {
                self.note("a dead job was queued again");
            }
            let counters = Counters::default();
            let live = Live { entry, place: Place::New, count: 0, counters, history: 0, once: replay };
            self.model.live.insert(uid, live);
        }
        Ok(())
    }

    pub async fn pause(&mut self, lane: Option<Lane>) -> Check {
        self.queue.pause(lane, "somebody", "").await.map_err(text)?;
        self.paused.extend(lane.map_or(Lane::ALL.to_vec(), |lane| vec![lane]));
        self.note("something was paused");
        Ok(())
    }

    pub async fn resume(&mut self, lane: Option<Lane>) -> Check {
        let lifted = self.queue.resume(lane).await.map_err(text)?;
        let expected = match lane {
            Some(lane) => self.paused.remove(&lane),
            None => !std::mem::take(&mut self.paused).is_empty() | std::mem::take(&mut self.closed),
        };
        ensure!(lifted == expected, "resumed: told {lifted}");
        if lifted {
            self.note("a pause was lifted");
        }
        Ok(())
    }

    pub async fn close(&mut self) -> Check {
        self.queue.close("somebody", "").await.map_err(text)?;
        self.closed = true;
        Ok(())
    }

    pub async fn flush_all(&mut self) -> Check {
        let before = self.raw.now_ms().await?;
        self.raw.everywhere("FLUSHALL").await?;
        if !self.model.live.is_empty() {
            self.note("all was lost");
        }
        (self.model, self.expired) = (State::default(), BTreeSet::new());
        (self.paused, self.closed, self.refusing) = (BTreeSet::new(), false, BTreeSet::new());
        // Ids of entries are times: in the next millisecond none can come a second time.
        let mut now = before;
        for _ in 0..10_000 {
            if now > before {
                break;
            }
            now = self.raw.now_ms().await?;
        }
        ensure!(now > before, "time stands still");
        Ok(())
    }

    pub async fn destroy_group(&mut self, lane: Lane) -> Check {
        let _: i64 = self.raw.rows(&format!("XGROUP DESTROY K:{lane} consumers")).await?;
        if !self.model.entries(lane, |live| live.place != Place::New).is_empty() {
            self.note("a group was lost");
        }
        for live in self.model.live.values_mut().filter(|live| live.entry.lane == lane) {
            self.expired.remove(&live.entry);
            (live.place, live.count) = (Place::New, 0);
        }
        Ok(())
    }
}
