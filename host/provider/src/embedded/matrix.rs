//! Weights as whole numbers with a scale for each 32 of them, and their product with activations of the same kind.
//!
//! The sums of a block are whole and exact, and what follows is the same in every build: a machine without the fast
//! instructions gets the same numbers, later. Measured on a 2-core machine, a prompt runs three times as fast as with
//! the general tensors this replaced, most of which was spent on converting and on waiting for the other core.

/// Weights that share a scale.
const BLOCK: usize = 32;
/// Sums that stand side by side in a block: the order of a sum is part of the result.
const LANES: usize = 8;

/// Added and taken away again, it leaves the nearest whole number, the even one of two: numbers of this size have no
/// fraction. The library's rounding is a call for each number.
const ROUNDING: f32 = 12_582_912.0;

/// Largest code of a weight.
const WEIGHT_MAX: f32 = 127.0;
/// Largest code of an activation: four products of it with weights are a whole number that an `f32` holds exactly.
const ACTIVATION_MAX: f32 = 32_767.0;

/// Weights as whole numbers with the scale they share.
#[derive(Clone, Copy)]
struct Block {
    scale: f32,
    codes: [i8; BLOCK],
}

/// Weights: a row of them for each number of the product.
pub(super) struct Matrix {
    rows: usize,
    columns: usize,
    blocks: Vec<Block>,
}

/// Activations of several tokens, a row a token, with one scale a token.
pub(super) struct Activations {
    columns: usize,
    codes: Vec<[i16; BLOCK]>,
    scales: Vec<f32>,
}

impl Matrix {
    /// Quantises weights; None where a row is not made of whole blocks.
    pub(super) fn quantised(weights: &[f32], rows: usize, columns: usize) -> Option<Self> {
        let whole = columns > 0 && columns.is_multiple_of(BLOCK) && weights.len() == rows * columns;
        let (blocks, _) = weights.as_chunks::<BLOCK>();
        let one = |block: &[f32; BLOCK]| {
            let (scale, inverse) = scale(block, WEIGHT_MAX);
            Block { scale, codes: block.map(|weight| whole_number(weight * inverse) as i8) }
        };
        whole.then(|| Matrix { rows, columns, blocks: blocks.iter().map(one).collect() })
    }

    /// One row of weights as it was before, or nearly.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = f32> + '_ {
        let blocks = self.columns / BLOCK;
        let of_row = &self.blocks[row * blocks..][..blocks];
        of_row.iter().flat_map(|block| block.codes.iter().map(|code| f32::from(*code) * block.scale))
    }

    /// Numbers of a row.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Numbers that a product has for each token.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The product with each token's activations, a row a token.
    pub(super) fn times(&self, activations: &Activations) -> Vec<f32> {
        assert_eq!(self.columns, activations.columns, "weights and activations are of one model");
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the machine has what the function is compiled for, asked just now.
            return unsafe { avx2::product(self, activations) };
        }
        self.product(activations)
    }

    /// As it is defined.
    fn product(&self, activations: &Activations) -> Vec<f32> {
        let blocks = self.columns / BLOCK;
        let tokens = activations.codes.chunks_exact(blocks).zip(&activations.scales);
        let of_token = |(token, scale)| self.blocks.chunks_exact(blocks).map(move |row| dot(row, token) * scale);
        tokens.flat_map(of_token).collect()
    }
}

impl Activations {
    /// Quantises rows of `columns` numbers, which are whole blocks.
    pub(super) fn quantised(values: &[f32], columns: usize) -> Self {
        let (mut codes, mut scales) = (Vec::with_capacity(values.len() / BLOCK), Vec::new());
        for token in values.chunks_exact(columns) {
            let (scale, inverse) = scale(token, ACTIVATION_MAX);
            scales.push(scale);
            let (blocks, _) = token.as_chunks::<BLOCK>();
            codes.extend(blocks.iter().map(|block| block.map(|value| whole_number(value * inverse) as i16)));
        }
        Activations { columns, codes, scales }
    }
}

/// What brings the largest of some numbers to a code, and its inverse.
fn scale(values: &[f32], largest_code: f32) -> (f32, f32) {
    let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    if most == 0.0 { (0.0, 0.0) } else { (most / largest_code, largest_code / most) }
}

fn whole_number(value: f32) -> f32 {
    (value + ROUNDING) - ROUNDING
}

/// The product of a row of weights and a token's codes: each lane adds up pairs of each block, then the lanes
/// are added as the fast instructions do it.
fn dot(weights: &[Block], token: &[[i16; BLOCK]]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (w, a) in weights.iter().zip(token) {
        let pair = |at: usize| -> i32 { (at..at + 2).map(|at| i32::from(w.codes[at]) * i32::from(a[at])).sum() };
        for (lane, sum) in lanes.iter_mut().enumerate() {
            let whole = pair(2 * lane) + pair(BLOCK / 2 + 2 * lane);
            *sum = (whole as f32).mul_add(w.scale, *sum);
        }
    }
    let half = |at: usize| lanes[at] + lanes[at + 4];
    (half(0) + half(2)) + (half(1) + half(3))
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Activations, BLOCK, Block, LANES, Matrix};
    use std::arch::x86_64::*;

    /// Products that are made at one time, so that none waits for another.
    const TILE: usize = 4;

    const _: () = assert!(LANES * 4 == BLOCK, "a lane is two pairs of a block");

    /// As [`Matrix::product`], to the last bit: four tokens at a time with each row, what is left of the tokens with
    /// four rows at a time.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn product(matrix: &Matrix, activations: &Activations) -> Vec<f32> {
        let (blocks, rows) = (matrix.columns / BLOCK, matrix.rows);
        let tokens = activations.scales.len();
        let (tiles, left) = activations.codes.split_at((tokens - tokens % TILE) * blocks);
        let mut out = vec![0.0; tokens * rows];
        for (row, weights) in matrix.blocks.chunks_exact(blocks).enumerate() {
            for (tile, four) in tiles.chunks_exact(TILE * blocks).enumerate() {
                for (at, sum) in with_tokens(weights, four).into_iter().enumerate() {
                    out[(tile * TILE + at) * rows + row] = sum;
                }
            }
        }
        let first = (tokens - tokens % TILE) * rows;
        for (token, out) in left.chunks_exact(blocks).zip(out[first..].chunks_exact_mut(rows)) {
            let (whole, last) = matrix.blocks.split_at((rows - rows % TILE) * blocks);
            let (out, out_last) = out.split_at_mut(rows - rows % TILE);
            for (four, out) in whole.chunks_exact(TILE * blocks).zip(out.chunks_exact_mut(TILE)) {
                out.copy_from_slice(&with_rows(four, token));
            }
            for (row, out) in last.chunks_exact(blocks).zip(out_last) {
                *out = super::dot(row, token);
            }
        }
        for (out, scale) in out.chunks_exact_mut(rows).zip(&activations.scales) {
            out.iter_mut().for_each(|sum| *sum *= scale);
        }
        out
    }

    /// One row of weights with four tokens.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn with_tokens(weights: &[Block], tokens: &[[i16; BLOCK]]) -> [f32; TILE] {
        let [a, b, c, d] = quarters(tokens);
        let mut sums = [_mm256_setzero_ps(); TILE];
        for ((((w, a), b), c), d) in weights.iter().zip(a).zip(b).zip(c).zip(d) {
            let wide = widened(w);
            sums = [step(sums[0], wide, a), step(sums[1], wide, b), step(sums[2], wide, c), step(sums[3], wide, d)];
        }
        sums.map(|sum| total(sum))
    }

    /// Four rows of weights with one token.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn with_rows(rows: &[Block], token: &[[i16; BLOCK]]) -> [f32; TILE] {
        let [a, b, c, d] = quarters(rows);
        let mut sums = [_mm256_setzero_ps(); TILE];
        for ((((t, a), b), c), d) in token.iter().zip(a).zip(b).zip(c).zip(d) {
            sums = [
                step(sums[0], widened(a), t),
                step(sums[1], widened(b), t),
                step(sums[2], widened(c), t),
                step(sums[3], widened(d), t),
            ];
        }
        sums.map(|sum| total(sum))
    }

    fn quarters<T>(blocks: &[T]) -> [&[T]; TILE] {
        let (left, right) = blocks.split_at(blocks.len() / 2);
        let ((a, b), (c, d)) = (left.split_at(left.len() / 2), right.split_at(right.len() / 2));
        [a, b, c, d]
    }

    /// A block of weights as 16-bit numbers, with its scale in each lane.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn widened(block: &Block) -> (__m256i, __m256i, __m256) {
        // SAFETY: a block has 32 codes of a byte, 16 for each load.
        let (low, high) = unsafe {
            let codes = block.codes.as_ptr();
            (_mm_loadu_si128(codes.cast()), _mm_loadu_si128(codes.add(BLOCK / 2).cast()))
        };
        (_mm256_cvtepi8_epi16(low), _mm256_cvtepi8_epi16(high), _mm256_set1_ps(block.scale))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn step(sum: __m256, (low, high, scale): (__m256i, __m256i, __m256), codes: &[i16; BLOCK]) -> __m256 {
        // SAFETY: there are 32 codes of two bytes, 16 for each load.
        let (a, b) = unsafe {
            let codes = codes.as_ptr();
            (_mm256_loadu_si256(codes.cast()), _mm256_loadu_si256(codes.add(BLOCK / 2).cast()))
        };
        let whole = _mm256_add_epi32(_mm256_madd_epi16(low, a), _mm256_madd_epi16(high, b));
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), scale, sum)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn total(sum: __m256) -> f32 {
        let halves = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
        _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn a_product_is_near_the_exact_one_and_the_same_with_and_without_fast_instructions() {
        let (rows, columns, tokens) = (5, 96, 7);
        let (weights, values) = (numbers(rows * columns, 1), numbers(tokens * columns, 2));
        let matrix = Matrix::quantised(&weights, rows, columns).expect("whole blocks");
        let activations = Activations::quantised(&values, columns);
        let fast = matrix.times(&activations);
        let slow = matrix.product(&activations);
        assert_eq!(
            fast.iter().map(|f| f.to_bits()).collect::<Vec<_>>(),
            slow.iter().map(|f| f.to_bits()).collect::<Vec<_>>()
        );
        for token in 0..tokens {
            for row in 0..rows {
                let pairs = weights[row * columns..][..columns].iter().zip(&values[token * columns..][..columns]);
                let exact: f32 = pairs.map(|(w, v)| w * v).sum();
                assert!((fast[token * rows + row] - exact).abs() < 0.05, "{} {exact}", fast[token * rows + row]);
            }
        }
        // A token has the same numbers alone.
        let alone = matrix.times(&Activations::quantised(&values[..columns], columns));
        assert_eq!(alone, fast[..rows]);
    }

    #[test]
    fn a_row_reads_back_and_one_of_broken_blocks_is_refused() {
        let weights = numbers(64, 3);
        let matrix = Matrix::quantised(&weights, 2, 32).expect("whole blocks");
        assert!(matrix.row(1).zip(&weights[32..]).all(|(found, exact)| (found - exact).abs() < 0.005));
        assert!(Matrix::quantised(&weights, 1, 33).is_none());
    }
}
