//! Means and paired differences with their uncertainty.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

/// Resamples of a bootstrap, fewer where that is more work than [`BOOTSTRAP_DRAWS_MAX`].
const RESAMPLES: usize = 10_000;
/// Fewest resamples.
const RESAMPLES_MIN: usize = 500;
/// Draws of one bootstrap.
const BOOTSTRAP_DRAWS_MAX: usize = 50_000_000;
/// Every bootstrap draws the same numbers, so that a report can be made again.
const BOOTSTRAP_SEED: u64 = 0x6661_706f;

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

/// 95% percentile bootstrap interval of the mean; None below two values. Equal values give equal bounds, whoever asks.
pub fn bootstrap_interval(values: &[f64]) -> Option<[f64; 2]> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let mut random = fastrand::Rng::with_seed(BOOTSTRAP_SEED);
    let resamples = (BOOTSTRAP_DRAWS_MAX / n).clamp(RESAMPLES_MIN, RESAMPLES);
    let mut one = || (0..n).map(|_| values[random.usize(..n)]).sum::<f64>() / n as f64;
    let mut means: Vec<f64> = (0..resamples).map(|_| one()).collect();
    means.sort_by(f64::total_cmp);
    Some([quantile(&means, 0.025), quantile(&means, 0.975)])
}

/// The `q` quantile of sorted values, linear between neighbours; 0 without any.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * sorted.len().saturating_sub(1) as f64;
    let below = at.floor() as usize;
    let (Some(low), high) = (sorted.get(below), sorted.get(below + 1)) else {
        return 0.0;
    };
    low + (high.unwrap_or(low) - low) * (at - at.floor())
}

/// Mean of values that come in clusters (the epochs of a case), with an interval whose error is the clusters': values
/// of one cluster say less than as many of different ones. None without values; no interval below two clusters.
pub fn clustered_estimate(clusters: &[Vec<f64>]) -> Option<Estimate> {
    let clusters: Vec<&Vec<f64>> = clusters.iter().filter(|cluster| !cluster.is_empty()).collect();
    let n: usize = clusters.iter().map(|cluster| cluster.len()).sum();
    if n == 0 {
        return None;
    }
    let mean = clusters.iter().flat_map(|cluster| cluster.iter()).sum::<f64>() / n as f64;
    let g = clusters.len();
    let ci = (g >= 2).then(|| {
        let squares = clusters.iter().map(|cluster| cluster.iter().map(|v| v - mean).sum::<f64>().powi(2));
        let variance = squares.sum::<f64>() * g as f64 / (g - 1) as f64 / (n as f64).powi(2);
        let half = t_quantile(g - 1) * variance.sqrt();
        [mean - half, mean + half]
    });
    Some(Estimate { mean, ci, n })
}

/// One part of a population, of which some were looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Stratum {
    /// How many it has.
    pub size: usize,
    /// Values of those that were looked at.
    pub values: Vec<f64>,
}

/// Mean over `of` values: those of the strata, and 0 for all others; a stratum counts with its size, whatever part of it
/// was looked at. One that nobody looked at takes the mean of the rest. The 95% interval (Student's t) is of the values
/// as a sample of their kind, and wider by what was not looked at; none where fewer than two were.
pub fn stratified(strata: &[Stratum], of: usize) -> Estimate {
    let seen: Vec<f64> = strata.iter().flat_map(|stratum| stratum.values.iter().copied()).collect();
    let over = of.max(1) as f64;
    let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let variance = |values: &[f64]| {
        let mean = mean_of(values);
        values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
    };
    let (mut sum, mut squares, mut unseen) = (0.0, 0.0, 0.0);
    for Stratum { size, values } in strata {
        let (size, n) = (*size as f64, values.len() as f64);
        let known = if values.is_empty() { &seen } else { values };
        sum += size * mean_of(known);
        squares += size * mean_of(&known.iter().map(|v| v * v).collect::<Vec<f64>>());
        if n < size {
            let spread = if values.len() < 2 { &seen } else { values };
            unseen += size * (size - n) / n.max(1.0) * if spread.len() < 2 { f64::INFINITY } else { variance(spread) };
        }
    }
    let mean = sum / over;
    // Of all `of` values, as far as they are known.
    let spread = (squares / over - mean * mean).max(0.0) / (over - 1.0).max(1.0);
    let freedom = if unseen > 0.0 { seen.len().saturating_sub(strata.len()) } else { of.saturating_sub(1) };
    let half = t_quantile(freedom.max(1)) * (spread + unseen / (over * over)).sqrt();
    let ci = (half.is_finite() && seen.len() >= 2).then(|| [(mean - half).max(0.0), (mean + half).min(100.0)]);
    Estimate { mean, ci, n: seen.len() }
}

/// Two-sided exact p of a sign test: how likely so uneven a split of `up` and `down` is where both are as likely. Over
/// cases that changed from failed to passed and back it is McNemar's exact test. 1 without any.
pub fn sign_test(up: usize, down: usize) -> f64 {
    let n = (up + down) as u64;
    if n == 0 {
        return 1.0;
    }
    Binomial::new(0.5, n).map_or(1.0, |even| (2.0 * even.cdf(up.min(down) as u64)).min(1.0))
}

/// The smallest difference between two runs that is more than noise: the half width of the 95% interval of paired
/// differences between runs of the same thing. None below two pairs.
pub fn smallest_difference(differences: &[f64]) -> Option<f64> {
    let n = differences.len();
    // The true mean is 0: both are runs of the same thing.
    let variance = differences.iter().map(|d| d * d).sum::<f64>() / n.max(1) as f64;
    (n >= 2).then(|| t_quantile(n - 1) * (variance / n as f64).sqrt())
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

    const SIGN_TESTS: [(usize, usize, f64); 7] = [
        (1, 0, 1.0),
        (5, 1, 0.21875),
        (10, 2, 0.03857421875),
        (3, 9, 0.14599609375),
        (40, 25, 0.08168153394154003),
        (120, 80, 0.005685155996750306),
        (700, 610, 0.013902723449447724),
    ];

    const BOOTSTRAPS: [(&[f64], [f64; 2]); 3] = [
        (&[0.0, 100.0, 100.0, 0.0, 100.0, 100.0, 100.0, 0.0, 100.0, 100.0], [40.0, 100.0]),
        (
            &[12.5, -3.0, 40.0, 0.0, 0.0, 7.5, -20.0, 33.0, 5.0, 0.0, 0.0, 0.0, 60.0, -10.0, 15.0],
            [0.03333333333333333, 20.133333333333333],
        ),
        (
            &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 50.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 20.0],
        ),
    ];

    /// Against scipy 1.x: `binomtest(min(up, down), up + down).pvalue`.
    #[test]
    fn sign_tests_are_scipys() {
        for (up, down, p) in SIGN_TESTS {
            assert!((sign_test(up, down) - p).abs() < 1e-12 * p.max(1e-3), "{up} {down}: {}", sign_test(up, down));
        }
        assert_eq!((sign_test(0, 0), sign_test(3, 3)), (1.0, 1.0));
    }

    /// Against scipy 1.x: `bootstrap((values,), mean, method="percentile")` of a million resamples.
    #[test]
    fn bootstrap_intervals_are_scipys_as_far_as_chance_goes() {
        for (values, [lo, hi]) in BOOTSTRAPS {
            let [low, high] = bootstrap_interval(values).expect("values");
            assert!((low - lo).abs() < 0.9 && (high - hi).abs() < 0.9, "{low} {high} for {lo} {hi}");
            assert_eq!(bootstrap_interval(values), Some([low, high]), "the same each time");
        }
        assert_eq!(bootstrap_interval(&[5.0; 4]), Some([5.0, 5.0]));
        assert_eq!(bootstrap_interval(&[5.0]), None);
    }

    #[test]
    fn epochs_of_a_case_count_as_one_cluster() {
        let alone = estimate(&[0.0, 50.0, 100.0]).expect("values");
        let twice = clustered_estimate(&[vec![0.0, 0.0], vec![50.0, 50.0], vec![100.0, 100.0]]).expect("values");
        assert_eq!((alone.mean, alone.ci, twice.n), (twice.mean, twice.ci, 6));
        let mixed = clustered_estimate(&[vec![0.0, 100.0], vec![100.0, 0.0]]).expect("values");
        assert_eq!(mixed.ci, Some([50.0, 50.0]), "all that varies varies within the cases");
        assert_eq!(clustered_estimate(&[vec![1.0, 2.0]]).expect("values").ci, None);
        assert_eq!(clustered_estimate(&[vec![]]), None);
    }

    #[test]
    fn a_stratum_counts_with_its_size_and_what_was_not_looked_at_is_uncertain() {
        let stratum = |size, values: &[f64]| Stratum { size, values: values.to_vec() };
        // All were looked at: the interval of ten values, two of them 100.
        let all = stratified(&[stratum(2, &[100.0, 0.0]), stratum(1, &[100.0])], 10);
        let plain = estimate(&[100.0, 100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]).and_then(|e| e.ci);
        let ([low, high], [_, top]) = (all.ci.expect("an interval"), plain.expect("an interval"));
        assert!((all.mean, low) == (20.0, 0.0) && (high - top).abs() < 1e-9, "{all:?} {top}");
        // Eight of which four are left, variance 2500: 8 * 4 / 4 * 2500 more, and t(3) = 3.1824.
        let half = stratified(&[stratum(8, &[100.0, 0.0, 100.0, 100.0])], 16);
        let width = 3.1824 * ((3_750.0 - 37.5 * 37.5) / 15.0 + 20_000.0 / 256.0_f64).sqrt();
        let [low, high] = half.ci.expect("an interval");
        assert!((half.mean - 37.5).abs() < 1e-9 && low == 0.0 && (high - 37.5 - width).abs() < 0.01, "{half:?}");
        assert_eq!(stratified(&[stratum(5, &[100.0])], 10).ci, None);
        assert_eq!(stratified(&[], 10).mean, 0.0);
    }

    #[test]
    fn noise_is_what_runs_of_the_same_thing_differ_by() {
        assert_eq!(smallest_difference(&[0.0; 10]), Some(0.0));
        // t(3, 0.975) = 3.1824, root mean square 100, over the root of 4.
        let found = smallest_difference(&[100.0, -100.0, 100.0, -100.0]).expect("pairs");
        assert!((found - 159.12).abs() < 0.01, "{found}");
        assert_eq!(smallest_difference(&[1.0]), None);
    }
}
