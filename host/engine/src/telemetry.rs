//! Spans of runs, cases and model calls, the calls by OpenTelemetry's conventions for generative AI. They cost nothing
//! where nobody collects them. Prompts and replies are left out unless [`show_content`] was called.

use fapo_core::ports::{FinishReason, GenerateRequest, Provider};
use fapo_core::run::{CallRecord, CaseRecord};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::field::Empty;
use tracing::{Span, info_span};

static CONTENT: AtomicBool = AtomicBool::new(false);

/// Puts prompts and replies into the spans, for the rest of the process.
pub fn show_content() {
    CONTENT.store(true, Ordering::Relaxed);
}

/// The span of a run.
pub(crate) fn run(tenant_id: &str, run_id: &str, planned: usize) -> Span {
    info_span!(target: "fapo", "run", fapo.tenant_id = tenant_id, fapo.run_id = run_id, fapo.planned = planned)
}

/// The span of a case within `run`.
pub(crate) fn case(run: &Span, case_id: &str) -> Span {
    info_span!(target: "fapo", parent: run, "case", fapo.case_id = case_id, fapo.composite = Empty, error.type = Empty, otel.status_code = Empty)
}

/// Notes how a case ended.
pub(crate) fn case_ended(span: &Span, record: &CaseRecord) {
    span.record("fapo.composite", record.composite());
    if let Some(fault) = &record.fault {
        span.record("error.type", json!(fault.kind).as_str());
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of a model call.
pub(crate) fn chat(request: &GenerateRequest, provider: &dyn Provider) -> Span {
    let span = info_span!(
        target: "fapo", "chat", otel.kind = "client", otel.name = Empty, otel.status_code = Empty, error.type = Empty,
        gen_ai.operation.name = "chat", gen_ai.provider.name = Empty, gen_ai.request.model = Empty,
        gen_ai.request.temperature = Empty, gen_ai.request.max_tokens = Empty, gen_ai.response.model = Empty,
        gen_ai.response.finish_reasons = Empty, gen_ai.usage.input_tokens = Empty, gen_ai.usage.output_tokens = Empty,
        gen_ai.input.messages = Empty, gen_ai.output.messages = Empty,
        fapo.step = Empty, fapo.alias = Empty, fapo.cached = Empty, fapo.requests = Empty, fapo.cost_dollars = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    let identity = provider.identity();
    let model = identity["model"].as_str().unwrap_or_default();
    span.record("otel.name", format!("chat {model}").trim_end());
    span.record("gen_ai.provider.name", identity["provider"].as_str());
    span.record("gen_ai.request.model", model);
    span.record("gen_ai.request.temperature", identity["temperature"].as_f64());
    let cap = request.output_tokens_max.map(u64::from).or_else(|| identity["output_tokens_max"].as_u64());
    span.record("gen_ai.request.max_tokens", cap);
    span.record("fapo.step", format!("{}#{}", request.id.node, request.id.visit));
    span.record("fapo.alias", request.model.as_str());
    if CONTENT.load(Ordering::Relaxed) {
        let part = |text: &str| json!([{"type": "text", "content": text}]);
        let messages: Vec<_> =
            request.messages.iter().map(|m| json!({"role": m.role, "parts": part(&m.content)})).collect();
        span.record("gen_ai.input.messages", json!(messages).to_string());
    }
    span
}

/// Notes how a model call ended.
pub(crate) fn chat_ended(span: &Span, record: &CallRecord) {
    if span.is_disabled() {
        return;
    }
    let finish = record.finish.map(|finish| match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Filtered => "content_filter",
        FinishReason::Other => "other",
    });
    span.record("gen_ai.response.model", record.model_served.as_deref());
    span.record("gen_ai.response.finish_reasons", finish);
    span.record("gen_ai.usage.input_tokens", record.usage.map(|usage| usage.prompt_tokens));
    span.record("gen_ai.usage.output_tokens", record.usage.map(|usage| usage.completion_tokens));
    span.record("fapo.cached", record.cached);
    span.record("fapo.requests", record.attempts);
    span.record("fapo.cost_dollars", record.cost.map(|cost| cost.in_dollars()));
    if record.fault.is_some() {
        span.record("error.type", if record.content_fault.is_some() { "content" } else { "service" });
        span.record("otel.status_code", "ERROR");
    }
    if CONTENT.load(Ordering::Relaxed)
        && let Some(reply) = &record.reply
    {
        let parts = json!([{"type": "text", "content": reply}]);
        let messages = json!([{"role": "assistant", "parts": parts, "finish_reason": finish}]);
        span.record("gen_ai.output.messages", messages.to_string());
    }
}
