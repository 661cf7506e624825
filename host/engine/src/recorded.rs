//! Recorded outputs in the place of a chain: what `fapo score` scores.

use fapo_core::fault::{Fault, FaultKind, Phase};
use fapo_core::ports::{BoxFuture, CaseServices, Chain, ChainOutcome, Definition, Problem, TimedStep};
use fapo_core::{InputError, digest};
use fapo_graph::{CaseInput, Catalogue, Entry, GraphSpec, Step, StepId, StepOrigin};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Outputs by case.
pub struct RecordedOutputs {
    digest: String,
    rows: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    case_id: String,
    output_text: String,
    #[serde(default)]
    step_outputs: Map<String, Value>,
}

impl RecordedOutputs {
    /// Reads JSONL rows of `case_id`, `output_text` and where wanted `step_outputs` (node to text, in the order of
    /// execution). `file` names it in errors; `planned` says whether a case is among those to score.
    ///
    /// # Errors
    /// A row is wrong, stands twice, or is of a case that is not planned; named with its line.
    pub fn read(file: &str, text: &str, planned: impl Fn(&str) -> bool) -> Result<Self, InputError> {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let here = |message: String| InputError::new(format!("{file}:{}", at + 1), message);
            let row: Row = serde_json::from_str(line).map_err(|e| {
                here(e.to_string()).hint("a row is {\"case_id\": \"…\", \"output_text\": \"…\", \"step_outputs\": {…}}")
            })?;
            if let Some((node, _)) = row.step_outputs.iter().find(|(_, output)| !output.is_string()) {
                return Err(here(format!("the output of step {node:?} is no text")).hint("write step outputs as texts"));
            }
            if !planned(&row.case_id) {
                return Err(here(format!("case {:?} is not among the cases", row.case_id))
                    .hint("take the row out, or give the file that holds its case with --cases"));
            }
            let id = row.case_id.clone();
            if rows.insert(id.clone(), row).is_some() {
                return Err(here(format!("case {id:?} stands in the file twice")).hint("take one of the two rows out"));
            }
        }
        Ok(RecordedOutputs { digest: digest::of_bytes(text.as_bytes()), rows })
    }

    /// The definition that stands for the chain that is not run.
    pub fn definition() -> Definition {
        Definition {
            graph: GraphSpec { nodes: Vec::new(), edges: Vec::new(), output: "output_text".into() },
            prompts: Vec::new(),
            params: Vec::new(),
        }
    }
}

impl Row {
    fn steps(&self) -> Vec<TimedStep> {
        let step = |node: &str, outputs: Vec<Entry>, output_text: Option<String>| TimedStep {
            step: Step {
                id: StepId { node: node.into(), visit: 0 },
                origin: StepOrigin::Given,
                outputs,
                output_text,
                diagnostics: Vec::new(),
            },
            seconds: 0.0,
        };
        let mut steps: Vec<TimedStep> = self
            .step_outputs
            .iter()
            .map(|(node, output)| step(node, vec![Entry::new("output", output.as_str().unwrap_or_default())], None))
            .collect();
        match steps.last_mut() {
            Some(last) => last.step.output_text = Some(self.output_text.clone()),
            None => {
                let outputs = vec![Entry::new("output", self.output_text.clone())];
                steps.push(step("output_text", outputs, Some(self.output_text.clone())));
            }
        }
        steps
    }
}

impl Chain for RecordedOutputs {
    fn digest(&self) -> &str {
        &self.digest
    }

    fn describe(&self) -> BoxFuture<'_, Result<Catalogue, Fault>> {
        let graph = RecordedOutputs::definition().graph;
        Box::pin(async { Ok(Catalogue { kinds: Vec::new(), parameters: Vec::new(), baseline: graph }) })
    }

    fn check<'a>(&'a self, _definition: &'a Definition) -> BoxFuture<'a, Result<Vec<Problem>, Fault>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn run<'a>(
        &'a self,
        _definition: &'a Definition,
        input: &'a CaseInput,
        _services: Arc<dyn CaseServices>,
    ) -> BoxFuture<'a, ChainOutcome> {
        Box::pin(async move {
            match self.rows.get(&input.case_id) {
                Some(row) => ChainOutcome { steps: row.steps(), ..ChainOutcome::default() },
                None => ChainOutcome {
                    fault: Some(Fault::new(Phase::Chain, FaultKind::Returned, "no output is recorded for this case")),
                    ..ChainOutcome::default()
                },
            }
        })
    }
}
