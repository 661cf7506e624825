//! What a run comes to, summed record by record: the figures that people, programs, gates and artefacts are shown.
//!
//! They grow with steps, metrics and kinds of fault, within bounds, and with one number a case.

use fapo_core::attribution::FailureCounts;
use fapo_core::case::Case;
use fapo_core::fault::Fault;
use fapo_core::price::Money;
use fapo_core::run::{CallRecord, CaseRecord};
use fapo_core::score::Score;
use fapo_core::stats::{Estimate, composite_estimate};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Most metrics whose means are kept; a scorer may name others for every case.
const METRICS_MAX: usize = 1_000;
/// Most kinds of fault, and most hints, that are told apart: their messages may name cases.
const FAULTS_MAX: usize = 1_000;
/// Milliseconds of the longest time that is told apart from longer ones: a day.
const TIME_MS_MAX: u32 = 86_400_000;

/// The figures of a run's records.
#[derive(Clone, Debug, Default)]
pub struct RunFigures {
    composites: Vec<f64>,
    /// Records with a fault.
    pub errors: usize,
    /// Whether one of them is a call that a budget refused.
    pub spent: bool,
    metrics: Metrics,
    /// Model calls.
    pub usage: RunUsage,
    /// Kinds of fault.
    pub faults: FaultCounts,
    /// Failures by step and cause; none where no labels were at hand.
    pub failures: FailureCounts,
    times: Vec<(String, Times)>,
    time_of_case: Times,
}

impl RunFigures {
    /// Without a record yet, of a run that failed so.
    pub(crate) fn with(failures: FailureCounts) -> Self {
        RunFigures { failures, ..RunFigures::default() }
    }

    /// Of all these records, with their cases where they are known.
    pub fn of(cases: &[Case], records: &[CaseRecord]) -> Self {
        let mut figures = RunFigures::with(FailureCounts::of(cases, records));
        records.iter().for_each(|record| figures.add(record));
        figures
    }

    /// The next record in dataset order. Why it failed is added to [`failures`](Self::failures), by whoever knows.
    pub fn add(&mut self, record: &CaseRecord) {
        self.composites.push(record.composite());
        if let Some(fault) = &record.fault {
            self.errors += 1;
            self.spent |= fault.kind.is_spent();
            self.faults.add(fault, &record.case_id);
        }
        self.metrics.add(record.score.as_ref());
        self.usage.add(record);
        self.time_of_case.add(record.steps.iter().map(|timed| timed.seconds).sum());
        for timed in &record.steps {
            let node = &timed.step.id.node;
            let at = self.times.iter().position(|(name, _)| name == node).unwrap_or_else(|| {
                self.times.push((node.clone(), Times::default()));
                self.times.len() - 1
            });
            self.times[at].1.add(timed.seconds);
        }
    }

    /// Cases that came to their end.
    pub fn completed(&self) -> usize {
        self.composites.len()
    }

    /// Composites in dataset order.
    pub fn composites(&self) -> &[f64] {
        &self.composites
    }

    /// The mean composite over planned cases, one that did not run counted as 0, with its 95% interval where all ran;
    /// None of a run without cases.
    pub fn composite(&self, planned: usize) -> Option<Estimate> {
        if self.completed() < planned {
            let mean = self.composites.iter().sum::<f64>() / planned as f64;
            return Some(Estimate { mean, ci: None, n: self.completed() });
        }
        composite_estimate(&self.composites)
    }

    /// Mean of each metric over planned cases, a case without it as 0; names sorted.
    pub fn metrics(&self, planned: usize) -> Vec<(String, f64)> {
        self.metrics.over(planned)
    }

    /// Whether any record has a step.
    pub(crate) fn has_steps(&self) -> bool {
        !self.times.is_empty()
    }

    /// Seconds of the steps in order of first appearance, and last those of a whole case under None.
    pub(crate) fn times(&self) -> impl Iterator<Item = (Option<&str>, &Times)> {
        self.times.iter().map(|(name, times)| (Some(name.as_str()), times)).chain([(None, &self.time_of_case)])
    }
}

/// Sums of metrics by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub(crate) fn add(&mut self, score: Option<&Score>) {
        for (name, value) in score.into_iter().flat_map(Score::breakdown) {
            let room = self.0.len() < METRICS_MAX;
            match self.0.get_mut(name) {
                Some(sum) => *sum += value,
                None if room => drop(self.0.insert(name.clone(), *value)),
                None => {}
            }
        }
    }

    /// Means over so many cases; names sorted.
    pub(crate) fn over(&self, cases: usize) -> Vec<(String, f64)> {
        self.0.iter().map(|(name, sum)| (name.clone(), sum / cases.max(1) as f64)).collect()
    }
}

/// Model calls of a run and what they took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunUsage {
    /// Calls, those that the cache answered among them.
    pub calls: u64,
    /// Calls of judges among them.
    pub judge_calls: u64,
    /// Judges' replies that were none of the choices.
    pub judge_off_choice: u64,
    /// Calls that a service was paid for.
    pub paid: u64,
    /// Calls that the cache answered.
    pub cached: u64,
    /// Requests sent, retries among them.
    pub requests: u64,
    /// Tokens of prompts, as far as services counted.
    pub prompt_tokens: u64,
    /// Tokens of replies, likewise.
    pub completion_tokens: u64,
    /// Replies whose tokens no service counted.
    pub calls_without_usage: u64,
    /// What the paid calls cost; None where a price is unknown.
    pub cost: Option<Money>,
    /// What the cache saved, likewise.
    pub saved: Option<Money>,
}

impl Default for RunUsage {
    fn default() -> Self {
        RunUsage {
            calls: 0,
            judge_calls: 0,
            judge_off_choice: 0,
            paid: 0,
            cached: 0,
            requests: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
            calls_without_usage: 0,
            cost: Some(Money::default()),
            saved: Some(Money::default()),
        }
    }
}

impl RunUsage {
    fn add(&mut self, record: &CaseRecord) {
        self.judge_calls += record.judge_calls.len() as u64;
        self.judge_off_choice += record.judge_calls.iter().filter(|judged| judged.is_off_choice()).count() as u64;
        let and = |sum: Option<Money>, call: &CallRecord| sum.zip(call.cost).map(|(sum, cost)| sum.plus(cost));
        for call in record.model_calls() {
            self.calls += 1;
            self.requests += u64::from(call.attempts);
            if call.is_paid() {
                self.paid += 1;
                self.cost = and(self.cost, call);
            }
            if call.cached {
                self.cached += 1;
                self.saved = and(self.saved, call);
            }
            match call.usage {
                Some(usage) => {
                    self.prompt_tokens += usage.prompt_tokens;
                    self.completion_tokens += usage.completion_tokens;
                }
                None => self.calls_without_usage += u64::from(call.reply.is_some()),
            }
        }
    }
}

/// Faults by what they say.
#[derive(Clone, Debug, Default)]
pub struct FaultCounts {
    kinds: BTreeMap<(String, String), (usize, String)>,
    hints: BTreeSet<String>,
    beyond: usize,
}

/// Faults that say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultGroup<'a> {
    /// Phase and kind.
    pub what: &'a str,
    /// The message.
    pub message: &'a str,
    /// How many.
    pub cases: usize,
    /// The first of them.
    pub first: &'a str,
}

impl FaultCounts {
    fn add(&mut self, fault: &Fault, case_id: &str) {
        let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_string();
        let key = (format!("{}, {}", word(json!(fault.phase)), word(json!(fault.kind))), fault.message.clone());
        let room = self.kinds.len() < FAULTS_MAX;
        match self.kinds.get_mut(&key) {
            Some((cases, _)) => *cases += 1,
            None if room => drop(self.kinds.insert(key, (1, case_id.to_string()))),
            None => self.beyond += 1,
        }
        if let Some(hint) = fault.hint.as_ref().filter(|_| self.hints.len() < FAULTS_MAX) {
            self.hints.insert(hint.clone());
        }
    }

    /// Kinds of fault by phase, kind and message.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = FaultGroup<'_>> {
        self.kinds.iter().map(|((what, message), (cases, first))| FaultGroup { what, message, cases: *cases, first })
    }

    /// Faults that are in none of the groups, because there were too many.
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// What mends them, each once.
    pub fn hints(&self) -> impl Iterator<Item = &str> {
        self.hints.iter().map(String::as_str)
    }
}

/// Times, counted by the millisecond, which is what artefacts show of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    sum: f64,
    count: u64,
    by_ms: BTreeMap<u32, u64>,
}

/// Mean, median and 95th percentile, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeFigures {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
}

impl Times {
    fn add(&mut self, seconds: f64) {
        self.sum += seconds;
        self.count += 1;
        // From a number out of range to the nearest end of it.
        let ms = ((seconds * 1e3).round() as u32).min(TIME_MS_MAX);
        *self.by_ms.entry(ms).or_default() += 1;
    }

    /// The time of the `rank`-th, from 1, in seconds.
    fn ranked(&self, rank: u64) -> f64 {
        let mut seen = 0;
        let found = self.by_ms.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank.max(1)
        });
        found.map_or(0.0, |(ms, _)| f64::from(*ms) / 1e3)
    }

    pub(crate) fn figures(&self) -> TimeFigures {
        let middle = [self.count.div_ceil(2), self.count / 2 + 1];
        TimeFigures {
            mean: self.sum / self.count.max(1) as f64,
            p50: middle.map(|rank| self.ranked(rank)).iter().sum::<f64>() / 2.0,
            p95: self.ranked((0.95 * self.count as f64).ceil() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_core::fault::{FaultKind, Phase};

    #[test]
    fn times_have_their_mean_median_and_percentile() {
        let mut times = Times::default();
        assert_eq!(times.figures(), TimeFigures { mean: 0.0, p50: 0.0, p95: 0.0 });
        (1..=20).for_each(|n| times.add(f64::from(n) / 1e3));
        let TimeFigures { mean, p50, p95 } = times.figures();
        assert!((mean - 0.0105).abs() < 1e-12 && (p50 - 0.0105).abs() < 1e-12, "{mean} {p50}");
        assert_eq!(p95, 0.019, "the 19th of 20");
        times.add(0.5);
        assert_eq!(times.figures().p50, 0.011);
        times.add(f64::INFINITY);
        assert_eq!(times.by_ms.last_key_value(), Some((&TIME_MS_MAX, &1)));
    }

    #[test]
    fn metrics_of_other_names_for_every_case_are_not_all_kept() {
        let mut metrics = Metrics::default();
        for n in 0..METRICS_MAX + 5 {
            let score =
                json!({"composite": 50.0, "breakdown": [[format!("m{n}"), 1.0]], "feedback": "", "diagnostics": []});
            metrics.add(Some(&serde_json::from_value(score).expect("a score")));
        }
        assert_eq!(metrics.over(1).len(), METRICS_MAX);
    }

    #[test]
    fn faults_that_all_say_something_else_are_counted_and_not_all_kept() {
        let mut faults = FaultCounts::default();
        for n in 0..FAULTS_MAX + 7 {
            faults.add(&Fault::new(Phase::Chain, FaultKind::Returned, format!("case {n}")), "c");
        }
        faults.add(&Fault::new(Phase::Chain, FaultKind::Returned, "case 0"), "d");
        assert_eq!((faults.groups().len(), faults.beyond()), (FAULTS_MAX, 7));
        let first = faults.groups().next().expect("one");
        assert_eq!((first.what, first.message, first.cases, first.first), ("chain, returned", "case 0", 2, "c"));
    }
}
