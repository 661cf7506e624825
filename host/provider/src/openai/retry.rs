//! How long to wait before the next request, and when to stop asking.

use super::settings::OpenAiSettings;
use reqwest::header::HeaderMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

/// Longest pause of our own.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Longest pause a service gets by asking for it: per-minute limits are over by then, and a per-day limit is better
/// met with a fault than with a run that hangs.
const ASKED_MAX: Duration = Duration::from_secs(120);

/// The pauses of one call, at most `retries_max`.
pub(super) struct Pauses {
    retries_max: u32,
    backoff: Duration,
    jitter_seed: u64,
    taken: u32,
}

impl Pauses {
    pub(super) fn of(settings: &OpenAiSettings) -> Self {
        let OpenAiSettings { retries_max, retry_backoff, jitter_seed, .. } = settings;
        Pauses { retries_max: *retries_max, backoff: *retry_backoff, jitter_seed: *jitter_seed, taken: 0 }
    }

    /// The next pause before this request is sent again; none when it is time to give up. Calls made together do not
    /// come back together, and with one seed a call's pauses repeat.
    ///
    /// By itself: anything up to the backoff, which doubles with each retry up to a minute (full jitter spreads a
    /// crowd best). Where the service asks for a pause: that, capped, and up to a tenth more.
    pub(super) fn next(&mut self, asked: Option<Duration>, body: &[u8]) -> Option<Duration> {
        if self.taken >= self.retries_max {
            return None;
        }
        let jitter = self.jitter(body);
        let doubled = self.backoff.saturating_mul(2_u32.saturating_pow(self.taken));
        self.taken += 1;
        Some(match asked {
            Some(asked) => asked.min(ASKED_MAX).mul_f64(1.0 + 0.1 * jitter),
            None => doubled.min(BACKOFF_MAX.max(self.backoff)).mul_f64(jitter),
        })
    }

    /// 0..=1, another for each retry.
    fn jitter(&self, body: &[u8]) -> f64 {
        let mut hasher = DefaultHasher::new();
        (self.jitter_seed, body, self.taken).hash(&mut hasher);
        (hasher.finish() >> 32) as f64 / f64::from(u32::MAX)
    }
}

/// What the headers say about when to come back: milliseconds, seconds or a date.
pub(super) fn asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let text = text("retry-after")?;
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"{}";

    fn pauses(retries_max: u32, backoff_ms: u64, jitter_seed: u64) -> Pauses {
        Pauses { retries_max, backoff: Duration::from_millis(backoff_ms), jitter_seed, taken: 0 }
    }

    #[test]
    fn pauses_stay_below_a_backoff_that_doubles_up_to_a_minute_and_end() {
        let mut longest = [Duration::ZERO; 12];
        for seed in 0..200 {
            let mut pauses = pauses(12, 1000, seed);
            for (n, longest) in longest.iter_mut().enumerate() {
                let pause = pauses.next(None, BODY).expect("retries are left");
                assert!(pause <= Duration::from_secs(1 << n).min(BACKOFF_MAX), "retry {n}: {pause:?}");
                *longest = pause.max(*longest);
            }
            assert_eq!(pauses.next(None, BODY), None);
            assert_eq!(pauses.next(Some(Duration::ZERO), BODY), None, "asking counts too");
        }
        for (n, longest) in longest.iter().enumerate() {
            assert!(*longest > Duration::from_secs(1 << n).min(BACKOFF_MAX).mul_f64(0.9), "retry {n}: {longest:?}");
        }
    }

    #[test]
    fn pauses_repeat_with_the_seed_and_differ_without() {
        let three = |seed| {
            let mut pauses = pauses(3, 1000, seed);
            [pauses.next(None, BODY), pauses.next(None, BODY), pauses.next(None, BODY)]
        };
        assert_eq!(three(1), three(1));
        assert_ne!(three(1), three(2));
    }

    #[test]
    fn a_backoff_above_the_limit_stays_as_the_operator_set_it() {
        let longest = (0..200).filter_map(|seed| pauses(1, 120_000, seed).next(None, BODY)).max().expect("some");
        assert!(longest > Duration::from_secs(60) && longest <= Duration::from_secs(120));
    }

    #[test]
    fn what_the_service_asks_for_is_honoured_up_to_a_cap() {
        for (asked_s, capped_s) in [(0, 0), (7, 7), (120, 120), (121, 120), (86_400, 120)] {
            let pause = pauses(1, 1, 5).next(Some(Duration::from_secs(asked_s)), BODY).expect("a retry is left");
            let capped = Duration::from_secs(capped_s);
            assert!(pause >= capped && pause <= capped.mul_f64(1.1), "{asked_s} s: {pause:?}");
        }
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let now = httpdate::parse_http_date("Fri, 27 Nov 2026 10:00:00 GMT").expect("a date");
        let table = [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", " 0.25 ", Some(250)),
            ("retry-after", "Fri, 27 Nov 2026 10:01:30 GMT", Some(90_000)),
            ("retry-after", "Fri, 27 Nov 2026 09:00:00 GMT", Some(0)),
            ("retry-after", "soon", None),
            ("retry-after", "-3", None),
            ("retry-after", "inf", None),
            ("retry-after-ms", "40", Some(40)),
            ("x-other", "40", None),
        ];
        for (name, value, expected_ms) in table {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header"));
            assert_eq!(asked(&headers, now), expected_ms.map(Duration::from_millis), "{name}: {value}");
        }
    }
}
