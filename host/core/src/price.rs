//! What calls cost: a dated list of prices, and amounts in US dollars.

use crate::input_error::InputError;
use crate::ports::Usage;
use crate::tenant::read_toml;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;

/// Billionths of a dollar in a dollar.
const NANO: f64 = 1e9;
/// Amounts above this are mistakes; below it every billionth is exact in JSON.
const DOLLARS_MAX: f64 = 1e6;

/// An amount in US dollars, to the billionth. In JSON and TOML it is a number of dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(u64);

impl Money {
    /// Of dollars; none where it is negative, no number, or above a million.
    pub fn dollars(dollars: f64) -> Option<Money> {
        (0.0..=DOLLARS_MAX).contains(&dollars).then(|| Money((dollars * NANO).round() as u64))
    }

    /// In dollars.
    pub fn in_dollars(self) -> f64 {
        self.0 as f64 / NANO
    }

    /// The sum, or the most there is.
    #[must_use]
    pub fn plus(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing where `other` is more.
    #[must_use]
    pub fn minus(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::default(), Money::plus)
    }
}

impl fmt::Display for Money {
    /// Cents, and as many digits more as a small amount needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dollars = self.in_dollars();
        match dollars {
            0.0 => f.write_str("$0"),
            d if d < 0.01 => write!(f, "${d:.6}"),
            d if d < 1.0 => write!(f, "${d:.4}"),
            d => write!(f, "${d:.2}"),
        }
    }
}

impl std::str::FromStr for Money {
    type Err = String;

    fn from_str(text: &str) -> Result<Money, String> {
        let dollars = text.trim_start_matches('$').parse::<f64>().ok().and_then(Money::dollars);
        dollars.ok_or_else(|| format!("{text:?} is no amount in dollars between 0 and {DOLLARS_MAX}"))
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.in_dollars())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        let wrong = || de::Error::custom(format!("{dollars} is no amount in dollars between 0 and {DOLLARS_MAX}"));
        Money::dollars(dollars).ok_or_else(wrong)
    }
}

/// What the tokens of one model cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// A million tokens of prompts, dollars.
    pub prompt: Money,
    /// A million tokens of replies, dollars; what a model thinks is part of its reply.
    pub reply: Money,
}

impl Price {
    /// What a call of so many tokens costs, rounded up to the billionth of a dollar.
    pub fn of(&self, usage: Usage) -> Money {
        let part = |tokens: u64, million: Money| u128::from(tokens) * u128::from(million.0);
        let sum = part(usage.prompt_tokens, self.prompt) + part(usage.completion_tokens, self.reply);
        Money(u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

/// Prices by provider and model, as they were on a day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PriceList {
    /// The day, `YYYY-MM-DD`.
    pub dated: String,
    prices: BTreeMap<String, BTreeMap<String, Price>>,
}

impl PriceList {
    /// The price of a provider's model; none where the list does not have it.
    pub fn of(&self, provider: &str, model: &str) -> Option<Price> {
        self.prices.get(provider)?.get(model).copied()
    }
}

/// Reads a list of prices: `dated`, and a table a provider of prices by model.
///
/// # Errors
/// Names file and line; a list without its day is refused.
pub fn read_prices(file: &str, text: &str) -> Result<PriceList, InputError> {
    let hint = "a list is: dated = 2026-11-01, then tables like [openai] \"gpt-5\" = { prompt = 1.25, reply = 10.0 } (dollars a million tokens)";
    let wrong = |what: &str, why: &str| InputError::new(format!("{file}, {what}"), why).hint(hint);
    let mut tables: toml::Table = read_toml(file, text).map_err(|error| error.hint(hint))?;
    let dated = tables.remove("dated").ok_or_else(|| wrong("`dated`", "is missing"))?;
    let date = dated.as_datetime().filter(|day| day.time.is_none()).and_then(|day| day.date);
    let dated = date.ok_or_else(|| wrong("`dated`", "is no day"))?.to_string();
    let mut prices: BTreeMap<String, BTreeMap<String, Price>> = BTreeMap::new();
    for (provider, models) in tables {
        let toml::Value::Table(models) = models else {
            return Err(wrong(&format!("`{provider}`"), "is neither `dated` nor a table of prices"));
        };
        for (model, price) in models {
            let price = price
                .try_into()
                .map_err(|e: toml::de::Error| wrong(&format!("[{provider}] {model:?}"), e.message().trim()))?;
            prices.entry(provider.clone()).or_default().insert(model, price);
        }
    }
    Ok(PriceList { dated, prices })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_costs_its_tokens_to_the_billionth() {
        let list = "dated = 2026-11-01\n[openai]\n\"gpt-5\" = { prompt = 1.25, reply = 10.0 }\n";
        let list = read_prices("prices.toml", list).expect("a list");
        assert_eq!(list.dated, "2026-11-01");
        let price = list.of("openai", "gpt-5").expect("listed");
        assert_eq!((list.of("openai", "other"), list.of("anthropic", "gpt-5")), (None, None));
        let cost = |prompt_tokens, completion_tokens| price.of(Usage { prompt_tokens, completion_tokens });
        assert_eq!(cost(1_000_000, 0).in_dollars(), 1.25);
        assert_eq!(cost(1, 0), Money(1_250));
        assert_eq!(cost(1_000, 200).in_dollars(), 0.00325);
        assert_eq!(cost(0, 0), Money::default());
        assert_eq!(cost(u64::MAX, u64::MAX), Money(u64::MAX), "a damaged journal may hold any number");
        let third = Price { prompt: Money(1), reply: Money(0) };
        assert_eq!(third.of(Usage { prompt_tokens: 1, completion_tokens: 0 }), Money(1), "never less than it costs");
    }

    #[test]
    fn amounts_are_read_written_and_shown() {
        for (text, shown, json) in [
            ("2.5", "$2.50", "2.5"),
            ("$0.25", "$0.2500", "0.25"),
            ("0.000123", "$0.000123", "0.000123"),
            ("0", "$0", "0.0"),
        ] {
            let amount: Money = text.parse().expect(text);
            assert_eq!(amount.to_string(), shown);
            assert_eq!(serde_json::to_string(&amount).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Money>(json).expect("an amount"), amount);
        }
        for text in ["-1", "much", "NaN", "inf", "1e9"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
        assert_eq!(Money(3).minus(Money(5)), Money(0));
    }

    #[test]
    fn a_wrong_list_is_refused_with_what_one_is() {
        for text in [
            "[openai]\n\"m\" = { prompt = 1.0, reply = 1.0 }\n",
            "dated = 2026-11-01T10:00:00Z\n",
            "dated = \"soon\"\n",
            "dated = 2026-11-01\n[openai]\n\"m\" = { prompt = -1.0, reply = 1.0 }\n",
            "dated = 2026-11-01\n[openai]\n\"m\" = { prompt = 1.0 }\n",
        ] {
            let error = read_prices("prices.toml", text).expect_err(text);
            assert!(error.subject.starts_with("prices.toml") && error.hint.is_some(), "{error}");
        }
        let error =
            read_prices("p", "dated = 2026-11-01\n[openai]\n\"m\" = { prompt = 1.0 }\n").expect_err("half a price");
        assert!(error.to_string().starts_with("p, [openai] \"m\": missing field `reply`"), "{error}");
    }
}
