//! The bytes of a tenant's components, by what `tenant.toml` says of them.

use crate::guests::{self, Shipped};
use crate::place::{Place, read_bytes};
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::grants::OperatorFile;
use fapo_core::tenant::{COMPONENT_CRATE, COMPONENT_STOCK, TenantManifest};
use std::sync::Arc;

/// A component's bytes.
pub type Bytes = Arc<[u8]>;

/// Chain and scorer of a tenant; one file that is both is read once.
///
/// # Errors
/// A component is missing, leaves the tenant's folder, does not compile, or may not be compiled here.
pub fn both(
    place: &Place,
    operator: &OperatorFile,
    folder: &TenantFolder,
    manifest: &TenantManifest,
) -> Result<(Bytes, Bytes), InputError> {
    let chain = one(place, operator, folder, "chain", &manifest.chain.component)?;
    let scorer = if manifest.scorer == manifest.chain {
        Arc::clone(&chain)
    } else {
        one(place, operator, folder, "scorer", &manifest.scorer.component)?
    };
    Ok((chain, scorer))
}

/// The component that `[<role>] component` of a tenant names.
///
/// # Errors
/// As for [`both`].
pub fn one(
    place: &Place,
    operator: &OperatorFile,
    folder: &TenantFolder,
    role: &str,
    name: &str,
) -> Result<Bytes, InputError> {
    match name {
        COMPONENT_STOCK => Ok(guests::shipped(Shipped::Stock, &place.root, &place.work)?.into()),
        COMPONENT_CRATE => {
            operator.may_build(&place.operator.display().to_string(), folder.id())?;
            Ok(read_bytes(&guests::tenant_crate(&place.root, folder.id())?)?.into())
        }
        path if path.ends_with(".wasm") => Ok(folder.bytes(&format!("{role}.component"), path)?.into()),
        other => Err(InputError::new(
            format!("tenants/{}/tenant.toml, {role}.component", folder.id()),
            format!("{other:?} is none of \"stock\", \"crate\" and a .wasm file"),
        )
        .hint("name a built file such as tenants/<id>/chain.wasm, or \"stock\" for the built-in kinds and metrics")),
    }
}
