//! A [`Scorer`] as the contract's `scorer` export.

use super::convert::{id, input, json, step};
use crate::bindings::chain::fapo::tenant::types::Entry;
use crate::bindings::scorer::exports::fapo::tenant::scorer as export;
use crate::bindings::scorer::fapo::tenant::judge_model;
use crate::judge::{JudgeError, Verdict, VerdictRequest};
use crate::scorer::{FinishedCase, LabelledCase, ObservedSearch, Scorer};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

/// The `scorer` export of a component whose scorer is `S`.
pub struct ScorerExport<S>(PhantomData<S>);

impl<S: Scorer> export::Guest for ScorerExport<S> {
    fn validate_case(labelled: export::LabelledCase, profile: String) -> Result<(), String> {
        S::validate(&case(labelled)?, &json("the scoring profile", &profile)?)
    }

    fn score_case(finished: export::FinishedCase, profile: String) -> Result<export::Score, export::ScorerFault> {
        score::<S>(finished, &profile).map_err(|message| export::ScorerFault { message })
    }
}

fn score<S: Scorer>(finished: export::FinishedCase, profile: &str) -> Result<export::Score, String> {
    let search = |search: export::ObservedSearch| ObservedSearch {
        id: id(search.id),
        index: search.index,
        query: search.query,
        hits: search.hits,
    };
    // The sandbox goes with the case, and all texts with it: to free them one by one would be for nothing.
    let finished = ManuallyDrop::new(FinishedCase {
        labelled: case(finished.labelled)?,
        steps: finished.steps.into_iter().map(step).collect(),
        searches: finished.searches.into_iter().map(search).collect(),
        output_text: finished.output_text,
    });
    let score = S::score(&finished, &json("the scoring profile", profile)?)?;
    let metric = |(name, value)| export::Metric { name, value };
    Ok(export::Score {
        composite: score.composite,
        breakdown: score.breakdown.into_iter().map(metric).collect(),
        feedback: score.feedback,
        diagnostics: score.diagnostics,
    })
}

fn case(labelled: export::LabelledCase) -> Result<LabelledCase, String> {
    Ok(LabelledCase {
        input: input(labelled.input),
        expected: json("expected", &labelled.expected)?,
        metadata: json("metadata", &labelled.metadata)?,
    })
}

/// The import `judge-model`.
pub fn ask_judge(requests: Vec<VerdictRequest>) -> Vec<Result<Verdict, JudgeError>> {
    let value = |(name, value)| Entry { name, value };
    let request = |request: VerdictRequest| judge_model::VerdictRequest {
        prompt: request.prompt,
        model: request.model,
        values: request.values.into_iter().map(value).collect(),
        choices: request.choices,
        swap: request.swap,
    };
    let requests: Vec<_> = requests.into_iter().map(request).collect();
    let error = |error| match error {
        judge_model::JudgeError::Denied(what) => JudgeError::Denied(what),
        judge_model::JudgeError::InvalidRequest(why) => JudgeError::InvalidRequest(why),
        judge_model::JudgeError::OffChoice(reply) => JudgeError::OffChoice(reply),
        judge_model::JudgeError::Refused(why) => JudgeError::Refused(why),
    };
    let verdict = |said: judge_model::Verdict| Verdict { answer: said.answer, swapped: said.swapped };
    judge_model::ask_batch(&requests).into_iter().map(|said| said.map(verdict).map_err(error)).collect()
}
