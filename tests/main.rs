//! Integration tests: the real binary, real components in the real sandbox.

#![allow(unreachable_pub, reason = "nothing imports a test binary")]

/// Holds a text against its snapshot in `tests/snapshots/`.
macro_rules! snapshot {
    ($text:expr) => {
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => true}, {
            insta::assert_snapshot!($text)
        })
    };
}

mod advisers;
mod attack;
mod bad_input;
mod benchmarks;
mod budgets;
mod commands;
mod corpora;
mod evaluate;
mod export;
mod faults;
mod graphs;
mod import;
mod interventions;
mod judges;
mod kills;
mod languages;
mod layers;
mod nodes;
mod optimize;
mod planted;
mod readers;
mod real_model;
mod replay;
mod report;
mod sandbox;
mod score;
mod statistics;
mod study;
mod support;
mod telemetry;
mod tenant_test;
