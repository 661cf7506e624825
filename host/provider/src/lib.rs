//! Talks to models: the only crate that opens a socket to one.
//!
//! Providers stand in one table, [`PROVIDERS`]: [`OpenAi`] for every service over HTTP, whichever [`Api`] it speaks,
//! [`Scripted`], which answers by rules from a file, and cassettes, which answer as was [`Recorded`]. [`connect`] makes one of an operator's route, and [`Cached`]
//! before it pays for equal calls once. What is not here: which tenant may use which model, budgets, how many calls
//! run at a time, and the reading of files and variables, which [`RouteSources`] brings in.

mod cache;
mod cassette;
#[cfg(feature = "embedded")]
pub mod embedded;
mod openai;
mod providers;
mod scripted;
mod sleeper;

pub use cache::{Cached, ResponseCache};
pub use cassette::Recorded;
pub use openai::prepare_tls;
pub use openai::{Api, Aws, ORIGIN_DEFAULT, OpenAi, OpenAiSettings, Pace};
pub use providers::{PROVIDERS, ProviderKind, RouteSources, SettingHelp, connect};
pub use scripted::Scripted;
pub use secrecy::SecretString;
pub use sleeper::{Sleeper, TokioSleeper};
