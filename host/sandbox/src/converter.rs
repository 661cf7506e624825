//! The converter role: a publisher's files in, rows of cases and passages out, once, when somebody imports them.
//!
//! Its store is a scorer's without a judge: what it holds can reach nothing.

use crate::base::Base;
use crate::bindings::exports::fapo::tenant::converter::{self, Guest, GuestIndices};
use crate::engine::Inner;
use crate::link::linker;
use crate::load::ComponentInfo;
use crate::scorer::{ScorerState, short};
use crate::stop;
use fapo_core::fault::{Fault, FaultKind, Phase};
use fapo_core::limits::Limits;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

/// A part of the rows counts as so many bytes at least: parts of nothing come to an end as well.
const PART_BYTES_MIN: usize = 1 << 10;

/// A compiled converter, linked once, instantiated per set of files.
#[derive(Clone)]
pub struct ConverterComponent {
    inner: Arc<Inner>,
    pre: InstancePre<ScorerState>,
    indices: Arc<GuestIndices>,
    info: Arc<ComponentInfo>,
    limits: Limits,
}

/// What a converter says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConverterDescription {
    /// What it reads and what its splits follow, for people; text of the tenant.
    pub reads: String,
    /// Names and sha256 of files whose bytes are known.
    pub known: Vec<(String, String)>,
}

/// Where rows of a converter belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Cases to learn from.
    Train,
    /// Cases to choose by.
    Validation,
    /// Cases to report.
    Test,
    /// All cases in the order of the files.
    All,
    /// Passages.
    Corpus,
}

/// A converter at work on one set of files, in an instance of its own.
pub struct Conversion {
    store: Store<ScorerState>,
    guest: Guest,
    /// Bytes of rows that may still come.
    bytes_left: u64,
    bytes_max: u64,
    _slot: OwnedSemaphorePermit,
}

impl ConverterComponent {
    pub(crate) fn new(
        inner: Arc<Inner>,
        component: &Component,
        info: ComponentInfo,
        limits: Limits,
    ) -> wasmtime::Result<Self> {
        let pre = linker(&inner.engine)?.instantiate_pre(component)?;
        let indices = GuestIndices::new(&pre)?;
        Ok(ConverterComponent { inner, pre, indices: Arc::new(indices), info: Arc::new(info), limits })
    }

    /// What the component says of itself.
    pub fn info(&self) -> &ComponentInfo {
        &self.info
    }

    /// Begins with a set of files. Memory is held to `import_memory_bytes`, fuel counts for each piece anew.
    ///
    /// # Errors
    /// The component traps or passes a limit.
    pub async fn begin(&self) -> Result<Conversion, Fault> {
        let slot = self.inner.slot().await.map_err(|e| host_fault(&e))?;
        let limits = Limits { memory_bytes: self.limits.import_memory_bytes, ..self.limits };
        let state = ScorerState::without_judge(Base::new("convert", limits, self.inner.defences));
        let mut store = self.inner.store(state).map_err(|e| host_fault(&e))?;
        let opened = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            self.indices.load(&mut store, &instance)
        };
        let bytes_max = self.limits.import_bytes;
        match opened.await {
            Ok(guest) => Ok(Conversion { store, guest, bytes_left: bytes_max, bytes_max, _slot: slot }),
            Err(e) => Err(stop::fault(Phase::Scorer, &e, &store.data().base)),
        }
    }
}

impl Conversion {
    /// What the converter says of itself.
    ///
    /// # Errors
    /// It traps or passes a limit.
    pub async fn describe(&mut self) -> Result<ConverterDescription, Fault> {
        self.rearm();
        let said = self.guest.call_describe(&mut self.store).await;
        let described = said.map_err(|e| self.fault(&e))?;
        let known = described.known.into_iter().map(|file| (file.name, file.sha256)).collect();
        Ok(ConverterDescription { reads: short(described.reads), known })
    }

    /// Gives it the next piece of a file, `last` with the last one. The inner error is the converter's own, about the
    /// file.
    ///
    /// # Errors
    /// It traps or passes a limit.
    pub async fn read(&mut self, file: &str, bytes: &[u8], last: bool) -> Result<Result<(), String>, Fault> {
        self.rearm();
        let read = self.guest.call_read(&mut self.store, file, bytes, last).await;
        Ok(read.map_err(|e| self.fault(&e))?.map_err(short))
    }

    /// After the last file; with `splits` the cases come in the splits of the publication.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn finish(&mut self, splits: bool) -> Result<Result<(), String>, Fault> {
        self.rearm();
        let finished = self.guest.call_finish(&mut self.store, splits).await;
        Ok(finished.map_err(|e| self.fault(&e))?.map_err(short))
    }

    /// Rows that were made and not yet taken, as lines of JSON that nobody has checked.
    ///
    /// # Errors
    /// It traps or passes a limit, `import_bytes` among them.
    pub async fn take(&mut self) -> Result<Option<(Target, String)>, Fault> {
        self.rearm();
        let taken = self.guest.call_take(&mut self.store).await;
        let Some(rows) = taken.map_err(|e| self.fault(&e))? else { return Ok(None) };
        let Some(left) = self.bytes_left.checked_sub(rows.lines.len().max(PART_BYTES_MIN) as u64) else {
            let message = format!("limit import_bytes passed: more than {} bytes of rows", self.bytes_max);
            return Err(Fault::new(Phase::Scorer, FaultKind::LimitExceeded, message)
                .hint("import fewer files at one time, or raise the limit under [limits] of the operator's file"));
        };
        self.bytes_left = left;
        let target = match rows.target {
            converter::Target::Train => Target::Train,
            converter::Target::Validation => Target::Validation,
            converter::Target::Test => Target::Test,
            converter::Target::All => Target::All,
            converter::Target::Corpus => Target::Corpus,
        };
        Ok(Some((target, rows.lines)))
    }

    /// Fuel and time for one more call.
    fn rearm(&mut self) {
        let base = &mut self.store.data_mut().base;
        base.ticks = 0;
        let fuel = base.fuel_units();
        let _ = self.store.set_fuel(fuel);
    }

    fn fault(&self, e: &wasmtime::Error) -> Fault {
        let fault = stop::fault(Phase::Scorer, e, &self.store.data().base);
        // In this role the memory is bounded under another name.
        Fault { message: fault.message.replacen("limit memory_bytes", "limit import_memory_bytes", 1), ..fault }
    }
}

fn host_fault(e: &wasmtime::Error) -> Fault {
    Fault::new(Phase::Host, FaultKind::Internal, format!("{e:#}"))
}
