//! What the tests share: a repository of their own, the real binary, a fake model server.

mod bench;
mod server;

pub use bench::{Bench, Ran, guest, root};
pub use server::{Answer, FakeServer};

/// Says what a test measured, or that it was skipped.
#[expect(clippy::print_stderr, reason = "for whoever reads the tests' output")]
pub fn say(text: &str) {
    eprintln!("{text}");
}
