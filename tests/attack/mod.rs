//! What a hostile tenant tries: a test for each attack, `attack_NN_…`, with a real component or file.
//!
//! [`guests`] holds components that misbehave while they run, [`files`] those that are refused before, and everything
//! else that a tenant writes. A test that ends in `_without_…` builds a sandbox that lacks the defence and shows the
//! attack succeed, so that its neighbour cannot pass for another reason.

mod files;
mod guests;
mod harness;
mod patch;
