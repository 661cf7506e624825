//! The providers a route can name, and how a route becomes one.

use crate::cassette::Replayed;
use crate::openai::{Api, Aws, ORIGIN_DEFAULT, OpenAi, OpenAiSettings, Pace};
use crate::scripted::Scripted;
use fapo_core::InputError;
use fapo_core::grants::ModelRoute;
use fapo_core::ports::Provider;
use fapo_core::price::Price;
use secrecy::{ExposeSecret, SecretString};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A setting of a route, for help and documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingHelp {
    /// Its key in the operator's file.
    pub name: &'static str,
    /// What it means, with unit and default.
    pub help: &'static str,
}

/// One provider. A new one is a file and an entry in [`PROVIDERS`].
#[derive(Clone, Copy, Debug)]
pub struct ProviderKind {
    /// What a route's `provider` says.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Whether a reply costs money or seconds, so that a response cache before it saves something.
    pub costly: bool,
    /// Settings it reads; others of a route do not concern it.
    pub settings: &'static [SettingHelp],
    connect: Connect,
}

type Connect = fn(&ModelRoute, &RouteSources<'_>) -> Connected;
/// A provider, or what is wrong with its route.
type Connected = Result<Arc<dyn Provider>, InputError>;

impl ProviderKind {
    /// The provider that routes call `name`.
    ///
    /// # Errors
    /// There is none; the hint lists those there are.
    pub fn named(name: &str) -> Result<&'static ProviderKind, InputError> {
        PROVIDERS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let names: Vec<&str> = PROVIDERS.iter().map(|kind| kind.name).collect();
            InputError::new("`provider`", format!("there is no provider {name:?}"))
                .hint(format!("providers: {}", names.join(", ")))
        })
    }
}

/// How a route's files and variables are read: this crate looks at neither by itself.
pub struct RouteSources<'a> {
    /// Text of a file, by its path as the route has it.
    pub text: &'a dyn Fn(&str) -> Result<String, InputError>,
    /// Value of an environment variable; none where it is not set.
    pub key: &'a dyn Fn(&str) -> Option<SecretString>,
    /// All environment variables whose names begin so.
    pub variables: &'a dyn Fn(&str) -> HashMap<String, String>,
    /// What the tokens of a provider's model cost.
    pub price: &'a dyn Fn(&str, &str) -> Option<Price>,
    /// Spreads the pauses between retries; two processes with different seeds do not come back together.
    pub jitter_seed: u64,
    /// Where the embedded model's file is kept.
    pub model_folder: &'a Path,
}

const MODEL: SettingHelp = SettingHelp { name: "model", help: "model name at the service, required" };
const MODELS: SettingHelp =
    SettingHelp { name: "models", help: "further models that an eval config may name; [\"*\"] for any" };
const ORIGINS: SettingHelp = SettingHelp { name: "origins", help: "further base URLs that an eval config may name" };
const TOP_P: SettingHelp = SettingHelp { name: "top_p", help: "above 0 to 1; not sent where absent" };
const CAP: SettingHelp = SettingHelp { name: "output_tokens_max", help: "cap on a reply in tokens, default 16000" };
const SEED: SettingHelp =
    SettingHelp { name: "seed", help: "base of the sampling seeds, default 0; sample n sends seed + n" };
const TIMEOUT: SettingHelp =
    SettingHelp { name: "timeout_ms", help: "deadline of one request in milliseconds, default 300000" };
const RETRIES: SettingHelp =
    SettingHelp { name: "retries_max", help: "retries after the first request, default 10, at most 100" };
const BACKOFF: SettingHelp =
    SettingHelp { name: "retry_backoff_ms", help: "longest first pause in milliseconds, default 1000; doubles" };
const RECORD: SettingHelp =
    SettingHelp { name: "record", help: "JSONL file that every reply is written to; not written where absent" };
const CONCURRENCY: SettingHelp = SettingHelp {
    name: "concurrency_max",
    help: "most requests under way; without it the service's own refusals bound them",
};
const REQUESTS: SettingHelp =
    SettingHelp { name: "requests_per_minute_max", help: "most requests a minute; no bound where absent" };
const TOKENS: SettingHelp = SettingHelp {
    name: "tokens_per_minute_max",
    help: "most tokens a minute, prompts and replies; no bound where absent",
};

/// All providers, in the order of the help.
pub const PROVIDERS: &[ProviderKind] = &[
    ProviderKind {
        name: "openai",
        summary: "any service that speaks OpenAI's chat completions: OpenAI, gateways, llama.cpp, vLLM, Ollama",
        costly: true,
        settings: &[
            SettingHelp { name: "origin", help: "base URL, default https://api.openai.com/v1" },
            SettingHelp { name: "key_env", help: "environment variable that holds the key; none where absent" },
            ORIGINS,
            MODEL,
            MODELS,
            SettingHelp {
                name: "temperature",
                help: "0 to 2, default 0; OpenAI's reasoning models refuse it and get none",
            },
            TOP_P,
            CAP,
            SEED,
            TIMEOUT,
            RETRIES,
            BACKOFF,
            CONCURRENCY,
            REQUESTS,
            TOKENS,
            RECORD,
        ],
        connect: connect_openai,
    },
    ProviderKind {
        name: "anthropic",
        summary: "Anthropic's messages",
        costly: true,
        settings: &[
            SettingHelp { name: "origin", help: "base URL, default https://api.anthropic.com/v1" },
            SettingHelp { name: "key_env", help: "environment variable that holds the key, default ANTHROPIC_API_KEY" },
            ORIGINS,
            MODEL,
            MODELS,
            SettingHelp { name: "temperature", help: "0 to 1, default 0" },
            TOP_P,
            CAP,
            TIMEOUT,
            RETRIES,
            BACKOFF,
            CONCURRENCY,
            REQUESTS,
            TOKENS,
            RECORD,
        ],
        connect: connect_anthropic,
    },
    ProviderKind {
        name: "baseten",
        summary: "Baseten's model interface: chat completions under its own address and key",
        costly: true,
        settings: &[
            SettingHelp { name: "origin", help: "base URL, default https://inference.baseten.co/v1" },
            SettingHelp { name: "key_env", help: "environment variable that holds the key, default BASETEN_API_KEY" },
            ORIGINS,
            MODEL,
            MODELS,
            SettingHelp { name: "temperature", help: "0 to 2, default 0" },
            TOP_P,
            CAP,
            SEED,
            TIMEOUT,
            RETRIES,
            BACKOFF,
            CONCURRENCY,
            REQUESTS,
            TOKENS,
            RECORD,
        ],
        connect: connect_baseten,
    },
    ProviderKind {
        name: "sagemaker",
        summary: "a SageMaker endpoint, by a signature of Amazon's or through a gateway that takes x-api-key",
        costly: true,
        settings: &[
            SettingHelp {
                name: "region",
                help: "region that requests are signed for, with the credentials of Amazon's chain; without it x-api-key is sent",
            },
            SettingHelp {
                name: "origin",
                help: "the endpoint's whole URL; with `region` by default that of the endpoint called `model`",
            },
            SettingHelp {
                name: "key_env",
                help: "environment variable that holds the key, default X_API_KEY; not with `region`",
            },
            ORIGINS,
            SettingHelp { name: "model", help: "the endpoint's name; without `region` a name for records" },
            MODELS,
            SettingHelp { name: "temperature", help: "0 to 2, default 0" },
            TOP_P,
            CAP,
            TIMEOUT,
            RETRIES,
            BACKOFF,
            CONCURRENCY,
            REQUESTS,
            TOKENS,
            RECORD,
        ],
        connect: connect_sagemaker,
    },
    ProviderKind {
        name: "scripted",
        summary: "answers by rules from a file: deterministic, free, without a network",
        costly: false,
        settings: &[SettingHelp { name: "rules", help: "JSONL file of rules, required" }],
        connect: connect_scripted,
    },
    ProviderKind {
        name: "replay",
        summary: "answers from a cassette that the setting `record` of another route has written: free, without a network",
        costly: false,
        settings: &[SettingHelp { name: "cassette", help: "JSONL file of recorded calls, required" }],
        connect: connect_replay,
    },
    ProviderKind {
        name: "embedded",
        summary: "a small language model inside the program: no key, no server",
        costly: true,
        settings: &[
            SettingHelp {
                name: "model",
                help: "a GGUF file of a llama; without it the one that `fapo model pull` keeps",
            },
            SettingHelp { name: "temperature", help: "0 to 2, default 0: the likeliest token each time" },
            SettingHelp { name: "top_p", help: "above 0 to 1; all tokens where absent" },
            CAP,
            SettingHelp { name: "seed", help: "base of the sampling seeds, default 0; sample n draws with seed + n" },
        ],
        connect: connect_embedded,
    },
];

/// Makes the provider that the route of a model alias names. Nothing is sent yet.
///
/// # Errors
/// A provider that is not in [`PROVIDERS`], a setting that it needs or cannot take (by alias and field), a rules file
/// that cannot be read or has a wrong line (by file and line).
pub fn connect(alias: &str, route: &ModelRoute, sources: &RouteSources<'_>) -> Result<Arc<dyn Provider>, InputError> {
    ProviderKind::named(&route.provider).and_then(|kind| (kind.connect)(route, sources)).map_err(|error| {
        // A file is named well enough by itself; a field is not.
        let is_field = error.subject.starts_with('`');
        if is_field {
            InputError { subject: format!("model alias {alias}, {}", error.subject), ..error }
        } else {
            error
        }
    })
}

fn connect_openai(route: &ModelRoute, sources: &RouteSources<'_>) -> Connected {
    let origin = route.origin.clone().unwrap_or_else(|| ORIGIN_DEFAULT.to_owned());
    served(route, sources, Api::ChatCompletions, origin, route.key_env.as_deref(), model(route)?)
}

fn connect_anthropic(route: &ModelRoute, sources: &RouteSources<'_>) -> Connected {
    let origin = route.origin.clone().unwrap_or_else(|| "https://api.anthropic.com/v1".to_owned());
    let key_env = route.key_env.as_deref().unwrap_or("ANTHROPIC_API_KEY");
    served(route, sources, Api::Messages, origin, Some(key_env), model(route)?)
}

fn connect_baseten(route: &ModelRoute, sources: &RouteSources<'_>) -> Connected {
    let origin = route.origin.clone().unwrap_or_else(|| "https://inference.baseten.co/v1".to_owned());
    let key_env = route.key_env.as_deref().unwrap_or("BASETEN_API_KEY");
    served(route, sources, Api::ChatCompletions, origin, Some(key_env), model(route)?)
}

fn connect_sagemaker(route: &ModelRoute, sources: &RouteSources<'_>) -> Connected {
    if let Some(region) = &route.region {
        return connect_signed(route, sources, region);
    }
    let origin = route.origin.clone().ok_or_else(|| {
        InputError::new("`origin`", "a sagemaker route without `region` needs `origin`").hint(
            "add origin = \"<the endpoint's URL>\" to its table, or region = \"<region>\" and model = \"<endpoint>\"",
        )
    })?;
    let key_env = route.key_env.as_deref().unwrap_or("X_API_KEY");
    let name = route.model.clone().unwrap_or_else(|| "endpoint".to_owned());
    served(route, sources, Api::Endpoint, origin, Some(key_env), name)
}

fn connect_signed(route: &ModelRoute, sources: &RouteSources<'_>, region: &str) -> Connected {
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !is_name(region) {
        return Err(
            InputError::new("`region`", format!("{region:?} is no region")).hint("a region looks like eu-central-1")
        );
    }
    if route.key_env.is_some() {
        return Err(InputError::new("`key_env`", "a route with `region` signs its requests and sends no key")
            .hint("take one of the two out"));
    }
    let name = model(route)?;
    if !is_name(&name) {
        return Err(InputError::new("`model`", format!("{name:?} is no endpoint's name"))
            .hint("an endpoint's name is letters, digits and -"));
    }
    let origin = route.origin.clone();
    let origin = origin
        .unwrap_or_else(|| format!("https://runtime.sagemaker.{region}.amazonaws.com/endpoints/{name}/invocations"));
    let aws = Aws {
        region: region.to_owned(),
        home: (sources.key)("HOME").map(|home| home.expose_secret().into()),
        variables: (sources.variables)("AWS_"),
    };
    let settings = settings(route, sources, Api::Endpoint, origin, None, name)?;
    Ok(Arc::new(OpenAi::new(OpenAiSettings { aws: Some(aws), ..settings })?))
}

fn model(route: &ModelRoute) -> Result<String, InputError> {
    route.model.clone().ok_or_else(|| {
        InputError::new("`model`", format!("{} routes need `model`", route.provider))
            .hint("add model = \"<name at the service>\" to its table")
    })
}

/// A service over the one HTTP stack.
fn served(
    route: &ModelRoute,
    sources: &RouteSources<'_>,
    api: Api,
    origin: String,
    key_env: Option<&str>,
    model: String,
) -> Connected {
    Ok(Arc::new(OpenAi::new(settings(route, sources, api, origin, key_env, model)?)?))
}

fn settings(
    route: &ModelRoute,
    sources: &RouteSources<'_>,
    api: Api,
    origin: String,
    key_env: Option<&str>,
    model: String,
) -> Result<OpenAiSettings, InputError> {
    Ok(OpenAiSettings {
        api,
        origin,
        price: (sources.price)(&route.provider, &model),
        key: key_env.map(|variable| key(variable, sources)).transpose()?,
        aws: None,
        key_env: key_env.map(str::to_owned),
        model,
        temperature: route.temperature,
        top_p: route.top_p,
        output_tokens_max: route.output_tokens_max,
        seed: Some(route.seed),
        timeout: Duration::from_millis(route.timeout_ms),
        retries_max: route.retries_max,
        retry_backoff: Duration::from_millis(route.retry_backoff_ms),
        pace: Pace {
            concurrency_max: route.concurrency_max,
            requests_per_minute: route.requests_per_minute_max,
            tokens_per_minute: route.tokens_per_minute_max,
        },
        jitter_seed: sources.jitter_seed,
    })
}

fn key(variable: &str, sources: &RouteSources<'_>) -> Result<SecretString, InputError> {
    let key = (sources.key)(variable).filter(|key| !key.expose_secret().trim().is_empty());
    key.ok_or_else(|| {
        InputError::new("`key_env`", format!("the environment variable {variable} is not set, or empty"))
            .hint(format!("export {variable}=<key>, or take `key_env` out of the route if the service needs none"))
    })
}

fn connect_scripted(route: &ModelRoute, sources: &RouteSources<'_>) -> Connected {
    let file = route.rules.as_deref().ok_or_else(|| {
        InputError::new("`rules`", "a scripted route needs `rules`").hint("add rules = \"<file>\" to its table")
    })?;
    Ok(Arc::new(Scripted::from_rules(file, &(sources.text)(file)?)?))
}

fn connect_replay(route: &ModelRoute, sources: &RouteSources<'_>) -> Connected {
    let file = route.cassette.as_deref().ok_or_else(|| {
        InputError::new("`cassette`", "a replay route needs `cassette`").hint("add cassette = \"<file>\" to its table")
    })?;
    Ok(Arc::new(Replayed::new(file, &(sources.text)(file)?)?))
}

#[cfg(feature = "embedded")]
fn connect_embedded(route: &ModelRoute, sources: &RouteSources<'_>) -> Connected {
    use crate::embedded::{Embedded, EmbeddedSettings, weights};
    if let Some(name) = route.model.as_deref().filter(|name| !name.ends_with(".gguf")) {
        return Err(InputError::new("`model`", format!("{name:?} is no .gguf file"))
            .hint("name a .gguf file, or take `model` out of the route for the one that `fapo model pull` keeps"));
    }
    let named = route.model.as_deref().map(std::path::PathBuf::from);
    let file = named.or_else(|| weights::find(sources.model_folder)).ok_or_else(|| {
        let subject = weights::path(sources.model_folder).display().to_string();
        InputError::new(subject, format!("{} is not there", weights::NAME))
            .hint("fetch it once (94 MB): fapo model pull")
    })?;
    Ok(Arc::new(Embedded::new(EmbeddedSettings {
        file,
        temperature: route.temperature,
        top_p: route.top_p,
        output_tokens_max: route.output_tokens_max,
        seed: route.seed,
    })?))
}

#[cfg(not(feature = "embedded"))]
fn connect_embedded(_: &ModelRoute, _: &RouteSources<'_>) -> Connected {
    Err(InputError::new("`provider`", "this program was built without the embedded model")
        .hint("build it with the feature `embedded`, or name another provider"))
}
