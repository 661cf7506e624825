//! A score: finite and within 0..=100 by construction.

use serde::{Deserialize, Serialize};

/// Most entries a breakdown may have.
pub const METRICS_MAX: usize = 64;

/// What a scorer said before it was believed.
#[derive(Clone, Debug, PartialEq)]
pub struct RawScore {
    /// Hoped to be finite, 0..=100.
    pub composite: f64,
    /// Metric names and values.
    pub breakdown: Vec<(String, f64)>,
    /// For the optimizer.
    pub feedback: String,
    /// For people.
    pub diagnostics: Vec<String>,
}

/// A checked score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    composite: f64,
    breakdown: Vec<(String, f64)>,
    /// For the optimizer, shown for train cases only.
    pub feedback: String,
    /// For people.
    pub diagnostics: Vec<String>,
}

/// Why a scorer's result is no score.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// The composite is not a number between 0 and 100.
    #[error("composite is {0}, not a finite number within 0..=100")]
    Composite(f64),
    /// A metric has no name or the name of another one.
    #[error("metric name {0:?} is empty, repeated or over 64 bytes")]
    MetricName(String),
    /// A metric is negative or not finite.
    #[error("metric {name:?} is {value}, not a finite number of at least 0")]
    Metric {
        /// Metric's name.
        name: String,
        /// Its value.
        value: f64,
    },
    /// `points_possible` is given and not above 0.
    #[error("points_possible is {0}; it must be above 0")]
    PointsPossible(f64),
    /// More than [`METRICS_MAX`] metrics.
    #[error("{0} metrics; at most 64 are kept")]
    Metrics(usize),
}

impl Score {
    /// Checks what a scorer said. `-0.0` becomes `0.0`; nothing is clamped.
    pub fn checked(raw: RawScore) -> Result<Self, ScoreError> {
        if !(0.0..=100.0).contains(&raw.composite) {
            return Err(ScoreError::Composite(raw.composite));
        }
        if raw.breakdown.len() > METRICS_MAX {
            return Err(ScoreError::Metrics(raw.breakdown.len()));
        }
        let mut breakdown: Vec<(String, f64)> = Vec::with_capacity(raw.breakdown.len());
        for (name, value) in raw.breakdown {
            if name.trim().is_empty() || name.len() > 64 || breakdown.iter().any(|(seen, _)| *seen == name) {
                return Err(ScoreError::MetricName(name.chars().take(64).collect()));
            }
            if !value.is_finite() || value < 0.0 {
                return Err(ScoreError::Metric { name, value });
            }
            if name == "points_possible" && value <= 0.0 {
                return Err(ScoreError::PointsPossible(value));
            }
            breakdown.push((name, value + 0.0));
        }
        Ok(Score { composite: raw.composite + 0.0, breakdown, feedback: raw.feedback, diagnostics: raw.diagnostics })
    }

    /// Finite, 0..=100.
    pub fn composite(&self) -> f64 {
        self.composite
    }

    /// Metrics in the scorer's order; finite, not negative.
    pub fn breakdown(&self) -> &[(String, f64)] {
        &self.breakdown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(composite: f64, metrics: &[(&str, f64)]) -> Result<Score, ScoreError> {
        Score::checked(RawScore {
            composite,
            breakdown: metrics.iter().map(|(n, v)| ((*n).to_string(), *v)).collect(),
            feedback: String::new(),
            diagnostics: vec![],
        })
    }

    #[test]
    fn only_finite_numbers_within_bounds_are_scores() {
        for good in [0.0, 100.0, 41.67] {
            assert_eq!(check(good, &[]).expect("a score").composite(), good);
        }
        for bad in [f64::NAN, f64::INFINITY, -1.0, 100.1, 101.0, 1e308] {
            assert!(matches!(check(bad, &[]), Err(ScoreError::Composite(_))), "{bad}");
        }
        assert!(check(-0.0, &[]).expect("zero").composite().is_sign_positive());
    }

    #[test]
    fn metrics_are_named_once_and_never_negative() {
        assert!(check(1.0, &[("f1", 500.0)]).is_ok());
        assert!(matches!(check(1.0, &[("f1", f64::NAN)]), Err(ScoreError::Metric { .. })));
        assert!(matches!(check(1.0, &[("f1", -0.1)]), Err(ScoreError::Metric { .. })));
        assert!(matches!(check(1.0, &[("f1", 1.0), ("f1", 1.0)]), Err(ScoreError::MetricName(_))));
        assert!(matches!(check(1.0, &[(" ", 1.0)]), Err(ScoreError::MetricName(_))));
        assert!(matches!(check(1.0, &[("points_possible", 0.0)]), Err(ScoreError::PointsPossible(_))));
    }
}
