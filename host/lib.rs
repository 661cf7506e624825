//! The wiring of the crates, and the command line, so that tests, benches and a server can use them.

pub mod cli;
pub mod components;
pub mod guests;
pub mod identity;
pub mod import;
pub mod optimize;
pub mod place;
pub mod plan;
pub mod services;
pub mod sources;
pub mod tenant_folder;
pub mod variant;
