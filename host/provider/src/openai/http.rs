//! One POST and its whole answer, within a deadline and a size.

use super::aws::Signature;
use super::quota::Quotas;
use super::retry;
use super::settings::OpenAiSettings;
use bytes::Bytes;
use fapo_core::InputError;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use std::error::Error;
use std::time::{Duration, SystemTime};

/// No reply of a model comes near this.
pub(super) const ANSWER_BYTES_MAX: usize = 8 << 20;
/// A host that does not take the connection by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whatever the service said.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The pause it asks for.
    pub(super) retry_after: Option<Duration>,
    /// What it says is left.
    pub(super) quotas: Quotas,
    /// Where it points to.
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Why there is no whole answer.
pub(super) enum Trouble {
    TimedOut,
    Unreachable(String),
    Cut(String),
    /// It could not be signed.
    Unsigned(String),
    TooLarge,
}

/// Where to post, with what.
pub(super) struct Connection {
    client: Client,
    url: Url,
    key: Option<(HeaderName, HeaderValue)>,
    signature: Option<Signature>,
    further: Option<(HeaderName, HeaderValue)>,
    timeout: Duration,
}

impl Connection {
    pub(super) fn to(settings: &OpenAiSettings) -> Result<Self, InputError> {
        let url = settings.url()?;
        let key = settings.key.as_ref().map(|key| key_header(settings, key)).transpose()?;
        let further = settings.api.headers();
        let client = client(&url)?;
        let signature = settings.aws.as_ref().map(|aws| Signature::new(aws, client.clone()));
        Ok(Connection { client, url, key, signature, further, timeout: settings.timeout })
    }

    /// Posts `body`; `now` is for a `Retry-After` that names a date.
    pub(super) async fn post(&self, body: Bytes, now: SystemTime) -> Result<Answer, Trouble> {
        tokio::time::timeout(self.timeout, self.exchange(body, now)).await.unwrap_or(Err(Trouble::TimedOut))
    }

    async fn exchange(&self, body: Bytes, now: SystemTime) -> Result<Answer, Trouble> {
        let mut request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(signature) = &self.signature {
            // `headers` replaces those of the same name.
            request = request.headers(signature.headers(&self.url, &body).await.map_err(Trouble::Unsigned)?);
        }
        request = request.body(body);
        for (name, value) in self.key.iter().chain(&self.further) {
            request = request.header(name.clone(), value.clone());
        }
        let mut response = request.send().await.map_err(|error| Trouble::Unreachable(causes(&error.without_url())))?;
        let mut answer = Answer {
            status: response.status().as_u16(),
            retry_after: retry::asked(response.headers(), now),
            quotas: Quotas::seen(response.headers(), now),
            location: response.headers().get("location").map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned()),
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await.map_err(|error| Trouble::Cut(causes(&error.without_url())))? {
            if answer.body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Trouble::TooLarge);
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

fn key_header(settings: &OpenAiSettings, key: &SecretString) -> Result<(HeaderName, HeaderValue), InputError> {
    let (name, before) = settings.api.key_header();
    let mut value = HeaderValue::try_from(format!("{before}{}", key.expose_secret())).map_err(|_| {
        InputError::new("`key_env`", "the key holds characters that no key has")
            .hint("look for a line break at the end of the variable")
    })?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Gives the process the cryptography that its TLS connections need.
pub fn prepare_tls() {
    // It fails where the process has one already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client that goes where the operator said and nowhere else: redirects are not followed.
fn client(url: &Url) -> Result<Client, InputError> {
    prepare_tls();
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("fapo/", env!("CARGO_PKG_VERSION")));
    if is_loopback(url) {
        // A proxy of the environment cannot reach this machine's own servers.
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // The system's certificates are not needed, and a small container may have none.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| {
        InputError::new("`origin`", format!("no connection can be made: {}", causes(&error)))
            .hint("https needs the system's certificates: install its package ca-certificates")
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error with its causes in one line: reqwest's own words stop before the reason.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
