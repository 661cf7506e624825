//! Every file of `tests/corpora` and mutations of it, through the readers.
//!
//! The mutations of a test run are the same each
//! time; `FAPO_MUTATION_SECONDS=600` goes on with others for as long a target. What was once found stays in the folder.

use crate::readers::TARGETS;
use crate::support::{root, say};
use std::time::{Duration, Instant};

/// Mutations a target gets in each test run.
const MUTATIONS: u32 = 20_000;
/// Longest that one input may take.
const SLOW: Duration = Duration::from_secs(2);

/// A generator of the shift-register kind: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// What breaks readers, to be put in anywhere.
const PIECES: [&[u8]; 16] = [
    b"\"",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"]",
    b"${",
    b"\n",
    b"\0",
    b"\xff\xfe",
    b"\xe2\x80\xae",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"System:\n",
    b"```",
    b"\\u0000",
];

fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            3 => {
                let end = at + random.below(bytes.len() - at + 1).min(40);
                bytes.drain(at..end);
            }
            4 => {
                let end = at + random.below(bytes.len() - at + 1).min(200);
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
    bytes
}

#[test]
fn readers_withstand_their_corpora_and_mutations_of_them() {
    let seconds: u64 = std::env::var("FAPO_MUTATION_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for (name, target) in TARGETS {
        let folder = root().join("tests/corpora").join(name);
        let mut paths: Vec<_> = std::fs::read_dir(&folder).expect("the corpus").flatten().map(|e| e.path()).collect();
        paths.sort();
        let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).expect("read")).collect();
        assert!(!seeds.is_empty(), "{name} has a corpus");
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seconds);
        let (mut done, began) = (0, Instant::now());
        while done < MUTATIONS || began.elapsed().as_secs() < seconds {
            let input = match seeds.get(done as usize) {
                Some(seed) => seed.clone(),
                None => mutated(&seeds, &mut random),
            };
            let one = Instant::now();
            let ended = std::panic::catch_unwind(|| target(&input));
            let found = if ended.is_err() { Some("panics") } else { (one.elapsed() > SLOW).then_some("takes long") };
            if let Some(what) = found {
                let kept = std::env::temp_dir().join(format!("fapo-corpus-{name}-{done}"));
                std::fs::write(&kept, &input).expect("written");
                panic!("{name} {what} over an input of {} bytes: {}", input.len(), kept.display());
            }
            done += 1;
        }
        say(&format!("{name}: {done} inputs"));
    }
}
