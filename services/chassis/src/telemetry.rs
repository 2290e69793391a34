//! Logs, traces and metrics.

use std::{collections::HashMap, io::IsTerminal};

pub use metrics_exporter_prometheus::PrometheusHandle as MetricsHandle;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use opentelemetry::{
    propagation::TextMapPropagator,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    identity::TRACEPARENT,
    settings::{LogFormat, Settings},
};

/// Upper bounds of durations, in seconds: histograms of several processes can be added up, quantiles cannot.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Keeps telemetry alive; flushes traces when dropped.
pub struct Telemetry {
    /// Renders `/metrics`.
    pub metrics: MetricsHandle,
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Starts logging, and tracing when there is an OTLP endpoint. Once per process.
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let filter = EnvFilter::try_new(&settings.log_level)?;
        let logs = match settings.log_format {
            LogFormat::Json => tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(std::io::stderr)
                .boxed(),
            LogFormat::Text => tracing_subscriber::fmt::layer()
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr)
                .boxed(),
        };
        let traces = if settings.otlp_endpoint.is_empty() {
            None
        } else {
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(&settings.otlp_endpoint)
                .build()?;
            Some(
                SdkTracerProvider::builder()
                    .with_batch_exporter(exporter)
                    .with_resource(Resource::builder().with_service_name("mission-control").build())
                    .build(),
            )
        };
        let spans = traces
            .as_ref()
            .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("mission-control")));
        tracing_subscriber::registry()
            .with(filter)
            .with(logs)
            .with(spans)
            .init();
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
            .install_recorder()?;
        Ok(Self { metrics, traces })
    }
}

/// Makes a span a child of the caller's (`traceparent` of <https://www.w3.org/TR/trace-context/>, or empty). Does nothing when traces are
/// not exported.
pub fn continue_trace(span: &Span, traceparent: &str) {
    if traceparent.is_empty() {
        return;
    }
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    // The layer is missing only when traces are not exported: then there is nothing to be a child of.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

/// Version 00 of <https://www.w3.org/TR/trace-context/#traceparent-header>.
pub fn is_traceparent(value: &[u8]) -> bool {
    value.len() == 55
        && value.starts_with(b"00-")
        && value.iter().enumerate().all(|(place, byte)| match place {
            2 | 35 | 52 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// The trace context of a span, to be passed on; `None` when traces are not exported.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags().to_u8()
        )
    })
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "traces were not flushed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_contexts_are_checked() {
        assert!(is_traceparent(
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        ));
        for bad in [
            &b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"[..],
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            b"x",
        ] {
            assert!(!is_traceparent(bad));
        }
    }
}
