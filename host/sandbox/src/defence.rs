//! The defences that can be left out one by one, so that a test can show what each is for.
//!
//! A sandbox has them all. Only builds with the feature `undefended` have a constructor that leaves some out, and
//! only this repository's tests are built with it.

/// One defence.
#[cfg_attr(not(feature = "undefended"), allow(unreachable_pub, reason = "only tests reach it, through that feature"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defence {
    /// The fuel of a case is bounded.
    Fuel,
    /// The calls of node components of a case share the fuel of one case.
    NodeFuel,
    /// Linear memory grows up to `memory_bytes`.
    Memory,
    /// What one call can make the host copy is bounded.
    CallFuel,
    /// What one host call carries is bounded.
    CallBytes,
    /// Resource handles are counted.
    Handles,
    /// Host calls are counted.
    HostCalls,
    /// Bytes that cross in all calls of a case are counted.
    Traffic,
    /// A host call has a deadline.
    HostCallWall,
    /// Log lines are kept in a ring.
    LogRing,
    /// Stdout and stderr are kept in rings.
    StreamRing,
    /// Long texts of a step are cut and marked.
    FieldCut,
    /// Steps and host calls name nodes of the graph.
    NodeNames,
    /// A step is returned once, and its id is then spent.
    StepOnce,
    /// The clock stands still.
    FrozenClock,
    /// Randomness comes from the case's seed.
    SeededRandom,
}

/// The defences in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defences {
    left_out: u16,
}

impl Defences {
    /// All of them.
    pub(crate) const ALL: Defences = Defences { left_out: 0 };

    /// All but some.
    #[cfg(feature = "undefended")]
    pub(crate) fn without(left_out: &[Defence]) -> Self {
        Defences { left_out: left_out.iter().fold(0, |bits, d| bits | 1 << *d as u16) }
    }

    /// Whether a defence is in force.
    pub(crate) fn has(self, defence: Defence) -> bool {
        self.left_out & (1 << defence as u16) == 0
    }
}
