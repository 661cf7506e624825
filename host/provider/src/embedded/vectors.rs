//! What a llama does between its products: norms, turns, attention, gates. Plain loops in a fixed order, written so
//! that a compiler can do several at once.

use super::llama::Shape;

/// Sums that run side by side: the order of a sum is part of the result.
const LANES: usize = 16;

/// Rows scaled to a mean square of one, then by the weights.
pub(super) fn normed(x: &[f32], weights: &[f32], epsilon: f32) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for row in x.chunks_exact(weights.len()) {
        let scale = 1.0 / (dot(row, row) / row.len() as f32 + epsilon).sqrt();
        out.extend(row.iter().zip(weights).map(|(x, weight)| x * scale * weight));
    }
    out
}

/// Turns the pairs of neighbouring numbers of each head by the token's position.
pub(super) fn rotated(x: &mut [f32], turns: &[(f32, f32)], head: usize) {
    let tokens = turns.len() / (head / 2);
    for (row, turns) in x.chunks_exact_mut(x.len() / tokens.max(1)).zip(turns.chunks_exact(head / 2)) {
        for one in row.chunks_exact_mut(head) {
            for (pair, (cos, sin)) in one.chunks_exact_mut(2).zip(turns) {
                (pair[0], pair[1]) = (pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos);
            }
        }
    }
}

/// `silu(x) * up`, in place.
pub(super) fn gate(x: &mut [f32], up: &[f32]) {
    x.iter_mut().zip(up).for_each(|(x, up)| *x = *x / (1.0 + (-*x).exp()) * up);
}

/// Attention of tokens that stand after `before` others: each sees itself and what stands before it.
pub(super) fn attend(q: &[f32], keys: &[f32], values: &[f32], shape: Shape, before: usize) -> Vec<f32> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has what the function is compiled for, asked just now.
        return unsafe { attend_avx2(q, keys, values, shape, before) };
    }
    attend_here(q, keys, values, shape, before)
}

/// The same loops, compiled for wider registers: the order of every sum stays, and so does every bit.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn attend_avx2(q: &[f32], keys: &[f32], values: &[f32], shape: Shape, before: usize) -> Vec<f32> {
    attend_here(q, keys, values, shape, before)
}

#[inline(always)]
fn attend_here(q: &[f32], keys: &[f32], values: &[f32], shape: Shape, before: usize) -> Vec<f32> {
    let Shape { heads, kv_heads, head, .. } = shape;
    let (width, kv_width, sharing) = (heads * head, kv_heads * head, heads / kv_heads);
    let mut out = vec![0.0; q.len()];
    let mut weights = Vec::new();
    let scale = 1.0 / (head as f32).sqrt();
    for (at, (asked, mixed)) in q.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
        let seen = before + at + 1;
        for (of, (asked, mixed)) in asked.chunks_exact(head).zip(mixed.chunks_exact_mut(head)).enumerate() {
            let first = of / sharing * head;
            let here = |token: usize| token * kv_width + first..token * kv_width + first + head;
            weights.clear();
            for token in 0..seen {
                weights.push(dot(asked, &keys[here(token)]) * scale);
            }
            softmax(&mut weights);
            // A few sums at a time stay in registers over all tokens.
            for (part, mixed) in mixed.chunks_mut(LANES).enumerate() {
                let mut sums = [0.0_f32; LANES];
                for (token, weight) in weights.iter().enumerate() {
                    let value = &values[here(token)][part * LANES..][..mixed.len()];
                    sums.iter_mut().zip(value).for_each(|(sum, value)| *sum += weight * value);
                }
                mixed.copy_from_slice(&sums[..mixed.len()]);
            }
        }
    }
    out
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - most).exp());
    let total: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= total);
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = whole_a.remainder().iter().zip(whole_b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in whole_a.zip(whole_b) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_registers_change_no_bit_and_no_token_sees_a_later_one() {
        let shape = Shape { heads: 4, kv_heads: 2, head: 24, context: 64, epsilon: 0.0 };
        let numbers = |count: usize, seed: usize| -> Vec<f32> {
            (0..count).map(|at| ((at * 7919 + seed * 104_729) % 1000) as f32 / 500.0 - 1.0).collect()
        };
        let (tokens, before) = (3, 5);
        let (q, keys, values) =
            (numbers(tokens * 96, 1), numbers((before + tokens) * 48, 2), numbers((before + tokens) * 48, 3));
        let mixed = attend(&q, &keys, &values, shape, before);
        assert_eq!(mixed, attend_here(&q, &keys, &values, shape, before));
        let first = attend(&q[..96], &keys[..(before + 1) * 48], &values[..(before + 1) * 48], shape, before);
        assert_eq!(first, mixed[..96]);
    }

    #[test]
    fn a_sum_takes_what_fills_no_lane() {
        let a: Vec<f32> = (0..19).map(|n| n as f32).collect();
        assert_eq!(dot(&a, &[1.0; 19]), 171.0);
    }

    #[test]
    fn a_norm_brings_the_mean_square_to_one() {
        let out = normed(&[3.0, 4.0, 30.0, 40.0], &[1.0, 2.0], 0.0);
        assert!((out[0] - 3.0 / 12.5_f32.sqrt()).abs() < 1e-6 && (out[3] - 2.0 * 4.0 / 12.5_f32.sqrt()).abs() < 1e-6);
        assert!((out[0] - out[2]).abs() < 1e-6, "rows are scaled each by itself");
    }

    #[test]
    fn a_turn_keeps_lengths_and_leaves_position_zero() {
        let mut x = [1.0, 0.0, 1.0, 0.0];
        rotated(&mut x, &[(1.0, 0.0), (0.0, 1.0)], 2);
        assert_eq!(x, [1.0, 0.0, 0.0, 1.0]);
    }
}
