//! Collects what `tracing` and `metrics` record, with the collectors of those crates.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use server_test::both;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::api::recorded;

pub(crate) type Fields = BTreeMap<String, String>;

#[derive(Clone, Debug)]
pub(crate) struct SpanRecord {
    pub(crate) fields: Fields,
    pub(crate) parent: Option<String>,
}

#[derive(Default)]
struct Seen {
    /// In the order in which they closed.
    spans: Vec<SpanRecord>,
    events: Vec<(Level, Fields)>,
}

/// Collects what is recorded within [`watched`].
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

struct Text<'f>(&'f mut Fields);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Watch {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Text(&mut fields));
        let span = context.span(id).unwrap();
        assert_eq!(span.metadata().name(), "lock");
        assert_eq!(span.metadata().target(), "diesel_advisory_lock");
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        values.record(&mut Text(extensions.get_mut::<Fields>().unwrap()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Text(&mut fields));
        if let Some(span) = context.event_span(event) {
            let of_span = span.extensions();
            let name = of_span.get::<Fields>().unwrap()["name"].clone();
            fields.insert("span".to_owned(), name);
        }
        let level = *event.metadata().level();
        self.0.lock().unwrap().events.push((level, fields));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let name = |fields: &Fields| fields["name"].clone();
        let parent = span.parent().map(|parent| {
            let fields = parent.extensions();
            name(fields.get::<Fields>().unwrap())
        });
        let fields = span.extensions_mut().remove::<Fields>().unwrap();
        let record = SpanRecord { fields, parent };
        self.0.lock().unwrap().spans.push(record);
    }
}

impl Watch {
    pub(crate) fn spans(&self) -> Vec<SpanRecord> {
        self.0.lock().unwrap().spans.clone()
    }

    /// The only span.
    #[track_caller]
    pub(crate) fn span(&self) -> SpanRecord {
        let spans = self.spans();
        let [span] = &spans[..] else {
            panic!("{spans:?}");
        };
        span.clone()
    }

    pub(crate) fn events(&self) -> Vec<(Level, Fields)> {
        self.0.lock().unwrap().events.clone()
    }

    /// The only event.
    #[track_caller]
    pub(crate) fn event(&self) -> (Level, Fields) {
        let events = self.events();
        let [event] = &events[..] else {
            panic!("{events:?}");
        };
        event.clone()
    }
}

impl SpanRecord {
    #[track_caller]
    pub(crate) fn seconds(&self, field: &str) -> f64 {
        self.fields[field].parse().unwrap()
    }

    pub(crate) fn has(&self, field: &str, value: &str) -> bool {
        self.fields.get(field).is_some_and(|found| found == value)
    }
}

/// The recorded metrics, each by `name table`.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) histograms: BTreeMap<String, Vec<f64>>,
    pub(crate) gauges: BTreeMap<String, f64>,
}

impl Metrics {
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn values(&self, name: &str) -> &[f64] {
        self.histograms.get(name).map_or(&[], Vec::as_slice)
    }
}

pub(crate) fn read(snapshotter: &Snapshotter) -> Metrics {
    let mut metrics = Metrics::default();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().collect();
        let [label] = &labels[..] else {
            panic!("{labels:?}");
        };
        assert_eq!(label.key(), "table");
        let name = key.key().name().strip_prefix("diesel_advisory_lock_");
        let name = format!("{} {}", name.unwrap(), label.value());
        match (key.kind(), value) {
            (MetricKind::Counter, DebugValue::Counter(count)) => {
                metrics.counters.insert(name, count);
            }
            (MetricKind::Gauge, DebugValue::Gauge(value)) => {
                metrics.gauges.insert(name, value.into_inner());
            }
            (MetricKind::Histogram, DebugValue::Histogram(values)) => {
                let values = values.into_iter().map(f64::from).collect();
                metrics.histograms.insert(name, values);
            }
            other => panic!("{other:?}"),
        }
    }
    metrics
}

/// Returns what is recorded while `work` runs.
#[both]
pub(crate) async fn watched(work: impl AsyncFnOnce()) -> (Watch, Metrics) {
    let watch = Watch::default();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let subscriber = Dispatch::new(tracing_subscriber::registry().with(watch.clone()));
    recorded(&recorder, &subscriber, work).await;
    (watch, read(&snapshotter))
}
