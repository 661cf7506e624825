//! What the model calls of one run may cost, and what they have cost so far. A call is counted before it is made, so
//! that no number of cases side by side passes a bound, and given back where it cost nothing.

use fapo_core::fault::FaultKind;
use fapo_core::grants::Budget;
use fapo_core::ports::{GenerateRequest, ServiceFault, Usage};
use fapo_core::run::{CallRecord, CaseRecord};
use fapo_template::Message;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes of a prompt that are counted as one token before the service has counted: fewer than most texts have.
const BYTES_PER_TOKEN: u64 = 3;
/// Tokens that each message is counted for beside its text.
const TOKENS_PER_MESSAGE: u64 = 8;
/// Tokens a reply is counted for where neither step nor route caps it.
const REPLY_TOKENS: u64 = 4_096;

/// What model calls have cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Paid calls.
    pub(crate) calls: u64,
    /// Their tokens, prompt and reply; estimated where the service did not count.
    pub(crate) tokens: u64,
    /// Paid calls of judges by alias; they are among the calls.
    pub(crate) judges: BTreeMap<String, u64>,
}

impl Spent {
    /// Adds what a case cost, calls of tries that were given up among it.
    pub(crate) fn add(&mut self, record: &CaseRecord) {
        for call in record.model_calls().filter(|call| call.is_paid()) {
            self.calls += 1;
            // A damaged journal may hold any number.
            self.tokens = self.tokens.saturating_add(tokens(call));
        }
        for judged in record.judge_calls.iter().filter(|judged| judged.call.is_paid()) {
            *self.judges.entry(judged.call.model.clone()).or_default() += 1;
        }
    }
}

/// Tokens of a call that was made.
fn tokens(call: &CallRecord) -> u64 {
    match call.usage {
        Some(Usage { prompt_tokens, completion_tokens }) => prompt_tokens.saturating_add(completion_tokens),
        None => prompt(&call.messages) + estimated(call.reply.as_deref().unwrap_or_default()),
    }
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
    spent: Mutex<Spent>,
}

impl Spending {
    /// Of a run that has cost `spent` in earlier starts.
    pub(crate) fn begin(budget: Budget, spent: Spent) -> Self {
        Spending { waiting: AtomicUsize::new(0), budget, spent: Mutex::new(spent) }
    }

    /// Calls that are waited for.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes one call out of the budget. `route_cap` is the route's own cap on a reply.
    pub(crate) fn enter(&self, request: &GenerateRequest, route_cap: Option<u64>) -> Result<OneCall<'_>, ServiceFault> {
        let cap = request.output_tokens_max.map(u64::from).into_iter().chain(route_cap).min().unwrap_or(REPLY_TOKENS);
        let tokens = prompt(&request.messages) + cap;
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if self.budget.calls_max.is_some_and(|most| spent.calls >= most) {
            return Err(used_up("calls", self.budget.calls_max));
        }
        if self.budget.tokens_max.is_some_and(|most| spent.tokens.saturating_add(tokens) > most) {
            return Err(used_up("tokens", self.budget.tokens_max));
        }
        spent.calls += 1;
        spent.tokens = spent.tokens.saturating_add(tokens);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ok(OneCall { of: self, tokens })
    }
}

fn used_up(what: &str, most: Option<u64>) -> ServiceFault {
    ServiceFault {
        kind: FaultKind::Budget,
        message: format!("the {} {what} that this run may cost do not allow another call", most.unwrap_or_default()),
        hint: Some(format!(
            "raise --{what}-max, or {what}_max under [tenants.ID.budget] of the operator's file; the same command goes on"
        )),
    }
}

/// One call that is waited for and counted. Dropping it ends the wait, also where the case was given up: then the call
/// stays counted, because it may have reached its service.
pub(crate) struct OneCall<'a> {
    of: &'a Spending,
    /// Counted for it.
    tokens: u64,
}

impl OneCall<'_> {
    /// Puts what the call really cost in the place of what it was counted for.
    pub(crate) fn settle(self, record: &CallRecord) {
        let mut spent = self.of.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.tokens = spent.tokens.saturating_sub(self.tokens);
        match record.is_paid() {
            true => spent.tokens = spent.tokens.saturating_add(tokens(record)),
            false => spent.calls -= 1,
        }
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
    use fapo_graph::StepId;
    use fapo_template::Role;

    fn request(text: &str) -> GenerateRequest {
        GenerateRequest {
            id: StepId { node: "a".into(), visit: 0 },
            model: "task".into(),
            messages: vec![Message { role: Role::User, content: text.into() }],
            output_tokens_max: Some(10),
            stop: Vec::new(),
        }
    }

    fn ended(usage: Option<Usage>, attempts: u32) -> CallRecord {
        CallRecord { reply: Some("a reply".into()), usage, attempts, ..crate::services::unanswered(&request("x")) }
    }

    #[test]
    fn a_bound_is_met_exactly_and_never_passed() {
        let budget = Budget { calls_max: Some(3), tokens_max: None };
        let spending = Spending::begin(budget, Spent { calls: 1, ..Spent::default() });
        let (first, second) = (spending.enter(&request("x"), None), spending.enter(&request("x"), None));
        assert_eq!(spending.waiting(), 2);
        assert_eq!(spending.enter(&request("x"), None).err().map(|e| e.kind), Some(FaultKind::Budget));
        // A cached reply gives its call back; a paid one, and one that was given up, do not.
        first.expect("in the budget").settle(&ended(None, 0));
        drop(second);
        assert_eq!(spending.waiting(), 0);
        spending.enter(&request("x"), None).expect("given back").settle(&ended(None, 1));
        assert!(spending.enter(&request("x"), None).is_err());
    }

    #[test]
    fn tokens_are_held_as_estimated_and_settled_as_counted() {
        // 3 bytes are a token, a message 8, the cap 10: 20 for a prompt of six bytes.
        let budget = Budget { calls_max: None, tokens_max: Some(39) };
        let spending = Spending::begin(budget, Spent::default());
        let first = spending.enter(&request("sixsix"), None).expect("20 of 39");
        assert!(spending.enter(&request("sixsix"), None).is_err(), "another 20 would be 40");
        first.settle(&ended(Some(Usage { prompt_tokens: 12, completion_tokens: 7 }), 1));
        spending.enter(&request("sixsix"), None).expect("19 and 20 are 39").settle(&ended(None, 1));
        // Uncounted: a prompt of one byte and a reply of seven are 9 and 3.
        assert_eq!(spending.spent.lock().expect("free").tokens, 19 + 12);
        let narrow = Spending::begin(Budget { calls_max: None, tokens_max: Some(15) }, Spent::default());
        assert!(narrow.enter(&request("sixsix"), None).is_err());
        assert!(narrow.enter(&request("sixsix"), Some(5)).is_ok(), "the route caps replies at 5");
    }
}
