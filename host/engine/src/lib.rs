//! Evaluation: a chain over cases, a scorer over its answers, a journal, the artefacts.

pub mod artifacts;
pub mod evaluate;
mod services;
