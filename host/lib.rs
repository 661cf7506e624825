//! FAPO: wiring and commands.
//!
//! The library joins the crates; the binary (`host/cli/main.rs`) parses arguments and prints.

pub mod guests;
pub mod wiring;
