//! The life of one caller: each of the queue's calls at least once, in an order that makes sense.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mailfleet_model::{Class, Lane};
use mailfleet_queue::{
    Consumer, ConsumerName, CountPlace, Delivery, Error, Failure, IndexPlace, Queue, Settled,
};
use mailfleet_testkit::{Proxy, eventually};

use super::books::{Books, Letter};
use super::heir::Admin;
use super::jobs::{JOBS, id, job, lane, number};
use super::{Case, LEASE_MS};
use crate::fixture::{SOON, die_with};

/// The end of a life before its time.
pub type Cut<T = ()> = Result<T, Error>;

/// What a caller has in hand, by job.
struct Hands {
    consumer: Consumer,
    deliveries: BTreeMap<u32, Delivery>,
}

impl Hands {
    /// Its turns begin where they always do, so that all lives make the same requests.
    fn new(queue: &Queue) -> Self {
        fastrand::seed(1);
        Self { consumer: queue.consumer(ConsumerName::for_this_process()), deliveries: BTreeMap::new() }
    }

    fn receive(&mut self, deliveries: Vec<Delivery>) {
        self.deliveries.extend(deliveries.into_iter().map(|delivery| (number(delivery.job_id()), delivery)));
    }

    async fn claim(&mut self, max: usize) -> Cut {
        let deliveries = self.consumer.claim(max).await?;
        self.receive(deliveries);
        Ok(())
    }

    /// Any `count` of what is in hand.
    fn take(&mut self, count: usize) -> (Vec<u32>, Vec<Delivery>) {
        let some: Vec<u32> = self.deliveries.keys().copied().take(count).collect();
        some.iter().filter_map(|number| self.deliveries.remove_entry(number)).unzip()
    }

    /// Commits the effects of some, and says so.
    async fn done(&mut self, count: usize, books: &mut Books) -> Cut {
        let (numbers, deliveries) = self.take(count);
        for number in &numbers {
            books.of(*number).effect = true;
        }
        let answer = self.consumer.done(deliveries).await;
        books.left(&numbers, answer.as_deref().ok());
        unanswered(answer)
    }

    async fn dead_letter(&mut self, count: usize, books: &mut Books) -> Cut {
        let (numbers, deliveries) = self.take(count);
        for number in &numbers {
            books.of(*number).letter = Some(Letter::Open);
        }
        let letters = deliveries.into_iter().map(|delivery| (delivery, "bad".to_owned())).collect();
        let answer = self.consumer.dead_letter(letters).await;
        books.left(&numbers, answer.as_deref().ok());
        unanswered(answer)
    }
}

impl Drop for Hands {
    /// Without a good-bye, as a process that is gone.
    fn drop(&mut self) {
        die_with(std::mem::take(&mut self.deliveries).into_values());
    }
}

fn unanswered<T>(answer: Result<T, (Error, Vec<Delivery>)>) -> Cut {
    answer.map(drop).map_err(|(error, deliveries)| {
        die_with(deliveries);
        error
    })
}

async fn enqueue(queue: &Queue, numbers: &[u32], books: &mut Books) -> Cut {
    let answer = queue.enqueue(numbers.iter().map(|number| job(*number)).collect()).await;
    books.entered(numbers, answer.as_deref().ok());
    answer.map(drop)
}

/// Lives to its end, or to the first call that fails. `frugal` is the same queue with little memory.
pub async fn live(case: &Case, queue: &Queue, frugal: &Queue, proxy: &Proxy, books: &mut Books) -> Cut {
    let admin = Admin::new(case).await;
    queue.prepare().await?;
    queue.run_id().await?;
    odd_ones(queue, &admin, books).await?;
    too_much(queue, frugal, books).await?;
    let all: Vec<u32> = (1..=JOBS).collect();
    enqueue(queue, &all, books).await?;
    enqueue(queue, &all[..4], books).await?;
    let mut hands = Hands::new(queue);
    hands.claim(8).await?;
    hands.done(2, books).await?;
    let failure = Failure::new(Class::Transient, "a failure");
    let (_, mut one) = hands.take(1);
    unanswered(hands.consumer.retry(one.remove(0), Duration::ZERO, &failure).await)?;
    let (_, mut one) = hands.take(1);
    hands.consumer.begin(&one[0]).await.inspect_err(|_| die_with(one.drain(..)))?;
    unanswered(hands.consumer.crashed(one.remove(0), Duration::ZERO, &failure).await)?;
    // Both come due.
    hands.claim(6).await?;
    dead_letters(queue, &mut hands, books).await?;
    let (_, some) = hands.take(2);
    unanswered(hands.consumer.hand_back(some).await)?;
    let (_, some) = hands.take(1);
    unanswered(hands.consumer.delay_uncounted(some, Duration::ZERO).await)?;
    pauses(queue, &mut hands).await?;
    // Somebody destroys a group.
    admin.destroy_group(Lane::Normal).await;
    queue.ensure_groups().await?;
    hands.claim(4).await?;
    // A part of a count; there may be more to count.
    let mut place = Some(CountPlace::default());
    for _ in 0..8 {
        let Some(from) = place else { break };
        place = queue.recount_accounts(from, 3).await?;
    }
    looks(queue).await?;
    hands.consumer.adopt().await?;
    // From here on time counts, and so the number of requests is not the same in all lives.
    let (_, some) = hands.take(3);
    unanswered(hands.consumer.hand_back(some).await)?;
    let mut other = Hands::new(queue);
    other.claim(3).await?;
    keep_alive(&other, proxy, &admin).await;
    // It dies, and its entries are taken over.
    let dead = other.consumer.name().to_string();
    drop(other);
    admin.let_leases_run_out(&dead).await;
    reclaim(&mut hands, proxy).await?;
    hands.done(2, books).await?;
    hands.consumer.leave().await
}

/// Entries that nobody can run: one without a job, one of a version to come, one whose raw mail is lost.
async fn odd_ones(queue: &Queue, admin: &Admin, books: &mut Books) -> Cut {
    const LOST: u32 = 2;
    admin.write_odd_ones().await;
    books.has_odd_ones = true;
    enqueue(queue, &[LOST], books).await?;
    admin.lose_mail(LOST).await;
    books.mail_is_lost(LOST);
    let mut hands = Hands::new(queue);
    hands.claim(8).await?;
    put_away(&hands.consumer, books).await?;
    assert_eq!(admin.end_the_unknown().await, 1);
    books.unknown_ended = true;
    Ok(())
}

/// Writes down what was found without a job, and only then takes it out; how many there were.
pub async fn put_away(consumer: &Consumer, books: &mut Books) -> Cut<usize> {
    let strays = consumer.take_strays();
    let count = strays.len();
    books.strays.extend(strays.iter().map(|stray| stray.name().to_string()));
    consumer.put_away(strays).await.map_err(|(error, _)| error)?;
    Ok(count)
}

/// After two small mails two large ones are read, of which one is too much and is put back. The small ones stand in the
/// high lane of the second partition, the large ones in that of the first.
async fn too_much(queue: &Queue, frugal: &Queue, books: &mut Books) -> Cut {
    let mut hands = Hands::new(frugal);
    enqueue(queue, &[3, 9], books).await?;
    hands.claim(20).await?;
    enqueue(queue, &[6, 12], books).await?;
    hands.claim(20).await?;
    let (_, some) = hands.take(20);
    unanswered(hands.consumer.hand_back(some).await)
}

/// One round of the keeper: what runs alone from the proxy's point of view, so it is waited for until it is over, or cut.
async fn keep_alive(hands: &Hands, proxy: &Proxy, admin: &Admin) {
    let Some(held) = hands.deliveries.values().next() else { return };
    let name = hands.consumer.name().to_string();
    admin.let_leases_run_out(&name).await;
    let keeper = hands.consumer.spawn_keeper().unwrap();
    eventually("a round of the keeper", SOON, || async {
        let renewed = admin.idle_ms(held).await.is_some_and(|idle| idle < 60_000);
        (renewed || !proxy.is_armed()).then_some(())
    })
    .await;
    drop(keeper);
}

/// Two die; one is replayed, the index is made anew, one is forgotten and remembered.
async fn dead_letters(queue: &Queue, hands: &mut Hands, books: &mut Books) -> Cut {
    hands.dead_letter(2, books).await?;
    let open = books.letters(Letter::Open);
    let lines: Vec<_> = open.iter().map(|number| (id(*number), lane(*number), "bad".to_owned())).collect();
    queue.forget_dead(&[id(open[0])]).await?;
    queue.rebuild_dead_index(&lines).await?;
    let (lines, _) = queue.index_page(&IndexPlace::default(), 100).await?;
    queue.forget_lines(&lines).await?;
    books.of(open[0]).letter = Some(Letter::Replayed);
    let answer = queue.replay(vec![job(open[0])]).await;
    books.entered(&open[..1], answer.as_deref().ok());
    answer.map(drop)
}

async fn pauses(queue: &Queue, hands: &mut Hands) -> Cut {
    queue.pause(Some(Lane::Low), "test", "").await?;
    queue.close("test", "").await?;
    let answers = queue.enqueue(vec![job(1)]).await?;
    assert!(answers.iter().all(|answer| !matches!(answer, mailfleet_queue::Enqueued::Queued)));
    hands.claim(2).await?;
    queue.resume(Some(Lane::Low)).await?;
    queue.resume(None).await.map(drop)
}

/// Takes over what is to be taken over, as soon as Redis has been there for a lease.
async fn reclaim(hands: &mut Hands, proxy: &Proxy) -> Cut {
    let consumer = hands.consumer.clone();
    let queue = consumer.queue();
    let seen = Mutex::new(Instant::now());
    let taken = eventually("a reclaim", SOON, || async {
        if !proxy.is_armed() {
            return Some(queue.ping().await.map(|()| Vec::new()));
        }
        match consumer.reclaim_and_forget(100, Duration::ZERO).await {
            Ok(taken) if taken.is_empty() => {}
            answer => return Some(answer),
        }
        // Not at all until a lease has passed, and a sign of life now and then meanwhile.
        let last = *seen.lock().unwrap();
        if last.elapsed() > Duration::from_millis(LEASE_MS / 4) {
            *seen.lock().unwrap() = Instant::now();
            return queue.ping().await.map_or_else(|error| Some(Err(error)), |()| None);
        }
        None
    })
    .await?;
    hands.receive(taken);
    Ok(())
}

/// Questions, which change nothing.
async fn looks(queue: &Queue) -> Cut {
    queue.live(&(1..=JOBS).map(id).collect::<Vec<_>>()).await?;
    queue.locate(&id(1)).await?;
    queue.depth().await?;
    queue.paused().await?;
    queue.find_message("nobody@nowhere.example", 1_000).await?;
    Ok(())
}

/// What a fresh caller does with whatever it is given.
pub async fn work_off(consumer: &Consumer, deliveries: Vec<Delivery>, books: &mut Books) {
    let numbers: Vec<u32> = deliveries.iter().map(|delivery| number(delivery.job_id())).collect();
    for number in &numbers {
        let account = books.of(*number);
        account.effect = true;
        // As the ledger does: stored after all.
        account.letter = account.letter.map(|_| Letter::Resolved);
    }
    let answers = consumer.done(deliveries).await.unwrap();
    assert!(answers.iter().all(|answer| *answer == Settled::Done), "{answers:?}");
    books.left(&numbers, Some(&answers));
}
