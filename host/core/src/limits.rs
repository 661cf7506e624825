//! Limits on what a component may use: name, unit, default, operator maximum.
//!
//! Fuel decides outcomes; wall time only guards (a wall-clock trip is an infrastructure fault).

use crate::input_error::InputError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One limit's row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRow {
    /// Name in `tenant.toml` and `fapo.toml`; the unit stands last.
    pub name: &'static str,
    /// What is counted.
    pub summary: &'static str,
    /// Value where nobody says otherwise.
    pub default: u64,
    /// Most an operator can set.
    pub maximum: u64,
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident = $default:expr, $maximum:expr;)+) => {
        /// The limits in force for one component and one case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Limits { $($(#[doc = $doc])+ pub $name: u64,)+ }

        /// Every limit, in the order of the docs.
        pub const LIMITS: &[LimitRow] = &[$(LimitRow {
            name: stringify!($name), summary: concat!($($doc),+), default: $default, maximum: $maximum,
        }),+];

        impl Default for Limits {
            fn default() -> Self { Limits { $($name: $default,)+ } }
        }

        impl Limits {
            /// Value of a limit by name.
            pub fn get(&self, name: &str) -> Option<u64> {
                match name { $(stringify!($name) => Some(self.$name),)+ _ => None }
            }
            fn set(&mut self, name: &str, value: u64) -> bool {
                match name { $(stringify!($name) => self.$name = value,)+ _ => return false }
                true
            }
        }
    };
}

limits! {
    /// Fuel of one case in one role (one unit is about one wasm instruction).
    fuel_units = 2_000_000_000, 200_000_000_000;
    /// Wall time of one guest call, milliseconds, host calls not counted. Guards only.
    call_wall_ms = 10_000, 600_000;
    /// Wall time of one case in one role with everything it waits for, milliseconds. Guards only.
    case_wall_ms = 1_800_000, 86_400_000;
    /// Wall time of one host call with all its retries, milliseconds. Guards only.
    host_call_wall_ms = 900_000, 86_400_000;
    /// Linear memory of one instance, bytes.
    memory_bytes = 67_108_864, 268_435_456;
    /// Elements of one table.
    table_elements = 20_000, 200_000;
    /// Resource handles open at one time.
    handles = 1_000, 100_000;
    /// Host calls of one case.
    host_calls = 2_000, 1_000_000;
    /// Model calls of a judge for one case; a question with `swap` costs two.
    judge_calls = 16, 1_000;
    /// Bytes that cross from guest to host in one call.
    call_bytes = 4_194_304, 33_554_432;
    /// Bytes that cross from guest to host in all calls of one case, log lines included.
    traffic_bytes = 67_108_864, 1_073_741_824;
    /// Steps of one case.
    steps = 256, 4_096;
    /// Bytes of one text field of a step; the rest is cut and marked.
    field_bytes = 1_048_576, 16_777_216;
    /// Bytes of all step outputs of one case.
    outputs_bytes = 8_388_608, 134_217_728;
    /// Bytes of log lines kept for one case.
    log_bytes = 65_536, 1_048_576;
    /// Size of a component file, bytes.
    component_bytes = 33_554_432, 134_217_728;
    /// Linear memory of a converter while files are imported, bytes.
    import_memory_bytes = 268_435_456, 268_435_456;
    /// Bytes of the rows that a converter makes of one import.
    import_bytes = 4_294_967_296, 1_099_511_627_776;
    /// Bytes of a run's journal, from which its other files are made.
    run_bytes = 4_294_967_296, 1_099_511_627_776;
    /// Processor time of compiling a component, seconds.
    compile_cpu_seconds = 120, 3_600;
    /// Memory of compiling a component, bytes.
    compile_memory_bytes = 2_147_483_648, 17_179_869_184;
}

impl Limits {
    /// What a tenant asks for, held to what the operator allows.
    ///
    /// `operator` may lower or raise a limit within its maximum; `requested` can go up to the operator's value
    /// and is cut there.
    ///
    /// # Errors
    /// A name that is no limit, a zero, or an operator's value over the maximum.
    pub fn effective(
        operator: &BTreeMap<String, u64>,
        requested: &BTreeMap<String, u64>,
        tenant: &str,
    ) -> Result<Limits, InputError> {
        let mut allowed = Limits::default();
        for (name, value) in operator {
            let row = row(name).ok_or_else(|| unknown("operator file, [limits]", name))?;
            if *value == 0 || *value > row.maximum {
                return Err(InputError::new(
                    format!("operator file, limits.{name}"),
                    format!("{value} is outside 1..={}", row.maximum),
                ));
            }
            allowed.set(name, *value);
        }
        let mut effective = allowed;
        for (name, value) in requested {
            row(name).ok_or_else(|| unknown(&format!("tenant {tenant}, [requests.limits]"), name))?;
            if *value == 0 {
                return Err(InputError::new(format!("tenant {tenant}, limits.{name}"), "a limit must be above 0"));
            }
            let ceiling = allowed.get(name).unwrap_or(*value);
            effective.set(name, (*value).min(ceiling));
        }
        Ok(effective)
    }
}

fn row(name: &str) -> Option<&'static LimitRow> {
    LIMITS.iter().find(|row| row.name == name)
}

fn unknown(subject: &str, name: &str) -> InputError {
    let known: Vec<&str> = LIMITS.iter().map(|row| row.name).collect();
    InputError::new(subject, format!("no limit is called {name:?}")).hint(format!("limits: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
        rows.iter().map(|(n, v)| ((*n).to_string(), *v)).collect()
    }

    #[test]
    fn a_request_never_exceeds_the_operators_value() {
        let l = Limits::effective(&map(&[("steps", 10)]), &map(&[("steps", 500)]), "t").expect("limits");
        assert_eq!(l.steps, 10);
        let l = Limits::effective(&map(&[]), &map(&[("steps", 5)]), "t").expect("limits");
        assert_eq!(l.steps, 5);
    }

    #[test]
    fn wrong_names_and_numbers_are_refused() {
        assert!(Limits::effective(&map(&[("stepz", 1)]), &map(&[]), "t").is_err());
        assert!(Limits::effective(&map(&[]), &map(&[("stepz", 1)]), "t").is_err());
        assert!(Limits::effective(&map(&[("steps", 4_097)]), &map(&[]), "t").is_err());
        assert!(Limits::effective(&map(&[("steps", 4_096)]), &map(&[]), "t").is_ok());
        assert!(Limits::effective(&map(&[]), &map(&[("steps", 0)]), "t").is_err());
    }
}
