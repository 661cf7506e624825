//! Every interface a role may import, linked to that role's state: what the state is decides what is answered.

use crate::bindings::fapo::tenant::{graph, judge_model, log, node_types, nodes, provider, retrieval, types};
use crate::virtual_wasi;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::WasiView;

/// A linker with the virtual WASI and the contract's host interfaces over the state `T`.
pub(crate) fn linker<T>(engine: &Engine) -> wasmtime::Result<Linker<T>>
where
    T: WasiView + provider::Host + retrieval::Host + nodes::Host + judge_model::Host + log::Host,
    T: types::Host + graph::Host + node_types::Host + 'static,
{
    let mut linker: Linker<T> = Linker::new(engine);
    virtual_wasi::add_to_linker(&mut linker)?;
    provider::add_to_linker::<_, HasSelf<T>>(&mut linker, |s| s)?;
    retrieval::add_to_linker::<_, HasSelf<T>>(&mut linker, |s| s)?;
    nodes::add_to_linker::<_, HasSelf<T>>(&mut linker, |s| s)?;
    judge_model::add_to_linker::<_, HasSelf<T>>(&mut linker, |s| s)?;
    log::add_to_linker::<_, HasSelf<T>>(&mut linker, |s| s)?;
    types::add_to_linker::<_, HasSelf<T>>(&mut linker, |s| s)?;
    graph::add_to_linker::<_, HasSelf<T>>(&mut linker, |s| s)?;
    node_types::add_to_linker::<_, HasSelf<T>>(&mut linker, |s| s)?;
    Ok(linker)
}
