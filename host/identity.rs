//! What a run depends on, as digests: two runs of one identity have the same results.

use fapo_core::digest;
use fapo_core::grants::Grant;
use fapo_core::limits::LIMITS;
use fapo_core::ports::{Chain, Definition, Scorer};
use fapo_engine::evaluate::Granted;
use serde_json::{Map, Value, json};

/// Which cases of a dataset are planned.
#[derive(Clone, Debug, Default)]
pub struct Planned<'a> {
    /// Digest of the dataset's bytes.
    pub dataset: &'a str,
    /// Only the first cases.
    pub limit: Option<usize>,
    /// Only these cases; all where empty.
    pub case_ids: &'a [String],
}

/// The identity of a run, one dimension a key.
pub fn of(
    chain: &dyn Chain,
    scorer: &dyn Scorer,
    definition: &Definition,
    planned: &Planned<'_>,
    profile: &Value,
    granted: &Granted,
    grant: &Grant,
) -> Value {
    let models: Map<String, Value> = granted.models.iter().map(|(alias, p)| (alias.clone(), p.identity())).collect();
    let indexes: Map<String, Value> =
        granted.indexes.iter().map(|(name, i)| (name.clone(), i.digest().into())).collect();
    let mut identity = json!({
        "chain": chain.digest(), "scorer": scorer.digest(),
        "graph": digest::of_json(&json!(definition.graph)),
        "prompts": digest::of_json(&json!(definition.prompts)),
        "params": digest::of_json(&json!(definition.params)),
        "dataset": planned.dataset, "limit": planned.limit, "case_ids": planned.case_ids,
        "profile": digest::of_json(profile),
        "models": models, "indexes": indexes, "limits": limits(grant),
    });
    if !granted.judges.models.is_empty() {
        let judges = &granted.judges;
        let asked: Map<String, Value> =
            judges.models.iter().map(|(alias, judge)| (alias.clone(), judge.provider.identity())).collect();
        identity["judges"] = json!({"models": asked, "prompts": digest::of_json(&json!(judges.prompts))});
    }
    let nodes = chain.nodes();
    if !nodes.is_empty() {
        identity["components"] = json!(nodes);
    }
    identity
}

/// The limits that a case can meet: those on compiling and on the run as a whole change no result.
fn limits(grant: &Grant) -> Map<String, Value> {
    let of_cases = LIMITS.iter().filter(|row| !row.name.starts_with("compile_") && row.name != "run_bytes");
    of_cases.map(|row| (row.name.to_string(), grant.limits.get(row.name).into())).collect()
}
