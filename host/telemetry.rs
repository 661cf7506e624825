//! Sends the engine's spans to a collector of OpenTelemetry, where its standard variables name one.

use fapo_core::InputError;
use fapo_engine::telemetry::show_content;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;

/// Variables that name a collector, OTLP over HTTP; the second one is for traces alone.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// `true` puts prompts and replies into the spans.
const CONTENT: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// Spans on their way to a collector; dropping it sends the rest.
#[derive(Debug)]
pub struct Telemetry(SdkTracerProvider);

impl Telemetry {
    /// Begins to collect for the rest of the process, where a variable names a collector. One that is not there costs
    /// spans, not the run.
    ///
    /// # Errors
    /// The variables name no usable collector.
    pub fn begin() -> Result<Option<Telemetry>, InputError> {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let Some(named) = ENDPOINTS.iter().find(|name| is_set(name)) else { return Ok(None) };
        if std::env::var(CONTENT).is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
            show_content();
        }
        fapo_provider::prepare_tls();
        let exporter = SpanExporter::builder().with_http().build().map_err(|error| {
            InputError::new(format!("variable {named}"), format!("names no collector: {error}"))
                .hint("set it to a URL like http://127.0.0.1:4318, or unset it")
        })?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name("fapo").build())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("fapo"));
        let only_ours = tracing_subscriber::filter::Targets::new().with_target("fapo", tracing::Level::INFO);
        let subscriber = tracing_subscriber::registry().with(tracing_subscriber::Layer::with_filter(layer, only_ours));
        // It fails where the process collects already, as a test's may.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(Some(Telemetry(provider)))
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // What a collector does not take is lost; the run's own files have it all.
        let _ = self.0.shutdown();
    }
}
