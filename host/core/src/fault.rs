//! What can go wrong with one case, told apart by whose fault it is.

use fapo_graph::StepId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a case went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In the tenant's chain.
    Chain,
    /// In the tenant's scorer.
    Scorer,
    /// In a model service.
    Provider,
    /// In the host itself.
    Host,
}

/// How it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The component returned a fault of its own.
    Returned,
    /// The component trapped (panic, unreachable, exit).
    Trapped,
    /// The fuel of the case ran out.
    FuelExhausted,
    /// The memory, table or instance limit was passed.
    MemoryExceeded,
    /// The stack limit was passed.
    StackExceeded,
    /// A limit on calls, steps or bytes was passed.
    LimitExceeded,
    /// A result that the contract forbids.
    InvalidResult,
    /// Wall-clock limit: says nothing about the guest, so it is retried and never a verdict.
    TimedOut,
    /// The service could not be reached.
    Unreachable,
    /// The service refused for load until the retries were spent.
    RateLimited,
    /// The service does not accept the key.
    Unauthorized,
    /// The service does not know the model or the path.
    NotFound,
    /// The account behind the key is empty.
    QuotaExhausted,
    /// The service answered with something that is no answer.
    Malformed,
    /// The service failed.
    ServerError,
    /// A budget of ours would be passed.
    Budget,
    /// The host failed.
    Internal,
}

impl FaultKind {
    /// Whether the fault says nothing about the variant: a run with such cases may be completed later.
    pub fn is_infrastructure(self) -> bool {
        use FaultKind::{
            Budget, Internal, Malformed, NotFound, QuotaExhausted, RateLimited, ServerError, TimedOut, Unauthorized,
            Unreachable,
        };
        matches!(
            self,
            TimedOut
                | Unreachable
                | RateLimited
                | Unauthorized
                | NotFound
                | QuotaExhausted
                | Malformed
                | ServerError
                | Budget
                | Internal
        )
    }
}

impl FaultKind {
    /// Whether a budget of ours or of the service is used up: no further case can be run before somebody raises it.
    pub fn is_spent(self) -> bool {
        matches!(self, FaultKind::Budget | FaultKind::QuotaExhausted)
    }
}

/// One case's fault: data, never the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// Whose fault it is.
    pub phase: Phase,
    /// What happened.
    pub kind: FaultKind,
    /// For people; may hold the guest's words.
    pub message: String,
    /// Step that was running, as `node` or `node#visit`, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How to mend it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    /// A fault outside any step.
    pub fn new(phase: Phase, kind: FaultKind, message: impl Into<String>) -> Self {
        Fault { phase, kind, message: message.into(), step: None, hint: None }
    }

    /// The same fault, laid at a step.
    #[must_use]
    pub fn at(mut self, id: &StepId) -> Self {
        self.step = Some(step_name(id));
        self
    }

    /// The same fault with the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// See [`FaultKind::is_infrastructure`].
    pub fn is_infrastructure(&self) -> bool {
        self.kind.is_infrastructure()
    }
}

/// A step's id for people: the node's name, with `#visit` from the second visit on.
pub fn step_name(id: &StepId) -> String {
    if id.visit == 0 { id.node.clone() } else { format!("{}#{}", id.node, id.visit) }
}
