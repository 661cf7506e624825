//! Means and paired differences with their uncertainty.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Arithmetic mean.
    pub mean: f64,
    /// Bounds of the 95% interval (Student's t); null below two values.
    pub ci: Option<[f64; 2]>,
    /// Values it stands on.
    pub n: usize,
}

/// Mean and 95% interval of values; None without any.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let ci = (n >= 2).then(|| {
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        let half = t_quantile(n - 1) * (variance / n as f64).sqrt();
        [mean - half, mean + half]
    });
    Some(Estimate { mean, ci, n })
}

/// As [`estimate`], with the interval held within the scale of a composite, 0..=100.
pub fn composite_estimate(values: &[f64]) -> Option<Estimate> {
    estimate(values).map(|e| Estimate { ci: e.ci.map(|[lo, hi]| [lo.max(0.0), hi.min(100.0)]), ..e })
}

/// One-sided lower bound of the mean at a confidence of 0..1 (Student's t); minus infinity below two values.
pub fn lower_bound(values: &[f64], confidence: f64) -> f64 {
    let n = values.len();
    if n < 2 {
        return f64::NEG_INFINITY;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    mean - quantile_of_t(n - 1, confidence) * (variance / n as f64).sqrt()
}

fn t_quantile(freedom: usize) -> f64 {
    quantile_of_t(freedom, 0.975)
}

fn quantile_of_t(freedom: usize, probability: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom as f64).map_or(f64::INFINITY, |t| t.inverse_cdf(probability))
}

/// The `q` quantile of sorted values as the original reports it: the ceil(q n)-th smallest.
pub fn quantile_nearest_rank(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Median of sorted values, the mean of the two middle ones where their number is even.
pub fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => sorted[n / 2],
        _ => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        let e = estimate(&[0.0, 100.0, 100.0, 0.0]).expect("values");
        // t(3, 0.975) = 3.1824, s = 57.735, half = 3.1824 * 57.735 / 2
        let [lo, hi] = e.ci.expect("interval");
        assert!((e.mean - 50.0).abs() < 1e-9 && (hi - 141.868).abs() < 0.01 && (lo + 41.868).abs() < 0.01, "{e:?}");
        assert_eq!(composite_estimate(&[0.0, 100.0]).and_then(|e| e.ci), Some([0.0, 100.0]));
        assert_eq!(estimate(&[3.0]).expect("one").ci, None);
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn quantiles_follow_the_original() {
        let v: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(quantile_nearest_rank(&v, 0.95), 19.0);
        assert_eq!(median(&v), 10.5);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
    }
}
