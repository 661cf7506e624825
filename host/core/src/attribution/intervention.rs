//! What replays with gold in the place of a step's own outputs say about where failed cases lost their answer.

use super::{Attribution, Cause, Confidence, Finding, Fix, cluster};
use crate::scope::VariantLevel;
use crate::stats::{Estimate, Stratum, stratified};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name under which a finding of a replay stands among those of the heuristics.
pub const INTERVENTION: &str = "intervention";

/// How a step was found to lose a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeenBy {
    /// With gold before it the case still fails, with gold in its place it does not.
    Score,
    /// A later step hides it from the score; with gold before it its own text lacks what gold has, with gold in its
    /// place it does not.
    Text,
}

/// A step that loses a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blamed {
    /// The node.
    pub step: String,
    /// How deep a change would have to go: a node with a prompt takes another prompt, a search another depth, anything
    /// else another structure.
    pub level: VariantLevel,
    /// How that was found out.
    pub seen_by: SeenBy,
}

/// Why no step is blamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unattributed {
    /// With gold in every step, the last included, the score is no better: the scorer or the label is at odds with the
    /// case.
    GoldFails,
    /// Run again without any gold it passes: chance.
    PassesAgain,
    /// The tenant declares no gold for this case.
    NoGold,
}

/// Where one failed case lost its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Located {
    /// The case.
    pub case_id: String,
    /// Steps that lose it, in order of execution; empty where none is blamed.
    pub blamed: Vec<Blamed>,
    /// Why none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unattributed: Option<Unattributed>,
    /// Composite of the run.
    pub recorded: f64,
    /// Composite with gold in every step; 100, which nobody measured, where the loss is after the last step with gold.
    pub restored: f64,
    /// Replays it took.
    pub replays: u64,
}

/// What mending one step, or one level, could gain at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ceiling<T> {
    /// Which.
    pub of: T,
    /// Cases that were looked into and that it would restore.
    pub cases: usize,
    /// Points of the mean composite over all planned cases, with the 95% interval that comes of looking into some
    /// failed cases only.
    pub gain: Estimate,
}

/// What replays found in a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interventions {
    /// Cases that were looked into, in dataset order.
    pub located: Vec<Located>,
    /// What mending a step could gain, the steps that could gain most first.
    pub steps: Vec<Ceiling<String>>,
    /// What changes up to a level could gain, prompts first: a deeper one can mend what a shallower one could.
    pub levels: Vec<Ceiling<VariantLevel>>,
    /// What no change could gain, as far as these replays tell: cases that no step is blamed for.
    pub unattributed: usize,
    /// Failed cases of the run.
    pub failed: usize,
    /// Planned cases of the run.
    pub planned: usize,
    /// Replays, those of earlier starts included.
    pub replays: u64,
    /// Model calls of them that were paid.
    pub calls_paid: u64,
    /// Model calls of them that the cache answered.
    pub calls_cached: u64,
    /// Whether the calls that were allowed ended the search before every failed case was looked into.
    pub budget_ended: bool,
}

impl Interventions {
    /// Ceilings of what was located. Failed cases are drawn from `clusters` (names of clusters by case), so that each
    /// counts with its cluster's size.
    pub fn new(located: Vec<Located>, clusters: &BTreeMap<String, String>, planned: usize) -> Self {
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        clusters.values().for_each(|cluster| *sizes.entry(cluster).or_default() += 1);
        let gain = |counts: &dyn Fn(&Located) -> bool| -> Estimate {
            let strata: Vec<Stratum> = sizes
                .iter()
                .map(|(cluster, size)| {
                    let of = located.iter().filter(|l| clusters.get(&l.case_id).is_some_and(|c| c == cluster));
                    let value = |l: &Located| if counts(l) { l.restored - l.recorded } else { 0.0 };
                    Stratum { size: *size, values: of.map(value).collect() }
                })
                .collect();
            stratified(&strata, planned)
        };
        let mut steps: Vec<String> = located.iter().flat_map(|l| l.blamed.iter().map(|b| b.step.clone())).collect();
        steps.sort_unstable();
        steps.dedup();
        // A case with two faults is not restored by mending one.
        let alone = |step: &str, l: &Located| !l.blamed.is_empty() && l.blamed.iter().all(|b| b.step == step);
        let of_step = |step: String| {
            let counts = |l: &Located| alone(&step, l);
            let (cases, gain) = (located.iter().filter(|l| counts(l)).count(), gain(&counts));
            Ceiling { of: step, cases, gain }
        };
        let mut steps: Vec<Ceiling<String>> = steps.into_iter().map(of_step).collect();
        steps.sort_by(|a, b| b.gain.mean.total_cmp(&a.gain.mean).then_with(|| a.of.cmp(&b.of)));
        let deepest = |l: &Located| l.blamed.iter().map(|b| b.level).max();
        let of_level = |level: VariantLevel| {
            let counts = |l: &Located| deepest(l).is_some_and(|deepest| deepest <= level);
            Ceiling { of: level, cases: located.iter().filter(|l| counts(l)).count(), gain: gain(&counts) }
        };
        Interventions {
            steps,
            levels: VariantLevel::ALL.map(of_level).into(),
            unattributed: located.iter().filter(|l| l.blamed.is_empty()).count(),
            failed: clusters.len(),
            planned,
            located,
            ..Interventions::default()
        }
    }

    /// What changes up to a level could gain.
    pub fn level(&self, level: VariantLevel) -> Option<&Estimate> {
        self.levels.iter().find(|ceiling| ceiling.of == level).map(|ceiling| &ceiling.gain)
    }
}

impl Attribution {
    /// The same with the steps that replays blame in the place of those that heuristics name: a finding whose step is
    /// among the blamed stands, another one is moved, and one that no step is to blame for has no fix.
    pub fn corrected(mut self, found: &Interventions) -> Attribution {
        let located: BTreeMap<&str, &Located> = found.located.iter().map(|l| (l.case_id.as_str(), l)).collect();
        for finding in &mut self.findings {
            if let Some(located) = located.get(finding.case_id.as_str()) {
                correct(finding, located);
            }
        }
        self.regrouped()
    }

    /// The same with clusters made anew of its findings.
    pub fn regrouped(mut self) -> Attribution {
        self.clusters = cluster::grouped(&self.findings, self.planned);
        self
    }
}

fn correct(finding: &mut Finding, located: &Located) {
    match located.unattributed {
        Some(Unattributed::NoGold) => return,
        Some(Unattributed::GoldFails | Unattributed::PassesAgain) => {
            (finding.fix, finding.level, finding.confidence) = (Fix::None, None, Confidence::High);
            finding.heuristic = INTERVENTION.into();
            return;
        }
        None => {}
    }
    let named = finding.step.split('#').next().unwrap_or_default();
    if located.blamed.iter().any(|blamed| blamed.step == named) {
        finding.confidence = Confidence::High;
        return;
    }
    if let Some(blamed) = located.blamed.first() {
        // What was not found stays so, whoever asked for it.
        let missing = finding.cause == Cause::EvidenceMissing;
        finding.step.clone_from(&blamed.step);
        finding.heuristic = INTERVENTION.into();
        finding.confidence = Confidence::High;
        finding.level = Some(blamed.level);
        finding.evidence =
            format!("{} points with gold before it, {} with gold in its place", located.recorded, located.restored);
        if missing {
            return;
        }
        finding.cause = Cause::RestoredByGold;
        finding.fix = match blamed.level {
            VariantLevel::Prompt => Fix::FewShot,
            VariantLevel::Parameter => Fix::RetrievalDepth,
            VariantLevel::Structure => Fix::Extract,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(case: usize, steps: &[(&str, VariantLevel)], restored: f64) -> Located {
        let blame = |(step, level): &(&str, VariantLevel)| Blamed {
            step: (*step).into(),
            level: *level,
            seen_by: SeenBy::Score,
        };
        Located {
            case_id: format!("c{case}"),
            blamed: steps.iter().map(blame).collect(),
            unattributed: steps.is_empty().then_some(Unattributed::GoldFails),
            recorded: 0.0,
            restored,
            replays: 2,
        }
    }

    #[test]
    fn ceilings_count_a_case_from_the_deepest_level_it_needs_and_a_cluster_for_its_size() {
        use VariantLevel::{Parameter, Prompt, Structure};
        let found = vec![
            located(0, &[("answer", Prompt)], 100.0),
            located(1, &[("answer", Prompt)], 100.0),
            located(2, &[("search", Parameter), ("answer", Prompt)], 100.0),
            located(3, &[], 0.0),
        ];
        // Cluster b has four cases, of which two were looked into.
        let clusters = ["a", "a", "b", "b", "b", "b"];
        let clusters = clusters.iter().enumerate().map(|(n, c)| (format!("c{n}"), c.to_string())).collect();
        let all = Interventions::new(found, &clusters, 10);
        let mean = |level| all.level(level).expect("a level").mean;
        assert_eq!((mean(Prompt), mean(Parameter), mean(Structure)), (20.0, 40.0, 40.0), "2, and half of 4, of 10");
        assert_eq!((all.steps[0].of.as_str(), all.steps[0].cases), ("answer", 2));
        assert_eq!((all.unattributed, all.failed, all.planned), (1, 6, 10));
        let [low, high] = all.level(Parameter).and_then(|e| e.ci).expect("an interval");
        assert!(low < 40.0 && 40.0 < high && low >= 0.0, "{low} {high}");
        let [closer, far] = all.level(Prompt).and_then(|e| e.ci).expect("an interval");
        assert!(far - closer < high - low, "all of cluster a was looked into");
    }
}
