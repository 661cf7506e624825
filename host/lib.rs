//! The wiring of the crates, and the command line, so that tests, benches and a server can use them.

pub mod cli;
pub mod components;
pub mod dataset;
pub mod export;
pub mod given;
pub mod guests;
pub mod identity;
pub mod import;
pub mod optimize;
pub mod page;
pub mod place;
pub mod plan;
pub mod prepare;
pub mod replay;
pub mod services;
pub mod sources;
pub mod split_runner;
pub mod study;
pub mod telemetry;
pub mod tenant_folder;
pub mod variant;
