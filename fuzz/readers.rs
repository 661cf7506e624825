//! One reader, named by `FAPO_READER`, fed by libFuzzer.
#![no_main]
#![allow(unreachable_pub, reason = "shared with the tests")]

#[path = "../tests/readers.rs"]
mod readers;

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fn reader() -> readers::Target {
    static CHOSEN: OnceLock<readers::Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("FAPO_READER").unwrap_or_default();
        let known: Vec<&str> = readers::TARGETS.iter().map(|(name, _)| *name).collect();
        let found = readers::TARGETS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("FAPO_READER is {name:?}, none of {known:?}")).1
    })
}

fuzz_target!(|bytes: &[u8]| reader()(bytes));
