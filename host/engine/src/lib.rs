//! Evaluation: a chain over cases, a scorer over its answers, a journal, the artefacts.
//!
//! `evaluate` is the run; `folder` and `journal` keep it on disk through the port for files; `stored` reads runs
//! back, `figures` sums them up, `judge` serves a scorer's questions, `compare` sets two side by side, `account` is what several may cost together, `gate` holds one against its tenant's rules, `recorded` puts outputs made elsewhere in
//! the place of a chain, `intervene` finds by replays where failed cases lost their answer, `replay` runs a journalled case again with the replies it got.

pub mod account;
mod artifacts;
mod case;
pub mod compare;
pub mod counsel;
pub mod evaluate;
pub mod figures;
pub mod files;
mod folder;
pub mod gate;
pub mod intervene;
mod journal;
pub mod judge;
pub mod optimize;
pub mod propose;
pub mod recorded;
pub mod replay;
mod services;
mod spending;
pub mod stop;
pub mod stored;
pub mod telemetry;
mod totals;
mod trial;
