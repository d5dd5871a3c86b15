//! Metrics: registration that leaves no holes and tells no lies.
//!
//! - Counters and histograms exist at zero for every value of their labels from the start, so that a dashboard never
//!   shows a gap and a rate is right from the first event on. Label values come from enums ([`Label`]), so their
//!   number is bounded.
//! - A depth or an age that is not known is *absent* ([`DepthGauges`], [`AgeGauges`]): zero would tell an autoscaler to
//!   go home.
//! - Times are in seconds, everywhere.

use std::marker::PhantomData;
use std::time::Duration;

use mailfleet_model::{Class, Lane};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Buckets for durations in seconds, from half a millisecond to a minute.
pub const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// A label with a fixed set of values.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;

    /// Every value there is.
    fn all() -> Vec<Self>;

    /// The word in the metric.
    fn value(self) -> &'static str;
}

impl Label for Lane {
    const NAME: &'static str = "lane";

    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }

    fn value(self) -> &'static str {
        self.as_str()
    }
}

impl Label for Class {
    const NAME: &'static str = "class";

    fn all() -> Vec<Self> {
        vec![Self::Outage, Self::Transient, Self::Data, Self::Policy, Self::Hostile, Self::Fault]
    }

    fn value(self) -> &'static str {
        self.as_str()
    }
}

/// One label, or a pair of them.
pub trait LabelSet: Copy + 'static {
    /// The names, in the order of [`values`](Self::values).
    fn names() -> Vec<&'static str>;

    /// Every combination.
    fn all() -> Vec<Self>;

    /// The words of one combination.
    fn values(self) -> Vec<&'static str>;
}

impl<L: Label> LabelSet for L {
    fn names() -> Vec<&'static str> {
        vec![L::NAME]
    }

    fn all() -> Vec<Self> {
        L::all()
    }

    fn values(self) -> Vec<&'static str> {
        vec![self.value()]
    }
}

impl<A: Label, B: Label> LabelSet for (A, B) {
    fn names() -> Vec<&'static str> {
        vec![A::NAME, B::NAME]
    }

    fn all() -> Vec<Self> {
        A::all().into_iter().flat_map(|a| B::all().into_iter().map(move |b| (a, b))).collect()
    }

    fn values(self) -> Vec<&'static str> {
        vec![self.0.value(), self.1.value()]
    }
}

/// Registers metrics in a registry. An error means a name that is taken or not allowed: a mistake of ours that shows
/// at every start.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Registers in `registry`.
    #[must_use]
    pub const fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// The registry itself.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A counter.
    pub fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    /// A gauge that is known from the start. What may be unknown is [`depths`](Self::depths).
    pub fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    /// A histogram.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }

    /// Counters by label, all of them at zero.
    pub fn counters<L: LabelSet>(&self, name: &str, help: &str) -> prometheus::Result<CounterFamily<L>> {
        self.counters_from(Opts::new(name, help))
    }

    /// The same for one queue: its name is a label too, the same on all of them.
    pub fn counters_of_queue<L: LabelSet>(
        &self,
        name: &str,
        help: &str,
        queue: &str,
    ) -> prometheus::Result<CounterFamily<L>> {
        self.counters_from(Opts::new(name, help).const_label("queue", queue))
    }

    fn counters_from<L: LabelSet>(&self, options: Opts) -> prometheus::Result<CounterFamily<L>> {
        let family = self.register(IntCounterVec::new(options, &L::names())?)?;
        for label in L::all() {
            family.get_metric_with_label_values(&label.values())?;
        }
        Ok(CounterFamily { family, labels: PhantomData })
    }

    /// Histograms by label, all of them empty and there.
    pub fn histograms<L: LabelSet>(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> prometheus::Result<HistogramFamily<L>> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let family = self.register(HistogramVec::new(options, &L::names())?)?;
        for label in L::all() {
            family.get_metric_with_label_values(&label.values())?;
        }
        Ok(HistogramFamily { family, labels: PhantomData })
    }

    /// Gauges by free labels that are absent until they are known, and again when they no longer are.
    pub fn depths(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<DepthGauges> {
        Ok(DepthGauges { family: self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)? })
    }

    /// Ages in seconds by free labels, absent like [`depths`](Self::depths) while they are unknown.
    pub fn ages(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<AgeGauges> {
        Ok(AgeGauges { family: self.register(GaugeVec::new(Opts::new(name, help), labels)?)? })
    }

    /// A gauge by one label that is read whenever somebody asks for the metrics. `read` must neither wait nor do I/O.
    pub fn read_when_asked<const N: usize>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        read: impl Fn() -> [(&'static str, usize); N] + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        let family = IntGaugeVec::new(Opts::new(name, help), &[label])?;
        self.registry.register(Box::new(WhenAsked { family, read }))
    }

    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

/// Counters by label.
#[derive(Debug, Clone)]
pub struct CounterFamily<L> {
    family: IntCounterVec,
    labels: PhantomData<fn() -> L>,
}

impl<L: LabelSet> CounterFamily<L> {
    /// The counter of these labels. A hot loop keeps it rather than asking each time.
    #[must_use]
    pub fn get(&self, label: L) -> IntCounter {
        self.family.with_label_values(&label.values())
    }
}

/// Histograms by label.
#[derive(Debug, Clone)]
pub struct HistogramFamily<L> {
    family: HistogramVec,
    labels: PhantomData<fn() -> L>,
}

impl<L: LabelSet> HistogramFamily<L> {
    /// The histogram of these labels. A hot loop keeps it rather than asking each time.
    #[must_use]
    pub fn get(&self, label: L) -> Histogram {
        self.family.with_label_values(&label.values())
    }
}

/// Gauges that are absent while they are unknown.
#[derive(Debug, Clone)]
pub struct DepthGauges {
    family: IntGaugeVec,
}

impl DepthGauges {
    /// Shows `value`, or takes the gauge away when it is not known.
    pub fn set(&self, labels: &[&str], value: Option<u64>) {
        match value {
            Some(value) => {
                self.family.with_label_values(labels).set(i64::try_from(value).unwrap_or(i64::MAX));
            }
            // The error says that it was absent already.
            None => drop(self.family.remove_label_values(labels)),
        }
    }

    /// Nothing is known any more: the server that was asked is away.
    pub fn clear(&self) {
        self.family.reset();
    }
}

/// Ages in seconds that are absent while they are unknown.
#[derive(Debug, Clone)]
pub struct AgeGauges {
    family: GaugeVec,
}

impl AgeGauges {
    /// Shows `age`, or takes the gauge away when it is not known.
    pub fn set(&self, labels: &[&str], age: Option<Duration>) {
        match age {
            Some(age) => self.family.with_label_values(labels).set(age.as_secs_f64()),
            // The error says that it was absent already.
            None => drop(self.family.remove_label_values(labels)),
        }
    }
}

/// A gauge whose values are asked for at each look.
struct WhenAsked<F> {
    family: IntGaugeVec,
    read: F,
}

impl<F, const N: usize> Collector for WhenAsked<F>
where
    F: Fn() -> [(&'static str, usize); N] + Send + Sync,
{
    fn desc(&self) -> Vec<&Desc> {
        self.family.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (label, value) in (self.read)() {
            self.family.with_label_values(&[label]).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.family.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Outcome {
        Persisted,
        Dead,
    }

    impl Label for Outcome {
        const NAME: &'static str = "outcome";

        fn all() -> Vec<Self> {
            vec![Self::Persisted, Self::Dead]
        }

        fn value(self) -> &'static str {
            match self {
                Self::Persisted => "persisted",
                Self::Dead => "dead",
            }
        }
    }

    fn text(metrics: &Metrics) -> String {
        prometheus::TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap()
    }

    #[test]
    fn counters_stand_at_zero_for_every_label_before_the_first_event() {
        let metrics = Metrics::default();
        let processed = metrics.counters::<(Lane, Outcome)>("processed_total", "Entries processed.").unwrap();
        let seconds = metrics.histograms::<Outcome>("took_seconds", "Time taken.", SECONDS).unwrap();
        assert_eq!(text(&metrics).matches("processed_total{").count(), 6);
        processed.get((Lane::High, Outcome::Persisted)).inc_by(3);
        seconds.get(Outcome::Dead).observe(0.2);
        let text = text(&metrics);
        assert!(text.contains("processed_total{lane=\"high\",outcome=\"persisted\"} 3"), "{text}");
        assert!(text.contains("processed_total{lane=\"low\",outcome=\"dead\"} 0"), "{text}");
        assert!(text.contains("took_seconds_count{outcome=\"persisted\"} 0"), "{text}");
        assert!(text.contains("took_seconds_bucket{outcome=\"dead\",le=\"0.25\"} 1"), "{text}");
    }

    #[test]
    fn an_unknown_depth_is_absent_and_not_zero() {
        let metrics = Metrics::default();
        let depth = metrics.depths("queue_entries", "Entries by lane.", &["lane"]).unwrap();
        assert!(!text(&metrics).contains("queue_entries{"));
        depth.set(&["high"], Some(0));
        depth.set(&["low"], Some(7));
        assert!(text(&metrics).contains("queue_entries{lane=\"high\"} 0"), "known to be zero is zero");
        depth.set(&["high"], None);
        depth.set(&["normal"], None);
        let after = text(&metrics);
        assert!(!after.contains("high") && !after.contains("normal"), "{after}");
        assert!(after.contains("queue_entries{lane=\"low\"} 7"), "{after}");
        depth.clear();
        assert!(!text(&metrics).contains("queue_entries{"));
    }

    #[test]
    fn an_age_is_in_seconds_and_absent_while_it_is_unknown() {
        let metrics = Metrics::default();
        let age = metrics.ages("oldest_age_seconds", "Age by lane.", &["lane"]).unwrap();
        age.set(&["high"], Some(Duration::from_millis(1_500)));
        age.set(&["low"], None);
        assert!(text(&metrics).contains("oldest_age_seconds{lane=\"high\"} 1.5"));
        age.set(&["high"], None);
        assert!(!text(&metrics).contains("oldest_age_seconds{"));
    }

    #[test]
    fn a_name_that_is_taken_is_an_error() {
        let metrics = Metrics::default();
        metrics.counter("a_total", "A.").unwrap();
        assert!(metrics.gauge("a_total", "A again.").is_err());
        assert!(metrics.histogram("not a name", "B.", SECONDS).is_err());
    }
}
