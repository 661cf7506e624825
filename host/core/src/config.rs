//! The eval config, in the original's shape (formats of the original, §2).

use crate::input_error::InputError;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What to evaluate and how: one JSON file. Unknown fields are refused by name; `scoring_profile` and
/// `chain.config` stay open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Folder name of the tenant.
    pub tenant_id: String,
    /// Provider of the alias `task`: `openai`, `anthropic`, `baseten` (or `base10`), `sagemaker`, `embedded`, `scripted`.
    pub provider: String,
    /// Model and sampling of the alias `task`.
    #[serde(default)]
    pub provider_settings: ProviderSettings,
    /// Cases.
    pub dataset: DatasetRef,
    /// Chain.
    pub chain: ChainConfig,
    /// The scorer's own settings.
    #[serde(default)]
    pub scoring_profile: Map<String, Value>,
    /// Cases at one time, at least 1; null is one.
    #[serde(default)]
    pub max_workers: Option<u32>,
    /// Fixed run id; made by the host where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Which dimensions two runs may differ in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// Where the run goes, inside the work folder; by default a folder named after its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_dir: Option<String>,
}

/// `dataset` of a config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRef {
    /// One JSONL file of the tenant.
    pub path: String,
}

/// `chain` of a config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// The graph's JSON file.
    pub path: String,
    /// Kept so that configs of the original load; must be `build_chain` where present.
    #[serde(default = "build_chain", rename = "fn")]
    pub function: String,
    /// Prompt files and parameters.
    #[serde(default)]
    pub config: ChainSettings,
}

fn build_chain() -> String {
    "build_chain".into()
}

/// `chain.config`: prompt files by module, script files by name, everything else is a parameter of the chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChainSettings {
    /// Module name to prompt file.
    #[serde(default)]
    pub prompt_paths: BTreeMap<String, String>,
    /// Script name to its file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub script_paths: BTreeMap<String, String>,
    /// Parameters by name, and keys of the tenant's own.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// `comparison` of a config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Of the eight dimension names, without repeats.
    pub variant_dimensions: Vec<String>,
}

/// Names that `comparison.variant_dimensions` may hold.
pub const VARIANT_DIMENSIONS: [&str; 8] =
    ["prompts", "skills", "chain_parameters", "chain_structure", "provider", "model", "sampling", "mcp_capabilities"];

/// `provider_settings`; numbers may stand as texts. An absent field is left to the operator's route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderSettings {
    /// Model name at the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// 0..=2.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub temperature: Option<f64>,
    /// Above 0, at most 1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub top_p: Option<f64>,
    /// Cap on a reply, tokens.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub max_tokens: Option<f64>,
    /// Deadline of one request.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub timeout_seconds: Option<f64>,
    /// Retries after the first request.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub max_retries: Option<f64>,
    /// First pause between two requests.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub retry_backoff_seconds: Option<f64>,
    /// Base of the sampling seeds.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number")]
    pub seed: Option<f64>,
    /// Origin of the service; used only where the operator's file lists it. SageMaker's is called `api_url`.
    #[serde(skip_serializing_if = "Option::is_none", alias = "api_url")]
    pub base_url: Option<String>,
    /// Variable that holds the key; must be the one that the operator's route names, which alone decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
}

fn number<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    let value = Option::<Value>::deserialize(d)?;
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(n)) => Ok(n.as_f64()),
        Some(Value::String(s)) => match s.trim().parse::<f64>() {
            Ok(n) if n.is_finite() => Ok(Some(n)),
            _ => Err(serde::de::Error::custom(format!("{s:?} is not a number"))),
        },
        Some(other) => Err(serde::de::Error::custom(format!("{other} is not a number"))),
    }
}

/// Reads an eval config. `file` names it in errors.
///
/// # Errors
/// Names the file, the line and the field, and what replaces a field that cannot apply here.
pub fn read_config(file: &str, text: &str) -> Result<EvalConfig, InputError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut config: EvalConfig = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        let inner = e.into_inner();
        let field = if path == "." || path == "?" { String::new() } else { format!(", field `{path}`") };
        let said = inner.to_string();
        let message = said.rfind(" at line ").map_or(said.clone(), |at| said[..at].to_string());
        InputError::new(format!("{file}:{}{field}", inner.line()), message.clone()).hint(hint_for(&message))
    })?;
    config.provider = provider_name(&config.provider);
    json.end().map_err(|e| InputError::new(format!("{file}:{}", e.line()), "text after the end of the config"))?;
    check(file, &config)?;
    Ok(config)
}

/// The name of a provider as the original takes it: trimmed, in lower case, `base10` for `baseten`.
pub fn provider_name(name: &str) -> String {
    match name.trim().to_lowercase().as_str() {
        "base10" => "baseten".into(),
        name => name.into(),
    }
}

fn hint_for(message: &str) -> &'static str {
    if message.contains("unknown field `mcp`") || message.contains("skill") {
        "MCP servers and skills do not exist here; a chain calls models and indexes through its grants"
    } else if message.contains("unknown field") {
        "take the field out, or correct its name"
    } else if message.contains("missing field") {
        "add the field; `fapo eval --help` shows a whole config"
    } else {
        "the config is one JSON object; `fapo eval --help` shows one"
    }
}

fn check(file: &str, config: &EvalConfig) -> Result<(), InputError> {
    let field = |name: &str, message: String| InputError::new(format!("{file}, field `{name}`"), message);
    if !crate::names::is_name(&config.tenant_id) {
        return Err(field("tenant_id", format!("{:?} is no tenant id", config.tenant_id))
            .hint("ids are the folder's name under tenants/: lower-case ASCII letters, digits, _ and -"));
    }
    if config.chain.path.ends_with(".py") {
        return Err(field("chain.path", format!("{} is a Python chain, which cannot run here", config.chain.path))
            .hint(
                "a chain is a WASM component named in tenant.toml ([chain] component) and `chain.path` is its graph, \
             for example tenants/<id>/chains/baseline.json; `fapo tenant new` writes both",
            ));
    }
    if config.chain.function != "build_chain" {
        return Err(field("chain.fn", format!("{:?} names a Python function", config.chain.function))
            .hint("leave the field out: the component's export `chain` takes its place"));
    }
    for old in ["score_fn", "validate_fn"] {
        if config.scoring_profile.contains_key(old) {
            return Err(field(&format!("scoring_profile.{old}"), "is a Python function of the original".into())
                .hint("the scorer is the component named in tenant.toml ([scorer] component)"));
        }
    }
    if let Some(scorer) = config.scoring_profile.get("scorer") {
        let path = scorer.get("module_path").and_then(Value::as_str).unwrap_or_default();
        return Err(field("scoring_profile.scorer", format!("{path:?} is a Python scorer, which cannot run here"))
            .hint(
                "the scorer is the component named in tenant.toml ([scorer] component); \
             leave `scorer` out and keep the scorer's own settings",
            ));
    }
    if config.max_workers == Some(0) {
        return Err(field("max_workers", "must be at least 1".into()).hint("null means one case at a time"));
    }
    if let Some(id) = &config.run_id {
        check_run_id(id).map_err(|message| {
            field("run_id", message).hint("the form is hephaestus-<name>-<letters and digits>, or leave it out")
        })?;
    }
    if let Some(comparison) = &config.comparison {
        for (at, name) in comparison.variant_dimensions.iter().enumerate() {
            let twice = comparison.variant_dimensions[..at].contains(name);
            if twice || !VARIANT_DIMENSIONS.contains(&name.as_str()) {
                let why = if twice { "stands twice" } else { "is no dimension" };
                return Err(field("comparison.variant_dimensions", format!("{name:?} {why}"))
                    .hint(format!("dimensions: {}", VARIANT_DIMENSIONS.join(", "))));
            }
        }
    }
    check_settings(&config.provider_settings)
        .map_err(|(name, message)| field(&format!("provider_settings.{name}"), message))
}

fn check_settings(s: &ProviderSettings) -> Result<(), (&'static str, String)> {
    let within = |name, value: Option<f64>, lo: f64, hi: f64| match value {
        Some(v) if !(lo..=hi).contains(&v) => Err((name, format!("{v} is outside {lo}..={hi}"))),
        _ => Ok(()),
    };
    within("temperature", s.temperature, 0.0, 2.0)?;
    within("top_p", s.top_p, f64::MIN_POSITIVE, 1.0)?;
    within("max_tokens", s.max_tokens, 1.0, 1_000_000.0)?;
    within("timeout_seconds", s.timeout_seconds, 0.001, 86_400.0)?;
    within("max_retries", s.max_retries, 0.0, 100.0)?;
    within("retry_backoff_seconds", s.retry_backoff_seconds, 0.0, 3_600.0)?;
    within("seed", s.seed, 0.0, 9_007_199_254_740_991.0)?;
    for (name, value) in [("max_tokens", s.max_tokens), ("max_retries", s.max_retries), ("seed", s.seed)] {
        if value.is_some_and(|v| v.fract() != 0.0) {
            return Err((name, "must be a whole number".into()));
        }
    }
    Ok(())
}

/// Whether an id has the original's form `hephaestus-<name>-<letters and digits>`.
fn check_run_id(id: &str) -> Result<(), String> {
    let wrong = || format!("{id:?} is no run id");
    let rest = id.strip_prefix("hephaestus-").ok_or_else(wrong)?;
    let (name, tail) = rest.rsplit_once('-').ok_or_else(wrong)?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let name_ok = !name.is_empty() && name.bytes().all(|b| plain(b) || b == b'_' || b == b'-');
    let tail_ok = !tail.is_empty() && tail.bytes().all(plain);
    if name_ok && tail_ok && id.len() <= 200 { Ok(()) } else { Err(wrong()) }
}

/// The id of a run that starts at `epoch_seconds`: `hephaestus-<tenant>-<base 36>`.
pub fn new_run_id(tenant_id: &str, epoch_seconds: u64) -> String {
    let mut digits = Vec::new();
    let mut left = epoch_seconds;
    while left > 0 || digits.is_empty() {
        digits.push(char::from_digit((left % 36) as u32, 36).unwrap_or('0'));
        left /= 36;
    }
    format!("hephaestus-{}-{}", tenant_id.replace('_', "-"), digits.iter().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
  "tenant_id": "lamp_qa", "provider": "scripted",
  "provider_settings": {"model": "m", "temperature": "0.5", "max_tokens": 64},
  "dataset": {"path": "tenants/lamp_qa/datasets/a.jsonl"},
  "chain": {"path": "tenants/lamp_qa/chains/baseline.json", "config": {"prompt_paths": {"a": "p.md"}, "retrieval_k": 3}},
  "scoring_profile": {"metric": "exact_match"}, "max_workers": 8
}"#;

    fn refuses(from: &str, to: &str, want: &str) {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from} stands in the config");
        let e = read_config("c.json", &text).expect_err(want);
        assert!(e.to_string().contains(want), "{e} should hold {want}");
        assert!(e.hint.is_some() || e.subject.contains("provider_settings"), "{e} has no way out");
    }

    #[test]
    fn a_config_of_the_original_shape_loads() {
        let c = read_config("c.json", GOOD).expect("loads");
        let old = GOOD.replacen("\"scripted\"", "\" Base10 \"", 1);
        assert_eq!(read_config("c.json", &old).expect("loads").provider, "baseten");
        assert_eq!(c.provider_settings.temperature, Some(0.5));
        assert_eq!(c.chain.config.rest["retrieval_k"], 3);
        assert_eq!(c.chain.function, "build_chain");
    }

    #[test]
    fn each_fault_names_file_line_and_field() {
        refuses("\"max_workers\": 8", "\"max_wokers\": 8", "unknown field `max_wokers`");
        refuses("\"max_workers\": 8", "\"max_workers\": true", "field `max_workers`");
        refuses("\"max_workers\": 8", "\"max_workers\": 0", "at least 1");
        refuses("\"dataset\": {\"path\": \"tenants/lamp_qa/datasets/a.jsonl\"},", "", "missing field `dataset`");
        refuses("chains/baseline.json", "chains/two_hop.py", "Python chain");
        refuses("{\"metric\"", "{\"scorer\": {\"module_path\": \"q.py\"}, \"metric\"", "Python scorer");
        refuses("\"temperature\": \"0.5\"", "\"temperature\": 3", "outside 0..=2");
        refuses("\"temperature\": \"0.5\"", "\"temperatur\": 3", "unknown field `temperatur`");
        refuses("\"lamp_qa\"", "\"../x\"", "no tenant id");
        refuses("\"max_workers\": 8", "\"run_id\": \"x\"", "no run id");
        refuses("\"max_workers\": 8", "\"comparison\": {\"variant_dimensions\": [\"moon\"]}", "no dimension");
    }

    #[test]
    fn run_ids_are_base_36() {
        assert_eq!(new_run_id("lamp_qa", 0), "hephaestus-lamp-qa-0");
        assert_eq!(new_run_id("lamp_qa", 36 * 36 + 35), "hephaestus-lamp-qa-10z");
        assert!(check_run_id(&new_run_id("lamp_qa", 1_795_000_000)).is_ok());
    }
}
