//! What the tests share: a repository of their own, the real binary, a fake model server.

mod bench;
mod languages;
mod server;

pub use bench::{Bench, Ran, compiled, guest, raw_guest, root, script};
pub use languages::Languages;
pub use server::{Answer, FakeServer, Mishap, mishap};
use std::sync::LazyLock;

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

/// Whether tests with the real model are wanted (`FAPO_REAL_MODEL=1`); its file is then fetched, once for all of them.
pub fn real_model() -> bool {
    static FETCHED: LazyLock<()> = LazyLock::new(|| {
        let fetched = Bench::new().fapo(&["model", "pull"]);
        assert_eq!(fetched.code, 0, "{}", fetched.stderr);
    });
    let wanted = std::env::var_os("FAPO_REAL_MODEL").is_some_and(|value| value == "1");
    if wanted {
        LazyLock::force(&FETCHED);
    } else {
        say("skipped: FAPO_REAL_MODEL is not 1");
    }
    wanted
}
