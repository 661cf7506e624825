//! The contract in `wit/`, expanded once per exported interface.
//!
//! Not per world: `scorer-component` and `judge-component` both export `scorer`, and two expansions of one interface
//! collide in a crate. The modules share their types, so one conversion serves all.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

pub mod chain {
    wit_bindgen::generate!({
        path: "../wit",
        world: "chain-component",
        runtime_path: "fapo_tenant_sdk::wit_bindgen::rt",
        default_bindings_module: "fapo_tenant_sdk::bindings::chain",
        export_macro_name: "export_chain_component",
        pub_export_macro: true,
    });
}

pub mod node {
    wit_bindgen::generate!({
        path: "../wit",
        world: "node-component",
        runtime_path: "fapo_tenant_sdk::wit_bindgen::rt",
        default_bindings_module: "fapo_tenant_sdk::bindings::node",
        export_macro_name: "export_node_component",
        pub_export_macro: true,
        with: {
            "fapo:tenant/types@0.1.0": crate::bindings::chain::fapo::tenant::types,
            "fapo:tenant/node-types@0.1.0": crate::bindings::chain::fapo::tenant::node_types,
            "fapo:tenant/provider@0.1.0": crate::bindings::chain::fapo::tenant::provider,
            "fapo:tenant/retrieval@0.1.0": crate::bindings::chain::fapo::tenant::retrieval,
            "fapo:tenant/log@0.1.0": crate::bindings::chain::fapo::tenant::log,
        },
    });
}

pub mod scorer {
    wit_bindgen::generate!({
        path: "../wit",
        world: "judge-component",
        runtime_path: "fapo_tenant_sdk::wit_bindgen::rt",
        default_bindings_module: "fapo_tenant_sdk::bindings::scorer",
        export_macro_name: "export_scorer_component",
        pub_export_macro: true,
        with: {
            "fapo:tenant/types@0.1.0": crate::bindings::chain::fapo::tenant::types,
            "fapo:tenant/log@0.1.0": crate::bindings::chain::fapo::tenant::log,
        },
    });
}

pub mod converter {
    wit_bindgen::generate!({
        path: "../wit",
        world: "converter-component",
        runtime_path: "fapo_tenant_sdk::wit_bindgen::rt",
        default_bindings_module: "fapo_tenant_sdk::bindings::converter",
        export_macro_name: "export_converter_component",
        pub_export_macro: true,
        with: {
            "fapo:tenant/log@0.1.0": crate::bindings::chain::fapo::tenant::log,
        },
    });
}
