//! Requests that Amazon's services take: signed by Signature Version 4, with credentials of the chain that Amazon's
//! own tools use (variables, profile files, single sign-on, web identity, container, instance).

use fapo_core::digest;
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner};
use reqsign_core::{Context, Error, FileRead, Signer, StaticEnv};
use reqsign_http_send_reqwest::ReqwestHttpSend;
use reqwest::header::{HOST, HeaderMap};
use reqwest::{Client, Url};
use std::collections::HashMap;
use std::path::PathBuf;

/// Who signs. Printing it shows no secret.
#[derive(Clone, Default)]
pub struct Aws {
    /// Region of the service, for example `eu-central-1`.
    pub region: String,
    /// Home folder, which holds the profile files.
    pub home: Option<PathBuf>,
    /// Variables whose names begin with `AWS_`.
    pub variables: HashMap<String, String>,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws").field("region", &self.region).finish_non_exhaustive()
    }
}

/// Signs the requests of one route.
pub(super) struct Signature {
    signer: Signer<Credential>,
}

impl Signature {
    /// `client` fetches credentials where the chain needs it to.
    pub(super) fn new(aws: &Aws, client: Client) -> Self {
        let context = Context::new()
            .with_file_read(Files)
            .with_http_send(ReqwestHttpSend::new(client))
            .with_env(StaticEnv { home_dir: aws.home.clone(), envs: aws.variables.clone() });
        let signer = RequestSigner::new("sagemaker", &aws.region);
        Signature { signer: Signer::new(context, DefaultCredentialProvider::new(), signer) }
    }

    /// The headers of a POST of JSON with its signature. An error names no secret.
    pub(super) async fn headers(&self, url: &Url, body: &[u8]) -> Result<HeaderMap, String> {
        let digest = digest::of_bytes(body);
        let request = http::Request::post(url.as_str())
            .header("content-type", "application/json")
            .header("x-amz-content-sha256", &digest["sha256:".len()..])
            .body(())
            .map_err(|error| error.to_string())?;
        let mut parts = request.into_parts().0;
        self.signer.sign(&mut parts, None).await.map_err(|error| said(&error))?;
        // The client writes it itself.
        parts.headers.remove(HOST);
        Ok(parts.headers)
    }
}

fn said(error: &Error) -> String {
    format!("the request cannot be signed: {}", error.to_string().lines().next().unwrap_or_default())
}

/// Profile files as they are on the disk.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        std::fs::read(path).map_err(|error| Error::config_invalid(format!("{path} cannot be read")).with_source(error))
    }
}
