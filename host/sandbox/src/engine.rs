//! The engine every component shares: its configuration, its slots, its clock of epochs.

use crate::base::HasBase;
use crate::cache::CompiledCache;
use crate::chain::ChainComponent;
use crate::compile::CompileLimits;
use crate::converter::ConverterComponent;
use crate::defence::{Defence, Defences};
use crate::load::{self, ComponentInfo, LoadError, Role};
use crate::node::{NodeComponent, NodeMay};
use crate::scorer::ScorerComponent;
use crate::stop::CallTooLong;
use fapo_core::limits::Limits;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, UpdateDeadline,
    WasmBacktraceDetails,
};

/// Time between two epoch ticks: how long a guest may run before it yields to others.
const EPOCH_TICK_MS: u64 = 10;
/// Stack of one guest.
const WASM_STACK_BYTES: usize = 512 << 10;
/// Host stack under an async guest call.
const ASYNC_STACK_BYTES: usize = 1 << 20;
/// Address space of one linear memory: the largest `memory_bytes` an operator can set.
const MEMORY_RESERVATION_BYTES: u64 = 256 << 20;
/// Canonical-ABI fuel of one host call: bounds what one call can make the host allocate.
const HOSTCALL_FUEL: usize = 4 << 20;

/// Of a place's dirty pages, so many bytes are put back by copying and stay; the rest is given back to the system. A
/// page that stays costs the next case no fault: measured, a third of a fresh sandbox.
const KEPT_MEMORY_BYTES: usize = 1 << 20;
/// The same for its tables.
const KEPT_TABLE_BYTES: usize = 256 << 10;

/// Core instances of one component. The pool has as many for each slot: a guest in Python needs dozens, and a slot
/// that is free must be enough to run in.
const CORE_INSTANCES_MAX: u32 = 64;
/// Tables of one component, counted alike.
const TABLES_MAX: u32 = 16;

/// Most instances at one time: their address space is some nine terabytes of the 128 that a process has.
const INSTANCES_MAX: u32 = 16_384;

/// How a sandbox is set up.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Instances at one time, 1..=16384; more wait for a slot.
    pub instances_max: u32,
    /// Instances of node components at one time, beside those of the chains that call them.
    pub nodes_max: u32,
    /// Folder of compiled code; made where missing.
    pub compiled_cache: PathBuf,
    /// Program that compiles in a process of its own, called with [`COMPILE_COMMAND`](crate::COMPILE_COMMAND); none
    /// compiles in this process, which is for components one trusts.
    pub compiler: Option<PathBuf>,
}

/// Why a component cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The file is refused before it is compiled.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It lacks the role that is needed.
    #[error("exports {}, not {}", .has.join(" and "), .needed.name())]
    Role {
        /// What it exports.
        has: Vec<&'static str>,
        /// What was needed.
        needed: Role,
    },
    /// The compiler or linker refused it.
    #[error("cannot be compiled or linked: {0}")]
    Compile(String),
    /// The engine or its cache cannot be set up.
    #[error("the sandbox cannot be set up: {0}")]
    SetUp(String),
}

impl SandboxError {
    /// How to mend it, where we know.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SandboxError::Load(load) => Some(load.hint()),
            SandboxError::Role { .. } => {
                Some("name the right component in tenant.toml, or export the role from this one")
            }
            SandboxError::Compile(_) => {
                Some("rebuild it with the SDK that belongs to this program (`fapo tenant build`)")
            }
            SandboxError::SetUp(_) => None,
        }
    }
}

/// One engine for all components of a process.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    slots: Arc<Semaphore>,
    /// Places for node components: a chain that waits for one holds a place of its own, so they are not the same.
    node_slots: Arc<Semaphore>,
    cache: CompiledCache,
    /// The component that was made ready last, by its digest: roles of one component share code and images of memory.
    recent: Mutex<Option<(String, Component)>>,
    compiler: Option<PathBuf>,
    pub(crate) defences: Defences,
    stop: Arc<AtomicBool>,
    _ticker: Option<mpsc::Sender<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Sandbox {
    /// Sets up the engine and its pool.
    ///
    /// # Errors
    /// The platform cannot give the address space, or the cache folder is not private.
    pub fn new(settings: &SandboxSettings) -> Result<Self, SandboxError> {
        Self::with(settings, Defences::ALL)
    }

    /// A sandbox that lacks some defences, to show what they are for. Never for a component one does not trust.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    #[cfg(feature = "undefended")]
    pub fn without(settings: &SandboxSettings, left_out: &[Defence]) -> Result<Self, SandboxError> {
        Self::with(settings, Defences::without(left_out))
    }

    fn with(settings: &SandboxSettings, defences: Defences) -> Result<Self, SandboxError> {
        let instances = settings.instances_max.clamp(1, INSTANCES_MAX);
        let nodes = settings.nodes_max.clamp(1, INSTANCES_MAX);
        let engine = Engine::new(&config(instances + nodes)).map_err(|e| SandboxError::SetUp(format!("{e:#}")))?;
        let cache = CompiledCache::open(&settings.compiled_cache).map_err(|e| SandboxError::SetUp(e.to_string()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (alive, ended) = mpsc::channel::<()>();
        let (ticked, stopped) = (engine.weak(), Arc::clone(&stop));
        std::thread::Builder::new()
            .name("fapo-epoch".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let waited = ended.recv_timeout(Duration::from_millis(EPOCH_TICK_MS));
                    if waited == Err(mpsc::RecvTimeoutError::Disconnected) {
                        return;
                    }
                    match ticked.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            })
            .map_err(|e| SandboxError::SetUp(e.to_string()))?;
        let slots = Arc::new(Semaphore::new(instances as usize));
        let compiler = settings.compiler.clone();
        let node_slots = Arc::new(Semaphore::new(nodes as usize));
        let recent = Mutex::default();
        let inner = Inner { engine, slots, node_slots, cache, recent, compiler, defences, stop, _ticker: Some(alive) };
        Ok(Sandbox { inner: Arc::new(inner) })
    }

    /// Places in the pool that are free now.
    pub fn slots_free(&self) -> usize {
        self.inner.slots.available_permits()
    }

    /// Checks and compiles a component for its `chain` role.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub async fn chain(&self, bytes: Arc<[u8]>, limits: Limits) -> Result<ChainComponent, SandboxError> {
        let (info, component) = self.compile(bytes, limits, Role::Chain).await?;
        ChainComponent::new(Arc::clone(&self.inner), &component, info, limits)
            .map_err(|e| SandboxError::Compile(format!("{e:#}")))
    }

    /// Checks and compiles a component for its `scorer` role.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub async fn scorer(&self, bytes: Arc<[u8]>, limits: Limits) -> Result<ScorerComponent, SandboxError> {
        let (info, component) = self.compile(bytes, limits, Role::Scorer).await?;
        ScorerComponent::new(Arc::clone(&self.inner), &component, info, limits)
            .map_err(|e| SandboxError::Compile(format!("{e:#}")))
    }

    /// Checks and compiles a component for its `node` role; `may` is what it can call.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub async fn node(&self, bytes: Arc<[u8]>, limits: Limits, may: NodeMay) -> Result<NodeComponent, SandboxError> {
        let (info, component) = self.compile(bytes, limits, Role::Node).await?;
        NodeComponent::new(Arc::clone(&self.inner), &component, info, limits, may)
            .map_err(|e| SandboxError::Compile(format!("{e:#}")))
    }

    /// Checks and compiles a component for its `converter` role.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub async fn converter(&self, bytes: Arc<[u8]>, limits: Limits) -> Result<ConverterComponent, SandboxError> {
        let (info, component) = self.compile(bytes, limits, Role::Converter).await?;
        ConverterComponent::new(Arc::clone(&self.inner), &component, info, limits)
            .map_err(|e| SandboxError::Compile(format!("{e:#}")))
    }

    async fn compile(
        &self,
        bytes: Arc<[u8]>,
        limits: Limits,
        needed: Role,
    ) -> Result<(ComponentInfo, Component), SandboxError> {
        let info = load::inspect(&bytes, limits.component_bytes)?;
        if !info.roles.contains(&needed) {
            return Err(SandboxError::Role { has: info.roles.iter().map(|r| r.name()).collect(), needed });
        }
        let (inner, digest) = (Arc::clone(&self.inner), info.digest.clone());
        let compile =
            CompileLimits { cpu_seconds: limits.compile_cpu_seconds, memory_bytes: limits.compile_memory_bytes };
        let compiled = tokio::task::spawn_blocking(move || inner.component(&digest, &bytes, compile)).await;
        match compiled {
            Ok(Ok(component)) => Ok((info, component)),
            Ok(Err(e)) => Err(SandboxError::Compile(format!("{e:#}"))),
            Err(e) => Err(SandboxError::Compile(e.to_string())),
        }
    }
}

impl Inner {
    fn component(&self, digest: &str, bytes: &[u8], limits: CompileLimits) -> wasmtime::Result<Component> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, component)) = recent().as_ref().filter(|(of, _)| of == digest) {
            return Ok(component.clone());
        }
        let component = self.cache.component(&self.engine, digest, bytes, self.compiler.as_deref(), limits)?;
        *recent() = Some((digest.to_owned(), component.clone()));
        Ok(component)
    }

    /// A slot of the pool; waits where all are taken. Released when dropped.
    pub(crate) async fn slot(&self) -> Result<OwnedSemaphorePermit, wasmtime::Error> {
        Arc::clone(&self.slots).acquire_owned().await.map_err(wasmtime::Error::new)
    }

    /// As [`slot`](Self::slot), for a node component.
    pub(crate) async fn node_slot(&self) -> Result<OwnedSemaphorePermit, wasmtime::Error> {
        Arc::clone(&self.node_slots).acquire_owned().await.map_err(wasmtime::Error::new)
    }

    /// A fresh store with every limit armed before anything is instantiated.
    pub(crate) fn store<T: HasBase>(&self, state: T) -> wasmtime::Result<Store<T>> {
        let mut store = Store::new(&self.engine, state);
        let (fuel, call_wall_ms, handles) = {
            let base = store.data_mut().base();
            (base.fuel_units(), base.limits.call_wall_ms, base.handles_max())
        };
        store.set_max_component_handles(handles);
        store.limiter(|state| state.base());
        store.set_fuel(fuel)?;
        store.set_hostcall_fuel(if self.defences.has(Defence::CallFuel) { HOSTCALL_FUEL } else { usize::MAX });
        store.set_epoch_deadline(1);
        // Ticks pass only while the guest runs: what it waits for in the host is not charged.
        store.epoch_deadline_callback(move |mut context| {
            let base = context.data_mut().base();
            base.ticks += 1;
            if base.ticks * EPOCH_TICK_MS > call_wall_ms {
                return Err(wasmtime::Error::new(CallTooLong(call_wall_ms)));
            }
            Ok(UpdateDeadline::Yield(1))
        });
        Ok(store)
    }
}

/// The pool has no more places than can be taken: each thread takes fresh ones for as long as there are some, and a
/// place that was taken once keeps its memory.
fn config(instances: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_MAX)
        .total_memories(instances)
        .total_tables(instances * TABLES_MAX)
        .total_stacks(instances + 64)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_MAX)
        .max_memory_size(MEMORY_RESERVATION_BYTES as usize)
        .table_elements(200_000)
        .linear_memory_keep_resident(KEPT_MEMORY_BYTES)
        .table_keep_resident(KEPT_TABLE_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = compiler_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// What compiled code depends on; the pool is not part of it.
pub(crate) fn compiler_config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES)
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_guard_size(64 << 10)
        .memory_init_cow(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_threads(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hash, Hasher};

    #[test]
    fn code_compiled_apart_fits_the_engine_that_runs_it() {
        let hash = |config: &Config| {
            let mut hasher = DefaultHasher::new();
            Engine::new(config).expect("an engine").precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&config(2)), hash(&compiler_config()));
    }
}
