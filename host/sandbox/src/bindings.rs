//! The host's side of the contract, expanded once, over the world that holds every interface.

#![allow(clippy::all, missing_docs, unused_qualifications, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "everything",
    imports: { default: async | trappable },
    exports: { default: async },
    additional_derives: [PartialEq],
});
