//! What the tests share: a repository of their own, the real binary, a fake model server.

mod bench;
mod languages;
mod server;

pub use bench::{Bench, Ran, compiled, guest, raw_guest, root, script};
pub use languages::Languages;
pub use server::{Answer, FakeServer, Mishap, mishap};

/// A row of results without what the clock says.
pub fn without_times(mut row: serde_json::Value) -> serde_json::Value {
    row["step_timings"] = serde_json::Value::Null;
    for role in ["chain", "scorer"] {
        row["fapo"]["used"][role]["wall"] = serde_json::Value::Null;
    }
    row
}

/// Says what a test measured, or that it was skipped.
#[expect(clippy::print_stderr, reason = "for whoever reads the tests' output")]
pub fn say(text: &str) {
    eprintln!("{text}");
}
