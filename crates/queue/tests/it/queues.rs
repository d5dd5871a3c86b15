//! Each kind of work has its own queue, and a job says which.

use mailfleet_model::{InboxId, JobId, Lane, Work};
use mailfleet_queue::{Enqueued, NewJob, Queues};

use crate::fixture::{Fixture, at, envelope, id};

fn events(inbox: i64) -> NewJob {
    let mut envelope = envelope(at(1, 1), 0);
    envelope.work = Work::Events { inbox: InboxId(inbox) };
    NewJob { envelope, lane: Lane::High, raw: bytes::Bytes::new() }
}

#[tokio::test]
async fn jobs_of_both_kinds_are_looked_up_and_replayed_each_in_its_own_queue_and_answered_in_order() {
    let f = Fixture::start();
    let queues = Queues::connect(f.queue.config()).unwrap();
    f.enqueue(Lane::Normal, [1]).await;
    let mail = |uid| NewJob { envelope: envelope(at(1, uid), 0), lane: Lane::Low, raw: bytes::Bytes::new() };
    let answers = queues.replay(vec![events(7), mail(1), events(8), mail(2)]).await.unwrap();
    let entered = Enqueued::Queued;
    assert_eq!(answers, [entered, Enqueued::AlreadyLive, entered, entered]);
    let (seven, nine) = (JobId::events(InboxId(7)), JobId::events(InboxId(9)));
    let asked = [nine, id(1), seven.clone(), id(3)];
    assert_eq!(queues.live(&asked).await.unwrap(), [false, true, true, false]);
    assert_eq!(f.queue.live(std::slice::from_ref(&seven)).await.unwrap(), [false], "not among the mails");
    assert!(queues.of_job(&seven).locate(&seven).await.unwrap().is_some());

    // A consumer of events gets them back as they were, without anything beside them.
    let consumer = queues.events.consumer(mailfleet_queue::ConsumerName::for_this_process());
    let claimed = consumer.claim(10).await.unwrap();
    assert_eq!(claimed.iter().map(|delivery| delivery.job_id().as_str()).collect::<Vec<_>>(), ["e:7", "e:8"]);
    assert!(claimed.iter().all(|delivery| delivery.raw().is_empty() && delivery.malformed().is_none()));
    consumer.done(claimed).await.unwrap();
    assert_eq!(queues.live(&[seven]).await.unwrap(), [false]);
}
