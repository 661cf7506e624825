//! The operator's file, and what a tenant effectively gets: request ∩ grant, decided here and nowhere else.

use crate::config::{EvalConfig, provider_name};
use crate::input_error::InputError;
use crate::limits::Limits;
use crate::price::Money;
use crate::tenant::{TenantManifest, read_toml};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Alias that the eval config's `provider` and `provider_settings` speak of.
pub const TASK_ALIAS: &str = "task";

/// The `file` of the node component that is shipped with the program.
pub const COMPONENT_SCRIPT: &str = "script";

/// What an operator allows: `fapo.toml`, or the same file in the user's configuration folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorFile {
    /// Routes to models by the operator's name.
    pub models: BTreeMap<String, ModelRoute>,
    /// Indexes by the operator's name.
    pub indexes: BTreeMap<String, IndexSource>,
    /// Node components by the operator's name.
    pub components: BTreeMap<String, ComponentSource>,
    /// Grants by tenant.
    pub tenants: BTreeMap<String, TenantGrant>,
    /// Limits for every tenant.
    pub limits: BTreeMap<String, u64>,
    /// File of prices; counts from the root. Without it costs are unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<String>,
}

fn provider<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|name| provider_name(&name))
}

/// A route to a model: where, with which key, which model, how it samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRoute {
    /// `openai`, `anthropic`, `baseten` (or `base10`), `sagemaker`, `scripted`, `replay` or `embedded`.
    #[serde(deserialize_with = "provider")]
    pub provider: String,
    /// Base of the service's URLs, for example `http://127.0.0.1:8080/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Further origins an eval config may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Environment variable that holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// Region that requests to Amazon's services are signed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Model name at the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Further models an eval config may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Rules file of `scripted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// Cassette of `replay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cassette: Option<String>,
    /// Cassette that replies are written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Sampling temperature.
    #[serde(default)]
    pub temperature: f64,
    /// Nucleus sampling; not sent where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Cap on a reply, tokens; an eval config may lower it.
    #[serde(default = "output_tokens_max")]
    pub output_tokens_max: u32,
    /// Base of the sampling seeds.
    #[serde(default)]
    pub seed: u64,
    /// Deadline of one request, milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Retries after the first request.
    #[serde(default = "retries_max")]
    pub retries_max: u32,
    /// First pause between two requests, milliseconds.
    #[serde(default = "retry_backoff_ms")]
    pub retry_backoff_ms: u64,
    /// Most requests under way, of all cases together; without it the service's refusals bound them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// Most requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute_max: Option<u64>,
    /// Most tokens a minute, prompts and replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute_max: Option<u64>,
}

fn output_tokens_max() -> u32 {
    16_000
}
fn timeout_ms() -> u64 {
    300_000
}
fn retries_max() -> u32 {
    10
}
fn retry_backoff_ms() -> u64 {
    1_000
}

/// Where an index comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexSource {
    /// JSONL of passages it is built from.
    pub corpus: String,
    /// Term saturation.
    #[serde(default = "k1")]
    pub k1: f64,
    /// Weight of the passage's length.
    #[serde(default = "b")]
    pub b: f64,
}

/// A node component that tenants may be granted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentSource {
    /// The .wasm file; `script` for the one that is shipped with the program and runs scripts.
    pub file: String,
    /// Model aliases of the calling tenant that it may use; none where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Indexes of the calling tenant that it may search; none where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<String>,
}

fn k1() -> f64 {
    0.9
}
fn b() -> f64 {
    0.4
}

/// A model that a tenant's scorer may ask, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeGrant {
    /// Name of a route under `[models]`.
    pub model: String,
    /// Most calls of one run that a service is asked; a reply from the cache is none.
    pub calls_max: u64,
}

/// What one tenant may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantGrant {
    /// Alias to routes; the eval config's `provider` picks among several for `task`, others take the first.
    pub models: BTreeMap<String, Vec<String>>,
    /// Tenant's index name to operator's index.
    pub indexes: BTreeMap<String, String>,
    /// Tenant's component name to operator's component.
    pub components: BTreeMap<String, String>,
    /// Judges by alias.
    pub judges: BTreeMap<String, JudgeGrant>,
    /// Most that one run of the tenant may cost.
    pub budget: Budget,
    /// Most that all runs of the tenant together may cost.
    pub total: Budget,
    /// Whether the host may compile the tenant's own Cargo package. A build script of it runs outside every sandbox,
    /// with the rights of the person who runs the host.
    pub build: bool,
}

/// Most that model calls may cost: those of one run over all its starts, of a trial, or of a tenant; absent is no bound.
/// Replies from the cache cost nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Calls that a service is asked for, a judge's among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u64>,
    /// Tokens of their prompts and replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_max: Option<u64>,
    /// What they cost, dollars; needs the price of every model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_max: Option<Money>,
}

impl Budget {
    /// The lower of two in each bound.
    #[must_use]
    pub fn within(self, other: Budget) -> Budget {
        fn lower<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            a.into_iter().chain(b).min()
        }
        Budget {
            calls_max: lower(self.calls_max, other.calls_max),
            tokens_max: lower(self.tokens_max, other.tokens_max),
            cost_max: lower(self.cost_max, other.cost_max),
        }
    }
}

/// The effective capabilities of one tenant for one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Alias to the resolved route.
    pub models: BTreeMap<String, ModelRoute>,
    /// Tenant's index name to the operator's name of it.
    pub indexes: BTreeMap<String, String>,
    /// Tenant's component name to the operator's name of it.
    pub components: BTreeMap<String, String>,
    /// Judge alias to the resolved route and the calls of one run.
    pub judges: BTreeMap<String, (ModelRoute, u64)>,
    /// Limits in force.
    pub limits: Limits,
    /// Most that one run may cost.
    pub budget: Budget,
    /// Most that all runs of the tenant together may cost.
    pub total: Budget,
}

/// Reads an operator file.
///
/// # Errors
/// Names file and line; a grant that names a route or an index the file does not define is refused.
pub fn read_operator_file(file: &str, text: &str) -> Result<OperatorFile, InputError> {
    let operator: OperatorFile = read_toml(file, text)?;
    for (tenant, grant) in &operator.tenants {
        for (alias, routes) in &grant.models {
            for route in routes {
                if !operator.models.contains_key(route) {
                    return Err(InputError::new(
                        format!("{file}, tenants.{tenant}.models.{alias}"),
                        format!("no route is called {route:?}"),
                    )
                    .hint(format!("add a table [models.{route}] to {file}")));
                }
            }
        }
        for (name, index) in &grant.indexes {
            if !operator.indexes.contains_key(index) {
                return Err(InputError::new(
                    format!("{file}, tenants.{tenant}.indexes.{name}"),
                    format!("no index is called {index:?}"),
                )
                .hint(format!("add a table [indexes.{index}] with `corpus = \"…\"` to {file}")));
            }
        }
    }
    for (tenant, grant) in &operator.tenants {
        for (name, component) in &grant.components {
            if !operator.components.contains_key(component) {
                return Err(InputError::new(
                    format!("{file}, tenants.{tenant}.components.{name}"),
                    format!("no component is called {component:?}"),
                )
                .hint(format!("add a table [components.{component}] with `file = \"….wasm\"` to {file}")));
            }
        }
    }
    for (tenant, grant) in &operator.tenants {
        for (alias, judge) in &grant.judges {
            if !operator.models.contains_key(&judge.model) {
                return Err(InputError::new(
                    format!("{file}, tenants.{tenant}.judges.{alias}"),
                    format!("no route is called {:?}", judge.model),
                )
                .hint(format!("add a table [models.{}] to {file}", judge.model)));
            }
        }
    }
    for (name, route) in &operator.models {
        let origins = route.origin.iter().map(|origin| ("origin", origin));
        for (field, origin) in origins.chain(route.origins.iter().map(|origin| ("origins", origin))) {
            check_origin(origin).map_err(|why| InputError::new(format!("{file}, models.{name}.{field}"), why))?;
        }
    }
    Ok(operator)
}

fn check_origin(origin: &str) -> Result<(), String> {
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err(format!("{origin:?} does not begin with http:// or https://"));
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || host.contains('@') || origin.chars().any(|c| c.is_whitespace() || c.is_control() || c == '?')
    {
        return Err(format!("{origin:?} is no plain origin (scheme, host, port, path)"));
    }
    Ok(())
}

impl OperatorFile {
    /// Whether a tenant's own Cargo package may be compiled here.
    ///
    /// # Errors
    /// The operator has not said so; the hint is the line to add.
    pub fn may_build(&self, operator_file: &str, tenant: &str) -> Result<(), InputError> {
        if self.tenants.get(tenant).is_some_and(|grant| grant.build) {
            return Ok(());
        }
        Err(InputError::new(
            format!("tenant {tenant}"),
            "its component is a Cargo package, and compiling it here is not granted (its build script would run outside the sandbox)",
        )
        .hint(format!(
            "add to {operator_file}: [tenants.{tenant}] build = true; or name a built .wasm file as `component`"
        )))
    }

    /// What `manifest`'s tenant gets in a run of `config`.
    ///
    /// # Errors
    /// A request that is not granted; the hint is the line to add to the operator's file (`operator_file`).
    pub fn grant(
        &self,
        operator_file: &str,
        manifest: &TenantManifest,
        config: &EvalConfig,
    ) -> Result<Grant, InputError> {
        let id = &manifest.id;
        let none = TenantGrant::default();
        let granted = self.tenants.get(id).unwrap_or(&none);
        let mut models = BTreeMap::new();
        for alias in &manifest.requests.models {
            models.insert(alias.clone(), self.route(operator_file, id, granted, alias, config)?);
        }
        let mut indexes = BTreeMap::new();
        for name in &manifest.requests.indexes {
            let index = granted.indexes.get(name).ok_or_else(|| {
                InputError::new(format!("tenant {id}"), format!("asks for index {name:?}, which is not granted")).hint(
                    format!("add to {operator_file}: [tenants.{id}.indexes] {name} = \"<a name under [indexes]>\""),
                )
            })?;
            indexes.insert(name.clone(), index.clone());
        }
        let mut components = BTreeMap::new();
        for name in &manifest.requests.components {
            let component = granted.components.get(name).ok_or_else(|| {
                InputError::new(
                    format!("tenant {id}"),
                    format!("asks for node component {name:?}, which is not granted"),
                )
                .hint(format!(
                    "add to {operator_file}: [tenants.{id}.components] {name} = \"<a name under [components]>\""
                ))
            })?;
            components.insert(name.clone(), component.clone());
        }
        let mut judges = BTreeMap::new();
        for alias in &manifest.requests.judges {
            let judge = granted.judges.get(alias).ok_or_else(|| {
                InputError::new(format!("tenant {id}"), format!("asks for judge {alias:?}, which is not granted")).hint(
                    format!(
                        "add to {operator_file}: [tenants.{id}.judges] {alias} = {{ model = \"<a name under [models]>\", calls_max = 1000 }}"
                    ),
                )
            })?;
            judges.insert(alias.clone(), (self.models[&judge.model].clone(), judge.calls_max));
        }
        let limits = Limits::effective(&self.limits, &manifest.requests.limits, id)?;
        Ok(Grant { models, indexes, components, judges, limits, budget: granted.budget, total: granted.total })
    }

    fn route(
        &self,
        operator_file: &str,
        tenant: &str,
        granted: &TenantGrant,
        alias: &str,
        config: &EvalConfig,
    ) -> Result<ModelRoute, InputError> {
        let routes: Vec<&ModelRoute> =
            granted.models.get(alias).into_iter().flatten().filter_map(|name| self.models.get(name)).collect();
        if routes.is_empty() {
            return Err(InputError::new(
                format!("tenant {tenant}"),
                format!("asks for model alias {alias:?}, which is not granted"),
            )
            .hint(format!(
                "add to {operator_file}: [tenants.{tenant}.models] {alias} = [\"<a name under [models]>\"]"
            )));
        }
        if alias != TASK_ALIAS {
            return Ok(routes[0].clone());
        }
        let wanted = config.provider.trim().to_lowercase();
        let of_kind: Vec<&ModelRoute> = routes.iter().copied().filter(|r| r.provider == wanted).collect();
        let Some(first) = of_kind.first() else {
            let kinds: Vec<&str> = routes.iter().map(|r| r.provider.as_str()).collect();
            return Err(InputError::new(
                format!("tenant {tenant}, field `provider`"),
                format!("{wanted:?} is not granted for alias {alias:?}; granted: {}", kinds.join(", ")),
            )
            .hint(format!(
                "add to {operator_file} a table [models.<name>] with provider = {wanted:?} and its name to [tenants.{tenant}.models] {alias}"
            )));
        };
        let settings = &config.provider_settings;
        let mut route = match &settings.base_url {
            None => (*first).clone(),
            Some(url) => {
                let url = url.trim_end_matches('/');
                let listed = |r: &ModelRoute| {
                    r.origin.iter().chain(&r.origins).any(|origin| origin.trim_end_matches('/') == url)
                };
                let route = of_kind.iter().find(|r| listed(r)).ok_or_else(|| {
                    let name = granted.models[alias]
                        .iter()
                        .find(|n| self.models.get(*n).is_some_and(|r| r.provider == wanted))
                        .map_or("<name>", String::as_str);
                    InputError::new(
                        format!("tenant {tenant}, field `provider_settings.base_url`"),
                        format!("origin {url:?} is not granted"),
                    )
                    .hint(format!("add to {operator_file}: [models.{name}] origins = [{url:?}]"))
                })?;
                ModelRoute { origin: Some(url.to_string()), ..(*route).clone() }
            }
        };
        if let Some(variable) = &settings.api_key_env
            && route.key_env.as_ref() != Some(variable)
        {
            return Err(InputError::new(
                format!("tenant {tenant}, field `provider_settings.api_key_env`"),
                format!("the key variable {variable:?} is not the route's"),
            )
            .hint("take the field out: the operator's route alone names the variable of its key (`key_env`)"));
        }
        if let Some(model) = &settings.model {
            let free = route.provider == "scripted";
            let listed = route.model.as_ref() == Some(model) || route.models.iter().any(|m| m == model || m == "*");
            if !(free || listed) {
                return Err(InputError::new(
                    format!("tenant {tenant}, field `provider_settings.model`"),
                    format!("model {model:?} is not granted"),
                )
                .hint(format!("add to {operator_file}, in the route's table: models = [{model:?}]")));
            }
            route.model = Some(model.clone());
        }
        route.temperature = settings.temperature.unwrap_or(route.temperature);
        route.top_p = settings.top_p.or(route.top_p);
        let cap = settings.max_tokens.map_or(route.output_tokens_max, |n| n as u32);
        route.output_tokens_max = cap.min(route.output_tokens_max);
        route.timeout_ms = settings.timeout_seconds.map_or(route.timeout_ms, |s| (s * 1e3) as u64);
        route.retries_max = settings.max_retries.map_or(route.retries_max, |n| n as u32);
        route.retry_backoff_ms = settings.retry_backoff_seconds.map_or(route.retry_backoff_ms, |s| (s * 1e3) as u64);
        route.seed = settings.seed.map_or(route.seed, |n| n as u64);
        Ok(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_config;
    use crate::tenant::read_manifest;

    const OPERATOR: &str = r#"
[models.main]
provider = "openai"
origin = "http://127.0.0.1:1/v1"
origins = ["http://127.0.0.1:2/v1"]
model = "small"
models = ["large"]
output_tokens_max = 100
[models.script]
provider = "scripted"
rules = "r.jsonl"
[models.base]
provider = "base10"
model = "m"
[indexes.wiki]
corpus = "c.jsonl"
[tenants.demo.models]
task = ["main", "script", "base"]
[tenants.demo.indexes]
corpus = "wiki"
[limits]
steps = 9
"#;

    fn grant(provider: &str, settings: &str, requests: &str) -> Result<Grant, InputError> {
        let operator = read_operator_file("fapo.toml", OPERATOR).expect("operator file");
        let manifest = read_manifest(
            "tenant.toml",
            "demo",
            &format!("id = \"demo\"\nchain = {{component = \"stock\"}}\nscorer = {{component = \"stock\"}}\n[requests]\n{requests}"),
        )
        .expect("manifest");
        let config = read_config(
            "c.json",
            &format!(
                r#"{{"tenant_id":"demo","provider":"{provider}","provider_settings":{settings},"dataset":{{"path":"d"}},"chain":{{"path":"g.json"}}}}"#
            ),
        )
        .expect("config");
        operator.grant("fapo.toml", &manifest, &config)
    }

    #[test]
    fn the_effective_grant_is_the_intersection() {
        let g = grant("openai", r#"{"max_tokens": 500, "model": "large"}"#, "models = [\"task\"]").expect("grant");
        assert_eq!(g.models["task"].model.as_deref(), Some("large"));
        assert_eq!(g.models["task"].output_tokens_max, 100, "an operator's cap holds");
        assert!(g.indexes.is_empty(), "what is not asked for is not handed out");
        assert_eq!(g.limits.steps, 9);
        let g = grant("scripted", "{}", "models = [\"task\"]\nindexes = [\"corpus\"]").expect("grant");
        assert_eq!((g.models["task"].provider.as_str(), g.indexes["corpus"].as_str()), ("scripted", "wiki"));
        let g = grant("base10", "{}", "models = [\"task\"]").expect("the same name in both files");
        assert_eq!(g.models["task"].provider, "baseten");
    }

    #[test]
    fn a_refusal_prints_the_line_to_add() {
        for (provider, settings, requests, hint) in [
            ("openai", "{}", "models = [\"judge\"]", "[tenants.demo.models] judge = "),
            ("openai", "{}", "indexes = [\"other\"]", "[tenants.demo.indexes] other = "),
            ("sagemaker", "{}", "models = [\"task\"]", "provider = \"sagemaker\""),
            ("openai", r#"{"model":"huge"}"#, "models = [\"task\"]", "models = [\"huge\"]"),
            (
                "openai",
                r#"{"base_url":"http://169.254.169.254"}"#,
                "models = [\"task\"]",
                "[models.main] origins = [\"http://169.254.169.254\"]",
            ),
        ] {
            let e = grant(provider, settings, requests).expect_err(hint);
            assert!(e.hint.as_deref().is_some_and(|h| h.contains(hint)), "{e}: {:?}", e.hint);
        }
        assert!(grant("openai", r#"{"base_url":"http://127.0.0.1:2/v1/"}"#, "models = [\"task\"]").is_ok());
        let e = grant("openai", r#"{"api_key_env":"PATH"}"#, "models = [\"task\"]").expect_err("no key of its own");
        assert!(e.subject.contains("provider_settings.api_key_env"), "{e}");
    }

    #[test]
    fn an_operator_file_must_hang_together() {
        assert!(read_operator_file("f", &OPERATOR.replace("[indexes.wiki]", "[indexes.other]")).is_err());
        assert!(read_operator_file("f", &OPERATOR.replace("[models.script]", "[models.x]")).is_err());
        assert!(read_operator_file("f", &OPERATOR.replace("http://127.0.0.1:1/v1", "http://a@127.0.0.1")).is_err());
    }
}
