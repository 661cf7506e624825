//! The fapo binary.
fn main() {}
