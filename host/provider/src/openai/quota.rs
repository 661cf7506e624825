//! What a service allows in requests or tokens, kept as a bucket that fills with time.

use reqwest::header::HeaderMap;
use std::time::{Duration, SystemTime};

/// A pause that a bucket asks for is looked at again after this long: what a service says may be wrong.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// What is left of one kind of allowance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Most it holds.
    most: f64,
    left: f64,
    per_second: f64,
    /// When `left` was right.
    at: SystemTime,
}

impl Bucket {
    /// An operator's bound: a sixth of a minute's worth at once, at least one, and the rest as time passes.
    pub(super) fn per_minute(most: u64, now: SystemTime) -> Self {
        let most = most as f64;
        let burst = (most / 6.0).max(1.0);
        Bucket { most: burst, left: burst, per_second: most / 60.0, at: now }
    }

    /// How long until `need` is there; nothing where it is. More than the bucket ever holds goes when it is full.
    pub(super) fn wait(&mut self, need: f64, now: SystemTime) -> Duration {
        self.fill(now);
        let lacking = need.min(self.most) - self.left;
        if lacking <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(lacking / self.per_second)
            .unwrap_or(LOOK_AGAIN)
            .clamp(Duration::from_millis(1), LOOK_AGAIN)
    }

    /// Takes `need` out, or with a negative one puts back what was not needed.
    pub(super) fn take(&mut self, need: f64) {
        self.left = (self.left - need).min(self.most);
    }

    fn fill(&mut self, now: SystemTime) {
        // A clock that was set back fills nothing.
        let passed = now.duration_since(self.at).unwrap_or_default().as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.most);
        self.at = now;
    }
}

/// What the headers of an answer say about one allowance: the whole, what is left, and until when it is whole again.
fn seen(headers: &HeaderMap, what: &str, now: SystemTime) -> Option<Bucket> {
    let text = |name: String| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let part = |part: &str| {
        text(format!("x-ratelimit-{part}-{what}")).or_else(|| text(format!("anthropic-ratelimit-{what}-{part}")))
    };
    let number = |name| part(name)?.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    let (most, left) = (number("limit")?, number("remaining")?);
    let whole_in = until(part("reset")?, now)?.as_secs_f64();
    // Without a rate of its own a full bucket is one a minute.
    let lacking = most - left;
    let per_second = if lacking > 0.0 && whole_in > 0.0 { lacking / whole_in } else { most / 60.0 };
    (most >= 1.0).then_some(Bucket { most, left, per_second, at: now })
}

/// `6m0s`, `120ms`, `1.5` (seconds) or a date, as the time from now.
fn until(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    if let Ok(date) = text.parse::<jiff::Timestamp>() {
        return Some(SystemTime::from(date).duration_since(now).unwrap_or_default());
    }
    Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok()
}

/// Requests and tokens that a service says are left.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Quotas {
    pub(super) requests: Option<Bucket>,
    pub(super) tokens: Option<Bucket>,
}

impl Quotas {
    pub(super) fn seen(headers: &HeaderMap, now: SystemTime) -> Self {
        Quotas { requests: seen(headers, "requests", now), tokens: seen(headers, "tokens", now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn a_bucket_fills_with_time_and_waits_for_what_lacks() {
        let mut bucket = Bucket::per_minute(60, at(0));
        assert_eq!(bucket.wait(1.0, at(0)), Duration::ZERO);
        for _ in 0..10 {
            bucket.take(1.0);
        }
        assert_eq!(bucket.wait(1.0, at(0)), Duration::from_secs(1));
        assert_eq!(bucket.wait(3.0, at(0)), Duration::from_secs(3));
        assert_eq!(bucket.wait(3.0, at(2)), Duration::from_secs(1));
        bucket.take(-2.0);
        assert_eq!(bucket.wait(3.0, at(2)), Duration::ZERO, "what was not needed is back");
        assert_eq!(bucket.wait(1e9, at(100)), Duration::ZERO, "more than it holds goes when it is full");
        bucket.take(1e9);
        assert_eq!(bucket.wait(1.0, at(100)), LOOK_AGAIN, "no wait is for ever");
        assert_eq!(bucket.wait(1.0, at(50)), LOOK_AGAIN, "a clock that was set back fills nothing");
        assert_eq!(Bucket::per_minute(1, at(0)).wait(1.0, at(0)), Duration::ZERO, "one a minute is one at once");
    }

    #[test]
    fn the_headers_of_both_services_are_read() {
        let open = headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m0s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149000"),
            ("x-ratelimit-reset-tokens", "400ms"),
        ]);
        let quotas = Quotas::seen(&open, at(0));
        let mut requests = quotas.requests.expect("requests");
        assert_eq!(requests.wait(1.0, at(0)), Duration::from_secs(1));
        let mut tokens = quotas.tokens.expect("tokens");
        assert_eq!(tokens.wait(149_000.0, at(0)), Duration::ZERO);
        assert_eq!(tokens.wait(150_000.0, at(0)), Duration::from_millis(400));
        let date = jiff::Timestamp::try_from(at(30)).expect("a date").to_string();
        let theirs = headers(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "20"),
            ("anthropic-ratelimit-requests-reset", &date),
        ]);
        let quotas = Quotas::seen(&theirs, at(0));
        assert_eq!(quotas.requests.expect("requests").wait(25.0, at(0)), Duration::from_secs(5));
        assert_eq!(quotas.tokens, None);
    }

    #[test]
    fn headers_that_mean_nothing_bound_nothing() {
        for (limit, left, reset) in [
            ("60", "0", "soon"),
            ("many", "0", "1s"),
            ("60", "NaN", "1s"),
            ("60", "-1", "1s"),
            ("0", "0", "1s"),
            ("60", "inf", "1s"),
            ("60", "1", "-1"),
        ] {
            let headers = headers(&[
                ("x-ratelimit-limit-requests", limit),
                ("x-ratelimit-remaining-requests", left),
                ("x-ratelimit-reset-requests", reset),
            ]);
            assert_eq!(Quotas::seen(&headers, at(0)), Quotas::default(), "{limit} {left} {reset}");
        }
        let past = headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "2020-01-01T00:00:00Z"),
        ]);
        let mut bucket = Quotas::seen(&past, at(0)).requests.expect("a bucket");
        assert_eq!(bucket.wait(1.0, at(0)), Duration::from_secs(1), "one a minute's worth where it should be whole");
    }
}
