//! Running totals of a run, and `progress.json` made of them.
//!
//! Totals grow by one record at a time, so that a live `progress.json` costs the same at the first case and at the
//! hundred-thousandth; the lists of ids that grow with the run are written once, at its end.

use fapo_core::run::CaseRecord;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Sums over the finished cases.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    completed: usize,
    composite: f64,
    composite_succeeded: f64,
    breakdown: BTreeMap<String, f64>,
    earned: f64,
    possible: f64,
    failed: Vec<String>,
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
    pub(crate) fn add(&mut self, record: &CaseRecord) {
        self.completed += 1;
        self.composite += record.composite();
        if record.fault.is_some() {
            self.failed.push(record.case_id.clone());
        } else {
            self.composite_succeeded += record.composite();
        }
        for (name, value) in record.score.iter().flat_map(|s| s.breakdown()) {
            *self.breakdown.entry(name.clone()).or_insert(0.0) += value;
        }
        let points = |wanted: &str| {
            let found = record.score.iter().flat_map(|s| s.breakdown()).find(|(name, _)| name == wanted);
            found.map_or(0.0, |(_, value)| *value)
        };
        self.earned += points("points_earned");
        self.possible += points("points_possible");
    }

    /// The text of `progress.json`. `ended` brings the records for the lists that are written once.
    pub(crate) fn progress_json(
        &self,
        facts: &Facts<'_>,
        phase: Phase,
        now: jiff::Timestamp,
        in_flight: &[String],
        ended: &[CaseRecord],
    ) -> String {
        let succeeded = self.completed - self.failed.len();
        let status = match (phase, self.failed.len(), succeeded) {
            (Phase::Running | Phase::Stopped, _, _) => "running",
            (Phase::Ended, 0, _) => "completed",
            (Phase::Ended, _, 0) => "failed",
            (Phase::Ended, _, _) => "degraded",
        };
        let mean = |sum: f64, n: usize| (n > 0).then(|| sum / n as f64);
        let averages: Map<String, Value> = self
            .breakdown
            .iter()
            .map(|(name, sum)| (name.clone(), json!(sum / self.completed.max(1) as f64)))
            .collect();
        let ids = |wanted: fn(&CaseRecord) -> bool| -> Vec<&str> {
            ended.iter().filter(|r| wanted(r)).map(|r| r.case_id.as_str()).collect()
        };
        let progress = json!({
            "run_id": facts.run_id,
            "status": status,
            "total_cases": facts.planned,
            "completed_cases": self.completed,
            "successful_cases": succeeded,
            "started_at": facts.started.to_string(),
            "updated_at": now.to_string(),
            "avg_composite_score": mean(self.composite, self.completed),
            "weighted_avg_score": (self.possible > 0.0).then(|| 100.0 * self.earned / self.possible),
            "score_breakdown_averages": averages,
            "failed_case_ids": self.failed,
            "attempted_case_ids": ids(|_| true),
            "successful_case_ids": ids(|r| r.fault.is_none()),
            "in_flight_case_ids": in_flight,
            "trust_tier_summaries": {},
            "fapo": {
                "stopped": phase == Phase::Stopped,
                "avg_composite_score_of_successful": mean(self.composite_succeeded, succeeded),
            },
        });
        format!("{progress:#}\n")
    }
}
