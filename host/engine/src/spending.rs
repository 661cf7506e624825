//! What the model calls of one run may cost, and what they have cost so far. A call is counted before it is made, so
//! that no number of cases side by side passes a bound, and given back where it cost nothing.

use crate::account::{Account, Amount, Passed};
use fapo_core::fault::FaultKind;
use fapo_core::grants::Budget;
use fapo_core::ports::{GenerateRequest, Provider, ServiceFault, Usage};
use fapo_core::price::Price;
use fapo_core::run::{CallRecord, CaseRecord};
use fapo_template::Message;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a prompt that are counted as one token before the service has counted: fewer than most texts have.
const BYTES_PER_TOKEN: u64 = 3;
/// Tokens that each message is counted for beside its text.
const TOKENS_PER_MESSAGE: u64 = 8;
/// Tokens a reply is counted for where neither step nor route caps it.
const REPLY_TOKENS: u64 = 4_096;

/// What model calls have cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Of paid calls; tokens and cost estimated where the service did not count.
    pub(crate) amount: Amount,
    /// Paid calls of judges by alias; they are among the calls.
    pub(crate) judges: BTreeMap<String, u64>,
}

impl Spent {
    /// Adds what a case cost, calls of tries that were given up among it.
    pub(crate) fn add(&mut self, record: &CaseRecord) {
        for call in record.model_calls().filter(|call| call.is_paid()) {
            self.amount = self.amount.plus(amount(call));
        }
        for judged in record.judge_calls.iter().filter(|judged| judged.call.is_paid()) {
            *self.judges.entry(judged.call.model.clone()).or_default() += 1;
        }
    }
}

/// What a paid call took.
fn amount(call: &CallRecord) -> Amount {
    let Usage { prompt_tokens, completion_tokens } = usage(call);
    Amount { calls: 1, tokens: prompt_tokens.saturating_add(completion_tokens), cost: call.cost.unwrap_or_default() }
}

/// Tokens of a call that was made, estimated where the service did not count.
fn usage(call: &CallRecord) -> Usage {
    call.usage.unwrap_or_else(|| Usage {
        prompt_tokens: prompt(&call.messages),
        completion_tokens: estimated(call.reply.as_deref().unwrap_or_default()),
    })
}

fn estimated(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

fn prompt(messages: &[Message]) -> u64 {
    messages.iter().map(|message| estimated(&message.content) + TOKENS_PER_MESSAGE).sum()
}

/// The model calls of one run.
#[derive(Debug, Default)]
pub(crate) struct Spending {
    waiting: AtomicUsize,
    budget: Budget,
    spent: Mutex<Amount>,
    /// What the run shares with others.
    accounts: Vec<Arc<Account>>,
}

impl Spending {
    /// Of a run that has cost `spent` in earlier starts.
    pub(crate) fn begin(budget: Budget, spent: &Spent, accounts: &[Arc<Account>]) -> Self {
        let accounts = accounts.to_vec();
        Spending { waiting: AtomicUsize::new(0), budget, spent: Mutex::new(spent.amount), accounts }
    }

    /// Calls that are waited for.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes one call out of the run's budget and the accounts, or says which of them does not allow it.
    pub(crate) fn enter(
        &self,
        request: &GenerateRequest,
        provider: &dyn Provider,
    ) -> Result<OneCall<'_>, ServiceFault> {
        let route_cap = provider.output_tokens_max();
        let cap = request.output_tokens_max.map(u64::from).into_iter().chain(route_cap).min().unwrap_or(REPLY_TOKENS);
        let usage = Usage { prompt_tokens: prompt(&request.messages), completion_tokens: cap };
        let price = provider.price();
        let taken = Amount {
            calls: 1,
            tokens: usage.prompt_tokens + cap,
            cost: price.map(|price| price.of(usage)).unwrap_or_default(),
        };
        {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            let after = spent.plus(taken);
            if let Some(passed) = after.passes(&self.budget) {
                let option = passed.option;
                let switch = option.replace('_', "-");
                let raise = format!("--{switch}, or {option} under [tenants.ID.budget] of the operator's file");
                return Err(used_up("this run", &raise, &passed));
            }
            *spent = after;
        }
        for (at, account) in self.accounts.iter().enumerate() {
            let refused = match account.take(taken) {
                Ok(None) => continue,
                Ok(Some(passed)) => used_up(&account.of, &account.raise, &passed),
                Err(error) => ServiceFault { kind: FaultKind::Budget, message: error.to_string(), hint: error.hint },
            };
            self.settle(taken, Amount::default(), &self.accounts[..at]);
            return Err(refused);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(OneCall { of: self, taken, price })
    }

    /// Puts `real` in the place of what was `taken`, in the run's budget and in `accounts`.
    fn settle(&self, taken: Amount, real: Amount, accounts: &[Arc<Account>]) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = spent.minus(taken).plus(real);
        drop(spent);
        accounts.iter().for_each(|account| account.settle(taken, real));
    }
}

fn used_up(of: &str, raise: &str, passed: &Passed) -> ServiceFault {
    let Passed { what, most, .. } = passed;
    ServiceFault {
        kind: FaultKind::Budget,
        message: format!("the {most} {what} that {of} may cost do not allow another call"),
        hint: Some(format!("raise {raise}; the same command goes on")),
    }
}

/// One call that is waited for and counted. Dropping it ends the wait, also where the case was given up: then the call
/// stays counted, because it may have reached its service.
pub(crate) struct OneCall<'a> {
    of: &'a Spending,
    /// Counted for it.
    taken: Amount,
    price: Option<Price>,
}

impl OneCall<'_> {
    /// Notes what the call costs and puts it in the place of what it was counted for.
    pub(crate) fn settle(self, record: &mut CallRecord) {
        if record.reply.is_some() {
            record.cost = self.price.map(|price| price.of(usage(record)));
        }
        let real = if record.is_paid() { amount(record) } else { Amount::default() };
        self.of.settle(self.taken, real, &self.of.accounts);
    }
}

impl Drop for OneCall<'_> {
    fn drop(&mut self) {
        self.of.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_core::ports::{BoxFuture, ModelCall, ModelReply, ProviderError};
    use fapo_core::price::Money;
    use fapo_graph::StepId;
    use fapo_template::Role;
    use serde_json::{Value, json};

    /// A route with a cap and a price.
    struct Route(Option<u64>, Option<Price>);

    impl Provider for Route {
        fn identity(&self) -> Value {
            json!({"output_tokens_max": self.0})
        }

        fn price(&self) -> Option<Price> {
            self.1
        }

        fn generate<'a>(&'a self, _: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
            unreachable!("nothing is called here")
        }
    }

    const UNPRICED: Route = Route(None, None);

    fn request(text: &str) -> GenerateRequest {
        GenerateRequest {
            id: StepId { node: "a".into(), visit: 0 },
            model: "task".into(),
            messages: vec![Message { role: Role::User, content: text.into() }].into(),
            output_tokens_max: Some(10),
            stop: Vec::new(),
        }
    }

    fn ended(usage: Option<Usage>, attempts: u32) -> CallRecord {
        CallRecord { reply: Some("a reply".into()), usage, attempts, ..crate::services::unanswered(&request("x")) }
    }

    fn spending(budget: Budget, calls: u64) -> Spending {
        let amount = Amount { calls, ..Amount::default() };
        Spending::begin(budget, &Spent { amount, ..Spent::default() }, &[])
    }

    #[test]
    fn a_bound_is_met_exactly_and_never_passed() {
        let spending = spending(Budget { calls_max: Some(3), ..Budget::default() }, 1);
        let enter = || spending.enter(&request("x"), &UNPRICED);
        let (first, second) = (enter(), enter());
        assert_eq!(spending.waiting(), 2);
        assert_eq!(enter().err().map(|e| e.kind), Some(FaultKind::Budget));
        // A cached reply gives its call back; a paid one, and one that was given up, do not.
        first.expect("in the budget").settle(&mut ended(None, 0));
        drop(second);
        assert_eq!(spending.waiting(), 0);
        enter().expect("given back").settle(&mut ended(None, 1));
        assert!(enter().is_err());
    }

    #[test]
    fn tokens_are_held_as_estimated_and_settled_as_counted() {
        // 3 bytes are a token, a message 8, the cap 10: 20 for a prompt of six bytes.
        let spending = spending(Budget { tokens_max: Some(39), ..Budget::default() }, 0);
        let enter = || spending.enter(&request("sixsix"), &UNPRICED);
        let first = enter().expect("20 of 39");
        assert!(enter().is_err(), "another 20 would be 40");
        first.settle(&mut ended(Some(Usage { prompt_tokens: 12, completion_tokens: 7 }), 1));
        enter().expect("19 and 20 are 39").settle(&mut ended(None, 1));
        // Uncounted: a prompt of one byte and a reply of seven are 9 and 3.
        assert_eq!(spending.spent.lock().expect("free").tokens, 19 + 12);
        let narrow = self::spending(Budget { tokens_max: Some(15), ..Budget::default() }, 0);
        assert!(narrow.enter(&request("sixsix"), &UNPRICED).is_err());
        assert!(narrow.enter(&request("sixsix"), &Route(Some(5), None)).is_ok(), "the route caps replies at 5");
    }

    #[test]
    fn cost_is_held_at_its_most_and_settled_at_what_was_used() {
        let price =
            Price { prompt: Money::dollars(1e3).expect("an amount"), reply: Money::dollars(1e4).expect("an amount") };
        let (route, dollars) = (Route(None, Some(price)), |d| Money::dollars(d).expect("an amount"));
        // A thousandth of a dollar a token of the prompt, a hundredth one of the reply: 0.01 + 0.1 at most.
        let spending = spending(Budget { cost_max: Some(dollars(0.119)), ..Budget::default() }, 0);
        let first = spending.enter(&request("sixsix"), &route).expect("0.11 of 0.119");
        let refused = spending.enter(&request("sixsix"), &route).err().expect("another 0.11");
        assert!(refused.message.contains("$0.1190 of cost that this run may cost"), "{}", refused.message);
        assert!(refused.hint.expect("a hint").contains("--cost-max, or cost_max under"));
        let mut record = ended(Some(Usage { prompt_tokens: 4, completion_tokens: 0 }), 1);
        first.settle(&mut record);
        assert_eq!((record.cost, spending.spent.lock().expect("free").cost), (Some(dollars(0.004)), dollars(0.004)));
        let mut cached = ended(Some(Usage { prompt_tokens: 4, completion_tokens: 1 }), 0);
        spending.enter(&request("sixsix"), &route).expect("0.114 of 0.119").settle(&mut cached);
        assert_eq!(cached.cost, Some(dollars(0.014)), "what was saved");
        assert_eq!(spending.spent.lock().expect("free").cost, dollars(0.004), "and not spent");
        let mut uncounted = ended(None, 1);
        spending.enter(&request("sixsix"), &route).expect("room").settle(&mut uncounted);
        assert_eq!(uncounted.cost, Some(dollars(0.009 + 0.03)), "from estimated tokens");
    }

    #[test]
    fn what_an_account_refuses_is_given_back_to_all_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let account = |name: &str, calls_max| {
            let budget = Budget { calls_max: Some(calls_max), ..Budget::default() };
            Arc::new(Account::open(&folder.path().join(name), name, "[x]", budget).expect("an account"))
        };
        let (wide, narrow) = (account("wide", 5), account("narrow", 1));
        let accounts = [Arc::clone(&wide), Arc::clone(&narrow)];
        let spending = Spending::begin(Budget::default(), &Spent::default(), &accounts);
        spending.enter(&request("x"), &UNPRICED).expect("one is allowed").settle(&mut ended(None, 1));
        let refused = spending.enter(&request("x"), &UNPRICED).err().expect("narrow is used up");
        assert!(refused.message.contains("the 1 calls that narrow may cost"), "{}", refused.message);
        assert_eq!(wide.spent().expect("a file").calls, 1);
        assert_eq!(spending.spent.lock().expect("free").calls, 1);
    }
}
