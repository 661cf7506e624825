//! The host's side of the contract, expanded once, over the world that holds every interface.

#![expect(missing_docs, unreachable_pub, unused_qualifications, clippy::all, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "everything",
    imports: { default: async | trappable },
    exports: { default: async },
    additional_derives: [PartialEq],
});
