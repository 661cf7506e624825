//! Where failed cases lost their answer, found by replays: gold is put in the place of what a step gave, the chain runs
//! on from there, and the change of the score says on which side of that step the loss is.
//!
//! Replays are diagnostic. They are run with samples that no scored run draws, so that no reply of theirs is ever taken
//! for one of a run; what they found is kept as scores and yes or no, without a text.

mod choose;
mod localise;
mod replays;

use crate::evaluate::Evaluation;
use choose::Choice;
use fapo_core::InputError;
use fapo_core::attribution::{Finding, Interventions, Located, attribute, gold_titles};
use fapo_core::case::Case;
use fapo_core::gold::{GoldOutput, GoldSpec, Needs, needs};
use fapo_core::ports::{Hit, Index};
use fapo_core::run::{CaseRecord, PASSED};
use fapo_graph::{GraphSpec, Handle, NodeSpec};
pub(crate) use localise::Handed;
use localise::{Shape, Subject, localise};
use replays::Replays;
pub use replays::calls_of;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Name of a trial's log of replays, in the folder of the variant that they look into.
pub const REPLAYS: &str = "replays.jsonl";

/// Cases that are looked into side by side: what they show decides which come next, so that their number must not
/// depend on the machine.
const WAVE: usize = 8;

/// Needed titles of a case that are looked up: a label is a tenant's, and each costs a search.
const TITLES_MAX: usize = 32;

/// Hits among which a needed title is looked for.
const TITLE_HITS: u32 = 100;

/// Failed cases to look into.
pub struct Diagnosis {
    /// The run they come from, as it would be run again.
    pub run: Arc<Evaluation>,
    /// Its records.
    pub records: Vec<CaseRecord>,
    /// The run's cases.
    pub cases: Arc<Vec<Case>>,
    /// What the tenant's steps should have put out.
    pub gold: GoldSpec,
    /// Records of other variants: where one passed a case, its outputs stand for gold that the tenant does not declare.
    pub donors: Vec<CaseRecord>,
    /// Most paid model calls, over all starts.
    pub calls_max: u64,
    /// Where what replays found is kept, so that none is paid twice.
    pub log: PathBuf,
}

/// Looks into failed cases until all are located or the calls are used up. `observe` hears how many of how many are.
///
/// # Errors
/// The log cannot be read or written, the index fails, or a model service does: the same call goes on.
pub async fn intervene(
    diagnosis: &Diagnosis,
    observe: &(dyn Fn(usize, usize) + Sync),
) -> Result<Interventions, InputError> {
    let run = &diagnosis.run;
    let shape = Shape::new(&run.definition);
    let subjects = subjects(diagnosis, &shape)?;
    let found = attribute(&diagnosis.cases, &diagnosis.records);
    let heard: BTreeSet<&str> = subjects.iter().map(|subject| subject.case.case_id.as_str()).collect();
    let cluster = |f: &Finding| format!("{} {:?}", f.step, f.fix);
    let clusters: BTreeMap<String, String> = found
        .findings
        .iter()
        .filter(|f| heard.contains(f.case_id.as_str()))
        .map(|f| (f.case_id.clone(), cluster(f)))
        .collect();
    let named: BTreeMap<&str, &str> =
        found.findings.iter().map(|f| (f.case_id.as_str(), f.step.split('#').next().unwrap_or_default())).collect();
    let replays = Replays::open(diagnosis)?;
    let mut choice = Choice::new(&subjects, &found.findings, &clusters);
    let mut located: Vec<Located> = Vec::new();
    let mut budget_ended = false;
    while !budget_ended {
        if run.stop.is_set() {
            let subject = format!("replays of tenant {}", run.tenant_id);
            return Err(InputError::new(subject, "were stopped").hint("the same command goes on"));
        }
        let left = diagnosis.calls_max.saturating_sub(replays.calls());
        let wave = choice.next(WAVE, left, &subjects);
        if wave.is_empty() {
            budget_ended = choice.left();
            break;
        }
        let beliefs: Vec<_> =
            wave.iter().map(|at| choice.belief(*at, named.get(subjects[*at].case.case_id.as_str()))).collect();
        let looked = wave.iter().zip(&beliefs).map(|(at, belief)| localise(&subjects[*at], belief, &replays));
        for (at, ended) in wave.iter().zip(futures::future::join_all(looked).await) {
            match ended? {
                Some(one) => {
                    choice.learn(*at, &one);
                    located.push(one);
                    observe(located.len(), subjects.len());
                }
                None => budget_ended = true,
            }
        }
    }
    let place: BTreeMap<&str, usize> = subjects.iter().map(|s| (s.case.case_id.as_str(), s.index)).collect();
    located.sort_by_key(|one| place.get(one.case_id.as_str()).copied());
    let (paid, cached, count) = replays.totals();
    Ok(Interventions {
        replays: count,
        calls_paid: paid,
        calls_cached: cached,
        budget_ended,
        ..Interventions::new(located, &clusters, diagnosis.cases.len())
    })
}

/// Failed cases with their gold. Faults of the infrastructure say nothing about a step.
fn subjects<'a>(diagnosis: &'a Diagnosis, shape: &'a Shape) -> Result<Vec<Subject<'a>>, InputError> {
    let run = &diagnosis.run;
    let index = diagnosis.gold.index.as_ref().and_then(|name| run.granted.indexes.get(name));
    let places: BTreeMap<&str, usize> =
        diagnosis.cases.iter().enumerate().map(|(at, case)| (case.case_id.as_str(), at)).collect();
    let passed = diagnosis.donors.iter().filter(|donor| donor.composite() >= PASSED);
    let donors: BTreeMap<&str, &CaseRecord> = passed.map(|donor| (donor.case_id.as_str(), donor)).collect();
    let mut subjects = Vec::new();
    for record in diagnosis.records.iter().filter(|record| record.composite() < PASSED) {
        let Some(at) = places.get(record.case_id.as_str()).copied() else { continue };
        if record.fault.as_ref().is_some_and(|fault| fault.is_infrastructure()) {
            continue;
        }
        let case = &diagnosis.cases[at];
        let passages = match index.filter(|_| diagnosis.gold.needs_passages()) {
            Some(index) => passages(index.as_ref(), case)?,
            None => Vec::new(),
        };
        let searched = Searched::new(case, record, &run.definition.graph);
        let mut gold = diagnosis.gold.of(case, &passages, &|node| searched.needs(node));
        let donor = donors.get(record.case_id.as_str());
        for (node, text) in donor.map(|donor| donor.step_outputs()).into_iter().flatten() {
            gold.entry(node.into()).or_insert_with(|| GoldOutput::of_variant(text));
        }
        subjects.push(Subject::new(at, case, record, gold, shape));
    }
    Ok(subjects)
}

/// What the searches of a record brought of a case's needed passages.
struct Searched(BTreeMap<String, Needs>);

impl Searched {
    fn new(case: &Case, record: &CaseRecord, graph: &GraphSpec) -> Self {
        let outputs = record.step_outputs();
        let searches = |name: &str| {
            let index = |node: &&NodeSpec| node.handles.iter().any(|handle| matches!(handle, Handle::Index(_)));
            graph.nodes.iter().filter(index).any(|node| node.name == name)
        };
        let text = |name: &str| outputs.iter().find(|(node, _)| *node == name).map_or("", |(_, text)| *text);
        let nodes = localise::in_order(record, graph);
        let told: Vec<(&str, bool)> = nodes.iter().map(|name| (text(name), searches(name))).collect();
        let needs = needs(&gold_titles(case), &told);
        Searched(nodes.into_iter().zip(needs).collect())
    }

    fn needs(&self, node: &str) -> Needs {
        self.0.get(node).cloned().unwrap_or_default()
    }
}

/// The passages with the titles that a case's answer needs, as far as the index has them.
fn passages(index: &dyn Index, case: &Case) -> Result<Vec<Hit>, InputError> {
    let mut found = Vec::new();
    for title in gold_titles(case).into_iter().take(TITLES_MAX) {
        let hits = index.search(&title, TITLE_HITS).map_err(|fault| {
            InputError::new(format!("index, passage {title:?}"), fault.message)
                .hint("build the index again: fapo index build")
        })?;
        found.extend(hits.into_iter().find(|hit| hit.title == title));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
