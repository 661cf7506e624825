//! Running totals of a run, and `progress.json` made of them.
//!
//! Totals grow by one record at a time, so that a live `progress.json` costs the same at the first case and at the
//! hundred-thousandth; the lists of ids that grow with the run are written once, at its end.

use crate::figures::Metrics;
use fapo_core::ports::Cases;
use fapo_core::run::CaseEnd;
use serde::ser::{Error, SerializeSeq};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::io::Write;

/// Case ids that a live `progress.json` lists as failed; the one at the end lists all.
const FAILED_LIVE_MAX: usize = 1_000;

/// Sums over the finished cases.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    completed: usize,
    composite: f64,
    composite_succeeded: f64,
    metrics: Metrics,
    earned: f64,
    possible: f64,
    failed: usize,
    /// The first of them.
    failed_ids: Vec<String>,
}

/// Facts about a run that stand still.
pub(crate) struct Facts<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) planned: usize,
    pub(crate) started: jiff::Timestamp,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Stopped,
    Ended,
}

impl Totals {
    pub(crate) fn add(&mut self, end: &CaseEnd) {
        self.completed += 1;
        self.composite += end.composite();
        if end.fault.is_some() {
            self.failed += 1;
            if self.failed_ids.len() < FAILED_LIVE_MAX {
                self.failed_ids.push(end.case_id.clone());
            }
        } else {
            self.composite_succeeded += end.composite();
        }
        self.metrics.add(end.score.as_ref());
        let points = |wanted: &str| {
            let found = end.score.iter().flat_map(|s| s.breakdown()).find(|(name, _)| name == wanted);
            found.map_or(0.0, |(_, value)| *value)
        };
        self.earned += points("points_earned");
        self.possible += points("points_possible");
    }

    /// Writes `progress.json`. `ended` brings the ids for the lists that are written once.
    pub(crate) fn write_progress(
        &self,
        facts: &Facts<'_>,
        phase: Phase,
        now: jiff::Timestamp,
        in_flight: &[String],
        ended: Option<&Ended<'_>>,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        let succeeded = self.completed - self.failed;
        let status = match (phase, self.failed, succeeded) {
            (Phase::Running | Phase::Stopped, _, _) => "running",
            (Phase::Ended, 0, _) => "completed",
            (Phase::Ended, _, 0) => "failed",
            (Phase::Ended, _, _) => "degraded",
        };
        let mean = |sum: f64, n: usize| (n > 0).then(|| sum / n as f64);
        let ids = |wanted: fn(bool) -> bool| Ids { ended, wanted };
        let progress = Progress {
            run_id: facts.run_id,
            status,
            total_cases: facts.planned,
            completed_cases: self.completed,
            successful_cases: succeeded,
            started_at: facts.started.to_string(),
            updated_at: now.to_string(),
            avg_composite_score: mean(self.composite, self.completed),
            weighted_avg_score: (self.possible > 0.0).then(|| 100.0 * self.earned / self.possible),
            score_breakdown_averages: self.metrics.over(self.completed).into_iter().collect(),
            failed_case_ids: match ended {
                Some(_) => Failed::All(ids(|failed| failed)),
                None => Failed::First(&self.failed_ids),
            },
            attempted_case_ids: ids(|_| true),
            successful_case_ids: ids(|failed| !failed),
            in_flight_case_ids: in_flight,
            trust_tier_summaries: BTreeMap::new(),
            fapo: Extras {
                stopped: phase == Phase::Stopped,
                avg_composite_score_of_successful: mean(self.composite_succeeded, succeeded),
            },
        };
        serde_json::to_writer_pretty(&mut *out, &progress)?;
        writeln!(out)
    }
}

/// The cases of a run at its end, and which of them have a fault.
pub(crate) struct Ended<'a> {
    pub(crate) cases: &'a dyn Cases,
    /// By position.
    pub(crate) failed: &'a [bool],
}

#[derive(Serialize)]
struct Progress<'a> {
    run_id: &'a str,
    status: &'static str,
    total_cases: usize,
    completed_cases: usize,
    successful_cases: usize,
    started_at: String,
    updated_at: String,
    avg_composite_score: Option<f64>,
    weighted_avg_score: Option<f64>,
    score_breakdown_averages: BTreeMap<String, f64>,
    failed_case_ids: Failed<'a>,
    attempted_case_ids: Ids<'a>,
    successful_case_ids: Ids<'a>,
    in_flight_case_ids: &'a [String],
    trust_tier_summaries: BTreeMap<String, ()>,
    fapo: Extras,
}

#[derive(Serialize)]
struct Extras {
    stopped: bool,
    avg_composite_score_of_successful: Option<f64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Failed<'a> {
    First(&'a [String]),
    All(Ids<'a>),
}

/// Ids of cases, read one by one while they are written.
struct Ids<'a> {
    ended: Option<&'a Ended<'a>>,
    /// By whether the case has a fault.
    wanted: fn(bool) -> bool,
}

impl Serialize for Ids<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for (index, failed) in self.ended.iter().flat_map(|ended| ended.failed.iter().enumerate()) {
            if let Some(ended) = self.ended.filter(|_| (self.wanted)(*failed)) {
                let case = ended.cases.at(index).map_err(|e| S::Error::custom(e.to_string()))?;
                list.serialize_element(&case.case_id)?;
            }
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_core::fault::{self, Fault, FaultKind};
    use serde_json::{Value, json};

    #[test]
    fn a_live_list_of_failed_cases_is_bounded_and_their_number_is_not() {
        let mut totals = Totals::default();
        let all = FAILED_LIVE_MAX + 5;
        for n in 0..all {
            let fault = Some(Fault::new(fault::Phase::Chain, FaultKind::Trapped, "m"));
            totals.add(&CaseEnd { index: n, case_id: format!("c{n}"), score: None, fault, tokens: 0 });
        }
        let facts = Facts { run_id: "r", planned: all, started: jiff::Timestamp::UNIX_EPOCH };
        let mut text = Vec::new();
        totals
            .write_progress(&facts, Phase::Running, jiff::Timestamp::UNIX_EPOCH, &[], None, &mut text)
            .expect("written");
        let progress: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(progress["failed_case_ids"].as_array().map(Vec::len), Some(FAILED_LIVE_MAX));
        assert_eq!((&progress["completed_cases"], &progress["successful_cases"]), (&json!(all), &json!(0)));
    }
}
