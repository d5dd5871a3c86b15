//! What the sweep's question puts right is told: a fault that made it necessary must not stay unseen.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use mailfleet_model::Lane;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::fixture::{Fixture, die_with, id};

/// The warnings of this thread, with their fields.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("mailfleet") && *metadata.level() <= Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn what_the_question_for_live_jobs_puts_right_is_a_warning_and_nothing_else_is() {
    let f = Fixture::start();
    f.enqueue(Lane::Normal, 1..=4).await;
    let held = f.consumer().claim(3).await.unwrap();
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let jobs = [id(1), id(2), id(3), id(4), id(5)];
    assert_eq!(f.queue.live(&jobs).await.unwrap(), [true, true, true, true, false]);
    assert_eq!(
        *warnings.0.lock().unwrap(),
        [""; 0],
        "held, waiting and unknown jobs are nothing to put right"
    );
    // Two entries are pending with nobody, and of a third the record alone is left.
    let (one, two, three) = (held[0].entry_id(), held[1].entry_id(), held[2].entry_id());
    assert_eq!(f.redis::<u64>(&format!("XACK K:normal consumers {one} {two}")).await, 2);
    assert_eq!(f.redis::<u64>(&format!("XDEL K:normal {three}")).await, 1);
    assert_eq!(f.queue.live(&jobs).await.unwrap(), [true, true, false, true, false]);
    let told = warnings.0.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("stuck=2 without_entry=1 "), "{told:?}");
    // It is right now, and there is nothing more to tell.
    assert_eq!(f.queue.live(&jobs).await.unwrap(), [true, true, false, true, false]);
    assert_eq!(warnings.0.lock().unwrap().len(), 1);
    die_with(held);
}
