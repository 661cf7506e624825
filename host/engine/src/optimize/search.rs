//! The search for a better variant: which change is tried next, what it costs to find out, and when to stop.

use super::report::{issues, memory_line};
use super::{Attempt, Escalation, Exhaustion, Incumbent, Splits, StopReason, Trial, TrialEvent};
use crate::counsel::{Counsel, CounselReport, Proposed};
use crate::propose::{Ground, OPERATORS, means_of, proposals};
use crate::trial::TrialFolder;
use fapo_core::InputError;
use fapo_core::attribution::{Cluster, Fix, attribute};
use fapo_core::case::Case;
use fapo_core::digest;
use fapo_core::held_out::TrainEvidence;
use fapo_core::ports::Definition;
use fapo_core::review::{Review, Reviewed, Verdict, review};
use fapo_core::run::{CaseRecord, PASSED};
use fapo_core::scope::VariantLevel;
use fapo_core::selection::{PAPER_ROUNDS, PAPER_VARIANTS_OF_ROUND, Policy, decide_by};
use fapo_core::variant::{Outcome, Proposal, ReviewedVariant};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Attempts in a row without a gain after which a level is left.
const IN_VAIN_MAX: u32 = 3;

/// Techniques that the paper's ladder takes before a level is left.
const LADDER_TECHNIQUES: usize = 3;

/// Times that a model is asked for edits of one level of one incumbent.
const ASKS_MAX: u32 = 2;

/// Failed cases on which a change has to show something before the rest of train is paid for: a change that mends one
/// case in six goes unseen one time in twenty.
const SCREEN_CASES: usize = 16;

/// Runs through the levels, from the shallowest.
pub(super) struct Search<'a> {
    trial: &'a Trial,
    splits: &'a dyn Splits,
    observe: &'a (dyn Fn(TrialEvent<'_>) + Sync),
    folder: &'a mut TrialFolder,
    /// Digests of definitions that were tried.
    tried: BTreeSet<String>,
    attempts: Vec<Attempt>,
    exhausted: Vec<Exhaustion>,
    /// The latest record of each case of train that some variant passed.
    donors: BTreeMap<String, CaseRecord>,
    /// Whom to ask.
    counsel: Counsel,
    /// Edits of a model for one incumbent and level, the next one last; and how often it was asked for them.
    proposed: Queue,
    /// Rounds of the paper that ended, and variants of the one that has not.
    rounds: u32,
    in_round: u32,
    /// When this start began.
    began: jiff::Timestamp,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        trial: &'a Trial,
        splits: &'a dyn Splits,
        observe: &'a (dyn Fn(TrialEvent<'_>) + Sync),
        folder: &'a mut TrialFolder,
        counsel: Counsel,
    ) -> Self {
        Search {
            trial,
            splits,
            observe,
            folder,
            tried: BTreeSet::new(),
            attempts: Vec::new(),
            exhausted: Vec::new(),
            donors: BTreeMap::new(),
            counsel,
            proposed: Queue::default(),
            rounds: 0,
            in_round: 0,
            began: trial.clock.now(),
        }
    }

    /// Every attempt, the levels that were left, and what advisers said.
    pub(super) fn found(self) -> (Vec<Attempt>, Vec<Exhaustion>, Option<CounselReport>) {
        (self.attempts, self.exhausted, self.counsel.report())
    }

    /// The best variant beside the baseline, if there is one, and why the search ended.
    pub(super) async fn run(&mut self, baseline: &Incumbent) -> Result<(Option<Incumbent>, StopReason), InputError> {
        let open: Vec<VariantLevel> = VariantLevel::ALL.into_iter().filter(|l| self.trial.scope.allows(*l)).collect();
        if open.is_empty() {
            return Ok((None, StopReason::NothingOpen));
        }
        self.tried.insert(digest::of_json(&json!(baseline.variant.definition())));
        let mut best: Option<Incumbent> = None;
        loop {
            let before = self.attempts.len();
            for level in &open {
                if let Some(reason) = self.level(*level, baseline, &mut best).await? {
                    return Ok((best, reason));
                }
            }
            // The paper stops at its caps only: what was left of a level is tried after the others.
            if self.trial.policy == Policy::Paired || self.attempts.len() == before {
                return Ok((best, StopReason::Exhausted));
            }
        }
    }

    /// Tries changes of one level until it is left; why the whole search ends, where it does.
    async fn level(
        &mut self,
        level: VariantLevel,
        baseline: &Incumbent,
        best: &mut Option<Incumbent>,
    ) -> Result<Option<StopReason>, InputError> {
        let (mut in_vain, first) = (0, self.attempts.len());
        self.escalate(level, best.as_ref().unwrap_or(baseline))?;
        loop {
            let incumbent = best.as_ref().unwrap_or(baseline);
            if let Some(reason) = self.spent(incumbent) {
                if reason == StopReason::Resolved {
                    self.leave(level, "resolved", first, incumbent)?;
                }
                return Ok(Some(reason));
            }
            let plateau = self.plateau(incumbent, level, in_vain, first);
            let next = match plateau || !self.could_gain(incumbent, level) {
                true => None,
                false => self.next(incumbent, level).await?,
            };
            let Some(proposal) = next else {
                self.leave(level, if plateau { "plateau" } else { "ceiling" }, first, incumbent)?;
                return Ok(None);
            };
            let better = self.attempt(incumbent, level, proposal).await?;
            self.count_round(better.is_some());
            match better {
                Some(better) => {
                    in_vain = 0;
                    *best = Some(better);
                }
                None => in_vain += 1,
            }
        }
    }

    /// Whether a level has been tried in vain for long enough. By the paper's ladder that takes three techniques as well,
    /// and an attempt at every step that fails at the level.
    fn plateau(&self, incumbent: &Incumbent, level: VariantLevel, in_vain: u32, first: usize) -> bool {
        if self.trial.policy == Policy::Paired || in_vain < IN_VAIN_MAX {
            return in_vain >= IN_VAIN_MAX;
        }
        let tried = &self.attempts[first..];
        let techniques: BTreeSet<&str> = tried.iter().filter_map(|a| a.operator.split('(').next()).collect();
        let at_step = |step: &str| tried.iter().any(|attempt| attempt.step == step);
        let failing = incumbent.found.clusters.iter().filter(|cluster| cluster.level == Some(level));
        techniques.len() >= LADDER_TECHNIQUES && failing.clone().all(|cluster| at_step(&cluster.step))
    }

    /// Counts the rounds of the paper.
    fn count_round(&mut self, kept: bool) {
        self.in_round += 1;
        if kept || self.in_round >= PAPER_VARIANTS_OF_ROUND {
            (self.rounds, self.in_round) = (self.rounds + 1, 0);
        }
    }

    fn spent(&self, incumbent: &Incumbent) -> Option<StopReason> {
        if incumbent.train.iter().all(|record| record.composite() >= 100.0) {
            return Some(StopReason::Resolved);
        }
        if self.trial.policy == Policy::Paper && self.rounds >= PAPER_ROUNDS {
            return Some(StopReason::Rounds);
        }
        let variants_max = self.trial.scope.variants_max.unwrap_or(u32::MAX).min(self.trial.budget.variants_max);
        if self.attempts.len() as u64 >= u64::from(variants_max) {
            return Some(StopReason::Variants);
        }
        let spent_ms = self.trial.clock.now().duration_since(self.began).as_millis();
        if self.trial.budget.wall_ms_max.is_some_and(|most| spent_ms >= i128::from(most)) {
            return Some(StopReason::WallTime);
        }
        let a_case = incumbent.train.iter().map(|r| r.model_calls().count() as u64).max().unwrap_or(0);
        // A variant on all three splits, and test for the baseline and what is selected at the end.
        let cases = (self.trial.train.len() + 2 * self.trial.held_out_cases) as u64;
        (self.splits.calls().paid + a_case * cases > self.trial.budget.calls_max).then_some(StopReason::Calls)
    }

    /// The next change that was not tried: a model's, where there is one to ask, then the operators', for the gravest
    /// cluster first.
    async fn next(&mut self, incumbent: &Incumbent, level: VariantLevel) -> Result<Option<Proposal>, InputError> {
        if let Some(proposal) = self.of_model(incumbent, level).await? {
            return Ok(Some(proposal));
        }
        let definition = incumbent.variant.definition();
        let labels = labels(&self.trial.train);
        let ground = Ground {
            definition,
            catalogue: &self.trial.catalogue,
            step: &definition.graph.output,
            examples: &self.trial.examples,
            scope: &self.trial.scope,
            labels: &labels,
        };
        let fresh = |p: &Proposal| !self.was_tried(&p.edit.apply(definition));
        Ok(proposals(&ground, &self.wanted(incumbent), level).into_iter().find(fresh))
    }

    /// The next edit of a model for this incumbent and level. It is asked again, with what came of its edits, as long as
    /// it may be.
    async fn of_model(&mut self, incumbent: &Incumbent, level: VariantLevel) -> Result<Option<Proposal>, InputError> {
        if !self.counsel.has_proposer() {
            return Ok(None);
        }
        let of = (incumbent.name.clone(), level);
        if self.proposed.of.as_ref() != Some(&of) {
            self.proposed = Queue { of: Some(of), ..Queue::default() };
        }
        if self.proposed.edits.is_empty() && self.proposed.asked < ASKS_MAX {
            self.proposed.asked += 1;
            let memory = self.memory();
            let ground = incumbent.ground(self.trial, &incumbent.found, &memory);
            let (trial, tried) = (self.trial, &self.tried);
            let held = Proposed {
                level,
                review: &|candidate, proposal| reviewed(trial, incumbent, candidate, proposal),
                tried: &|candidate| tried.contains(&digest::of_json(&json!(candidate))),
            };
            let mut edits = self.counsel.propose(&ground, &held).await?;
            edits.reverse();
            self.proposed.edits = edits;
        }
        Ok(self.proposed.edits.pop())
    }

    fn was_tried(&self, definition: &Definition) -> bool {
        self.tried.contains(&digest::of_json(&json!(definition)))
    }

    /// A line for each attempt, as a model is shown it.
    fn memory(&self) -> Vec<String> {
        let line = |a: &Attempt| {
            format!(
                "{} ({} level, step {}): {} {:?}: {}",
                a.operator,
                a.level.word(),
                a.step,
                a.hypothesis,
                a.outcome,
                a.why
            )
        };
        self.attempts.iter().map(line).collect()
    }

    /// Steps with what could mend them, the gravest cluster first.
    fn wanted(&self, incumbent: &Incumbent) -> Vec<(String, Fix)> {
        let named = incumbent.found.clusters.iter().map(|cluster| (cluster.step.clone(), cluster.fix));
        let Some(seed) = self.trial.clusters_dealt_by else {
            return named.collect();
        };
        let nodes = &incumbent.variant.definition().graph.nodes;
        let fixes: Vec<Fix> = OPERATORS.iter().flat_map(|operator| operator.fixes).copied().collect();
        let dealt = |(step, fix): (String, Fix)| {
            let drawn = digest::number(&json!([seed, self.attempts.len(), step, fix]));
            let at = |many: usize| (drawn % many.max(1) as u64) as usize;
            (nodes[at(nodes.len())].name.clone(), fixes[at(fixes.len())])
        };
        named.map(dealt).collect()
    }

    /// Whether changes up to this level could gain one case of train: not where replays looked into every failure and
    /// found none that they could mend, and no text points to one.
    fn could_gain(&self, incumbent: &Incumbent, level: VariantLevel) -> bool {
        if self.trial.policy == Policy::Paper {
            return true;
        }
        let Some(seen) = incumbent.seen.as_ref().filter(|seen| !seen.budget_ended && !seen.located.is_empty()) else {
            return true;
        };
        let one_case = 100.0 / self.trial.train.len().max(1) as f64;
        let most = seen.level(level).map_or(f64::INFINITY, |gain| gain.ci.map_or(f64::INFINITY, |[_, high]| high));
        most >= one_case - 1e-9 || self.addressable(incumbent, level) > 0.0
    }

    /// Share of the failures that attribution lays at a level or a shallower one.
    fn addressable(&self, incumbent: &Incumbent, level: VariantLevel) -> f64 {
        let of_level = |cluster: &&Cluster| cluster.level.is_some_and(|deepest| deepest <= level);
        incumbent.found.clusters.iter().filter(of_level).fold(0.0, |sum, cluster| sum + cluster.share)
    }

    /// Notes with its numbers why a level is opened after another one was left.
    fn escalate(&mut self, to: VariantLevel, incumbent: &Incumbent) -> Result<(), InputError> {
        let Some(left) = self.exhausted.last().filter(|left| left.level < to) else { return Ok(()) };
        let escalation = Escalation {
            from: left.level,
            to,
            exhaustion_reason: left.exhaustion_reason.clone(),
            permitted: self.trial.scope.allows(to),
            addressable_share: self.addressable(incumbent, to),
            ceiling: incumbent.seen.as_ref().and_then(|seen| seen.level(to).copied()),
        };
        let mut line = json!(escalation);
        line["kind"] = "escalation".into();
        self.folder.remember(line)?;
        (self.observe)(TrialEvent::Escalation(&escalation));
        Ok(())
    }

    /// Reviews and evaluates one change; the new incumbent where it is kept.
    async fn attempt(
        &mut self,
        incumbent: &Incumbent,
        level: VariantLevel,
        proposal: Proposal,
    ) -> Result<Option<Incumbent>, InputError> {
        let number = self.attempts.len() as u32 + 1;
        let (proposal, candidate, reviewed) = self.reviewed(incumbent, level, proposal).await?;
        let mut attempt = Attempt {
            variant: format!("v{number:03}"),
            parent: incumbent.name.clone(),
            level,
            operator: proposal.operator,
            step: proposal.step,
            hypothesis: proposal.hypothesis,
            verdict: reviewed.verdict,
            outcome: Outcome::Blocked,
            why: issues(&reviewed),
            train: None,
            validation: None,
        };
        let about = json!({"variant": attempt.variant, "parent": attempt.parent, "level": level, "operator": attempt.operator,
                           "hypothesis": attempt.hypothesis, "review": reviewed, "edit": proposal.edit});
        self.folder.write_variant(number, &about, &candidate)?;
        let better = match ReviewedVariant::new(candidate, &reviewed) {
            Some(variant) => self.evaluate(incumbent, variant, number, &mut attempt).await?,
            None => None,
        };
        self.folder.remember(memory_line(&attempt, incumbent.validation.total().mean))?;
        (self.observe)(TrialEvent::Attempt(&attempt));
        self.attempts.push(attempt);
        Ok(better)
    }

    /// The change with its review: the checks', and a model's where there is one. What a model fails of a model's edits
    /// is mended once.
    async fn reviewed(
        &mut self,
        incumbent: &Incumbent,
        level: VariantLevel,
        proposal: Proposal,
    ) -> Result<(Proposal, Definition, Review), InputError> {
        let parent = incumbent.variant.definition();
        let candidate = proposal.edit.apply(parent);
        self.tried.insert(digest::of_json(&json!(candidate)));
        let checked = reviewed(self.trial, incumbent, &candidate, &proposal);
        let by_rules = checked.verdict == Verdict::Block;
        let found = self.counsel.review(parent, &candidate, &proposal, &self.trial.scope, checked).await?;
        if found.verdict != Verdict::Block || by_rules || !proposal.operator.starts_with("model(") {
            return Ok((proposal, candidate, found));
        }
        let ground = incumbent.ground(self.trial, &incumbent.found, &[]);
        let (trial, tried) = (self.trial, &self.tried);
        let held = Proposed {
            level,
            review: &|candidate, proposal| reviewed(trial, incumbent, candidate, proposal),
            tried: &|candidate| tried.contains(&digest::of_json(&json!(candidate))),
        };
        let Some(mended) = self.counsel.revise(&ground, &held, &proposal, &found.issues).await? else {
            return Ok((proposal, candidate, found));
        };
        let again = mended.edit.apply(parent);
        self.tried.insert(digest::of_json(&json!(again)));
        let checked = reviewed(self.trial, incumbent, &again, &mended);
        let found = self.counsel.review(parent, &again, &mended, &self.trial.scope, checked).await?;
        Ok((mended, again, found))
    }

    async fn evaluate(
        &mut self,
        incumbent: &Incumbent,
        variant: ReviewedVariant,
        number: u32,
        attempt: &mut Attempt,
    ) -> Result<Option<Incumbent>, InputError> {
        let folder = self.folder.variant(number);
        attempt.outcome = Outcome::Rejected;
        let paired = self.trial.policy == Policy::Paired;
        if let Some(screen) = self.screen(incumbent, &attempt.operator).filter(|_| paired) {
            let seen = self.splits.train(&variant, &folder, Some(&screen)).await?;
            self.give(&seen);
            let (now, before) = (points(&seen, &screen), points(&incumbent.train, &screen));
            if now <= before {
                let cases = screen.len();
                attempt.why = format!("{now:.0} points for {before:.0} on {cases} failed cases: the rest was not run");
                return Ok(None);
            }
        }
        let train = self.splits.train(&variant, &folder, None).await?;
        let (now, before) = (
            TrainEvidence { cases: &self.trial.train, records: &train }.mean(),
            incumbent.evidence(&self.trial.train).mean(),
        );
        attempt.train = Some(now);
        self.give(&train);
        if paired && now <= before {
            attempt.why = format!("train {now:.2} for {before:.2}: no gain, so validation was not asked");
            return Ok(None);
        }
        let validation = self.splits.validation(&variant, &folder).await?;
        let decision = decide_by(self.trial.policy, &validation, &incumbent.validation);
        attempt.validation = Some(validation.total());
        attempt.why = decision.why;
        if !decision.kept {
            return Ok(None);
        }
        attempt.outcome = Outcome::Kept;
        let deepest = incumbent.level.max(Some(attempt.level));
        let donors = self.donors.values().cloned().collect();
        let seen = self.splits.diagnose(&variant, &folder, &train, donors).await?;
        let found = attribute(&self.trial.train, &train);
        let name = attempt.variant.clone();
        let mut better = Incumbent { name, level: deepest, variant, folder, train, validation, seen, found };
        better.found = better.told(self.trial, &mut self.counsel).await?;
        Ok(Some(better))
    }

    /// Keeps what passed: its outputs stand for gold where the tenant declares none.
    fn give(&mut self, records: &[CaseRecord]) {
        let passed = records.iter().filter(|record| record.composite() >= PASSED);
        self.donors.extend(passed.map(|record| (record.case_id.clone(), record.clone())));
    }

    /// Failed cases to try a change on first: those its operator is a means against, then others, the gravest cluster
    /// first. None where they would be most of train anyway.
    fn screen(&self, incumbent: &Incumbent, operator: &str) -> Option<BTreeSet<String>> {
        if self.trial.train.len() < 2 * SCREEN_CASES {
            return None;
        }
        let found = &incumbent.found;
        let means = if self.trial.clusters_dealt_by.is_some() { &[] } else { means_of(operator) };
        let (meant, others): (Vec<_>, Vec<_>) = found.clusters.iter().partition(|cluster| means.contains(&cluster.fix));
        let cases = meant.into_iter().chain(others).flat_map(|cluster| found.cases_of(cluster));
        Some(cases.take(SCREEN_CASES).map(str::to_string).collect())
    }

    fn leave(
        &mut self,
        level: VariantLevel,
        reason: &str,
        first: usize,
        incumbent: &Incumbent,
    ) -> Result<(), InputError> {
        let tried = &self.attempts[first..];
        let mut techniques: Vec<String> = tried.iter().map(|attempt| attempt.operator.clone()).collect();
        techniques.dedup();
        let left = Exhaustion {
            level,
            exhaustion_reason: reason.into(),
            final_score: incumbent.validation.total().mean,
            variants_tried: tried.len() as u32,
            variants_kept: tried.iter().filter(|attempt| attempt.outcome == Outcome::Kept).count() as u32,
            techniques,
            addressable_share: self.addressable(incumbent, level),
            ceiling: incumbent.seen.as_ref().and_then(|seen| seen.level(level).copied()),
        };
        let mut line = json!(left);
        line["kind"] = "exhaustion".into();
        self.folder.remember(line)?;
        (self.observe)(TrialEvent::Exhausted(&left));
        self.exhausted.push(left);
        Ok(())
    }
}

/// Edits of a model that wait for their turn.
#[derive(Default)]
struct Queue {
    /// The incumbent and the level that they are for.
    of: Option<(String, VariantLevel)>,
    /// The next one last.
    edits: Vec<Proposal>,
    /// How often the model was asked.
    asked: u32,
}

/// The deterministic review of a change to an incumbent.
fn reviewed(trial: &Trial, incumbent: &Incumbent, candidate: &Definition, proposal: &Proposal) -> Review {
    review(&Reviewed {
        tenant_id: &trial.tenant_id,
        parent: incumbent.variant.definition(),
        candidate,
        proposal,
        scope: &trial.scope,
        catalogue: &trial.catalogue,
        leaks: &trial.leaks,
        stands: &|_| false,
    })
}

/// Points that the records of some cases have together.
fn points(records: &[CaseRecord], of: &BTreeSet<String>) -> f64 {
    records.iter().filter(|record| of.contains(&record.case_id)).map(CaseRecord::composite).sum()
}

/// Answers that several cases of train share.
fn labels(cases: &[Case]) -> Vec<String> {
    let answers: Vec<&str> = cases.iter().filter_map(Case::expected_answer).collect();
    let distinct: BTreeSet<&str> = answers.iter().copied().collect();
    let shared =
        |label: &&str| answers.iter().filter(|answer| *answer == label).count() >= fapo_core::review::LABEL_TIMES;
    // A task of labels has no answer of its own for a case.
    if distinct.iter().all(shared) { distinct.into_iter().map(str::to_string).collect() } else { Vec::new() }
}
