//! Choosing the next token.

/// A source of choices: the likeliest token, or a draw with a seed.
pub(super) struct Sampler {
    temperature: f32,
    top_p: f32,
    state: u64,
}

impl Sampler {
    pub(super) fn new(temperature: f64, top_p: Option<f64>, seed: u64) -> Self {
        Sampler { temperature: temperature as f32, top_p: top_p.unwrap_or(1.0) as f32, state: seed }
    }

    /// The next token; scores are used up.
    pub(super) fn next(&mut self, scores: &mut [f32]) -> u32 {
        let likeliest = |scores: &[f32]| {
            // The first of equals, so that the choice is the same everywhere.
            let mut best = 0;
            for (at, score) in scores.iter().enumerate() {
                if *score > scores[best] {
                    best = at;
                }
            }
            best as u32
        };
        if self.temperature <= 0.0 {
            return likeliest(scores);
        }
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut weights: Vec<(usize, f32)> =
            scores.iter().enumerate().map(|(at, s)| (at, ((s - most) / self.temperature).exp())).collect();
        weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let total: f32 = weights.iter().map(|(_, weight)| weight).sum();
        let mut kept = 0.0;
        let within = weights.iter().position(|(_, weight)| {
            kept += weight;
            kept >= total * self.top_p
        });
        weights.truncate(within.map_or(weights.len(), |at| at + 1));
        let mut left = self.uniform() * weights.iter().map(|(_, weight)| weight).sum::<f32>();
        for (at, weight) in &weights {
            left -= weight;
            if left <= 0.0 {
                return *at as u32;
            }
        }
        weights.last().map_or_else(|| likeliest(scores), |(at, _)| *at as u32)
    }

    /// A number of 0..1 (SplitMix64).
    fn uniform(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
    }
}
