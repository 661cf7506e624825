//! What the tests share: a repository of their own, the real binary, a fake model server.

mod bench;
mod server;

pub use bench::{Bench, Ran, guest, root};
pub use server::{Answer, FakeServer};
