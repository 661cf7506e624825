//! Talks to models: the only crate that opens a socket to one
