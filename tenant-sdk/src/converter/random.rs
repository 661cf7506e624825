//! CPython's generator of random numbers, which published splits are drawn with.

const LENGTH: usize = 624;
const SHIFT: usize = 397;

/// What `random.Random(seed)` of CPython 3 draws: the Mersenne Twister MT19937 behind `shuffle` and `sample`.
///
/// ```
/// use fapo_tenant_sdk::converter::PythonRandom;
/// let mut numbers: Vec<u32> = (0..10).collect();
/// PythonRandom::new(0).shuffle(&mut numbers);
/// assert_eq!(numbers, [7, 8, 1, 5, 3, 4, 2, 0, 9, 6]);
/// ```
#[derive(Clone)]
pub struct PythonRandom {
    state: [u32; LENGTH],
    at: usize,
}

impl PythonRandom {
    /// As `random.Random(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut state = [0; LENGTH];
        state[0] = 19_650_218_u32;
        for at in 1..LENGTH {
            let before: u32 = state[at - 1];
            state[at] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(at as u32);
        }
        let mut at = 1;
        let mut step = |state: &mut [u32; LENGTH], factor: u32, change: &dyn Fn(u32, usize) -> u32| {
            let before = state[at - 1];
            let mixed = state[at] ^ (before ^ (before >> 30)).wrapping_mul(factor);
            state[at] = change(mixed, at);
            at += 1;
            if at == LENGTH {
                state[0] = state[LENGTH - 1];
                at = 1;
            }
        };
        for _ in 0..LENGTH {
            step(&mut state, 1_664_525, &|mixed, _| mixed.wrapping_add(seed));
        }
        for _ in 1..LENGTH {
            step(&mut state, 1_566_083_941, &|mixed, at| mixed.wrapping_sub(at as u32));
        }
        state[0] = 0x8000_0000;
        PythonRandom { state, at: LENGTH }
    }

    /// The next 32 bits.
    fn next(&mut self) -> u32 {
        if self.at == LENGTH {
            for at in 0..LENGTH {
                let joined = (self.state[at] & 0x8000_0000) | (self.state[(at + 1) % LENGTH] & 0x7fff_ffff);
                let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[at] = self.state[(at + SHIFT) % LENGTH] ^ (joined >> 1) ^ twist;
            }
            self.at = 0;
        }
        let mut bits = self.state[self.at];
        self.at += 1;
        bits ^= bits >> 11;
        bits ^= (bits << 7) & 0x9d2c_5680;
        bits ^= (bits << 15) & 0xefc6_0000;
        bits ^ (bits >> 18)
    }

    /// A number below `end`, each as likely: draws as many bits as `end` has until they make one. 0 where `end` is 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        let bits = u32::BITS - end.leading_zeros();
        if bits == 0 {
            return 0;
        }
        loop {
            let drawn = self.next() >> (u32::BITS - bits);
            if drawn < end {
                return drawn as usize;
            }
        }
    }

    /// As `random.shuffle(items)`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = self.below(at + 1);
            items.swap(at, other);
        }
    }

    /// As `random.sample(items, count)`: all in another order where there are no more than `count`.
    pub fn sample<T: Clone>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let count = count.min(items.len());
        // Where few of many are drawn, CPython remembers what it drew; else it takes from a list that closes its gaps.
        let list_max = if count > 5 { 21 + 4_usize.pow((count as f64 * 3.0).log(4.0).ceil() as u32) } else { 21 };
        if items.len() > list_max {
            let mut drawn = std::collections::HashSet::new();
            let mut sample = Vec::with_capacity(count);
            while sample.len() < count {
                let at = self.below(items.len());
                if drawn.insert(at) {
                    sample.push(items[at].clone());
                }
            }
            return sample;
        }
        let mut pool = items.to_vec();
        let taken = (0..count).map(|taken| {
            let left = items.len() - taken;
            let at = self.below(left);
            pool.swap(at, left - 1);
            pool[left - 1].clone()
        });
        taken.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drawn with CPython 3.11.
    #[test]
    fn draws_are_those_of_cpython() {
        let shuffled = |seed, length: u32| {
            let mut numbers: Vec<u32> = (0..length).collect();
            PythonRandom::new(seed).shuffle(&mut numbers);
            numbers
        };
        assert_eq!(shuffled(0, 10), [7, 8, 1, 5, 3, 4, 2, 0, 9, 6]);
        assert_eq!(shuffled(42, 10), [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]);
        assert_eq!(shuffled(1, 1_000)[..5], [852, 836, 280, 575, 208]);
        let sampled =
            |seed, length: u32, count| PythonRandom::new(seed).sample(&(0..length).collect::<Vec<u32>>(), count);
        assert_eq!(sampled(1, 20, 5), [4, 18, 2, 8, 3]);
        assert_eq!(sampled(1, 1_000, 5), [137, 582, 867, 821, 782]);
        assert_eq!(sampled(1, 319, 300)[..5], [68, 291, 32, 130, 60]);
        assert_eq!(sampled(1, 36_000, 300)[..5], [8805, 4135, 16716, 7727, 32468]);
        assert_eq!(sampled(7, 3, 9).len(), 3);
        assert!(sampled(7, 0, 4).is_empty());
    }
}
