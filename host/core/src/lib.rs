//! FAPO's nouns and rules, and the ports through which the other crates meet.
//!
//! Plain functions over plain values: nothing here opens a socket, runs foreign code or reads a clock.
//! The crates `sandbox`, `provider`, `retrieval` and `engine` depend on this one and never on each other;
//! they are joined in the wiring (`host/lib.rs`).

pub mod attribution;
pub mod case;
pub mod config;
pub mod digest;
pub mod fault;
pub mod gold;
pub mod grants;
pub mod held;
pub mod held_out;
pub mod input_error;
pub mod json;
pub mod judge;
pub mod limits;
pub mod names;
pub mod ports;
pub mod price;
pub mod review;
pub mod run;
pub mod scope;
pub mod score;
pub mod selection;
pub mod stats;
pub mod tenant;
pub mod variant;

pub use input_error::InputError;
