"""A scorer: exact match without regard to case."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.scorer import Metric, Score
from wit_world.imports import log


class Scorer(exports.Scorer):
    def validate_case(self, labelled, profile):
        if not isinstance(json.loads(labelled.expected).get("answer"), str):
            raise Err("expected.answer is missing")

    def score_case(self, finished, profile):
        log.write(log.Level.INFO, f"scored {finished.labelled.input.case_id}")
        behave = json.loads(profile).get("behave")
        if behave == "throw":
            raise ValueError("thrown on purpose")
        if behave == "random":
            import random

            return score(float(random.randrange(100)))
        answer = json.loads(finished.labelled.expected)["answer"]
        same = answer.strip().lower() == finished.output_text.strip().lower()
        return score(100.0 if same else 0.0)


def score(value):
    return Score(value, [Metric("exact_match", value)], "", [])
