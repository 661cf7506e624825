//! Providers as the rest of the host sees them: against a server on loopback, a script, and a cache on disk.
//!
//! Nothing here sleeps or looks at the clock: retries take their time from [`fake::FakeTime`].

mod aws;
mod cache;
mod fake;
mod faults;
mod replies;
mod retries;
mod routes;
mod scripted;
mod secrets;
mod traffic;
