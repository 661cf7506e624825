//! Requests to Amazon's services: a server that checks the signature of every request, as theirs does.

use crate::fake::{FakeServer, Request, replies};
use crate::routes::connect_with;
use fapo_core::fault::FaultKind;
use sha2::{Digest, Sha256};

const KEY_ID: &str = "akidexample";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is signed: method, path, query, headers in order, digest of the body; at a time, in a region, for a service.
struct Signed<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body_digest: &'a str,
    time: &'a str,
    region: &'a str,
    service: &'a str,
}

impl Signed<'_> {
    fn names(&self) -> String {
        self.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";")
    }

    fn signature(&self, secret: &str) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let Signed { method, path, query, body_digest, time, region, service, .. } = self;
        let canonical = format!("{method}\n{path}\n{query}\n{headers}\n{}\n{body_digest}", self.names());
        let (day, digest) = (&time[..8], hex(&Sha256::digest(canonical)));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{day}/{region}/{service}/aws4_request\n{digest}");
        let key = hmac(format!("AWS4{secret}").as_bytes(), day);
        let key = [*region, service, "aws4_request"].iter().fold(key, |key, part| hmac(&key, part));
        hex(&hmac(&key, &text))
    }
}

/// Amazon's published examples: two of its test suite, and the one of its documentation.
#[test]
fn the_check_agrees_with_the_published_vectors() {
    let empty = hex(&Sha256::digest(""));
    let suite = Signed {
        method: "GET",
        path: "/",
        query: "",
        headers: &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
        body_digest: &empty,
        time: "20150830T123600Z",
        region: "us-east-1",
        service: "service",
    };
    assert_eq!(suite.signature(SECRET), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    let post = Signed { method: "POST", ..suite };
    assert_eq!(post.signature(SECRET), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    let users = Signed {
        method: "GET",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: &[
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ],
        service: "iam",
        ..post
    };
    assert_eq!(users.signature(SECRET), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

/// Whether a request, as it came, is signed with the secret.
fn check(request: &Request) -> Result<(), String> {
    let header = |name: &str| {
        let found = request.headers.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.ok_or_else(|| format!("no header {name}: {}", request.headers))
    };
    let authorization = header("authorization")?;
    let part = |name: &str| {
        let rest = authorization.split_once(&format!("{name}=")).map(|(_, rest)| rest);
        rest.map(|rest| rest.split(',').next().unwrap_or(rest)).ok_or_else(|| format!("no {name}: {authorization}"))
    };
    let body_digest = header("x-amz-content-sha256")?;
    if body_digest != hex(&Sha256::digest(request.body.to_string())) {
        return Err("the digest is another body's".into());
    }
    // The fake server hands headers on in lower case.
    let time = header("x-amz-date")?.to_uppercase();
    let names = part("signedheaders")?;
    let headers: Result<Vec<(&str, &str)>, String> = names
        .split(';')
        .map(|name| Ok((name, if name == "x-amz-date" { time.as_str() } else { header(name)? })))
        .collect();
    let path = format!("/v1{}", request.path);
    let signed = Signed {
        method: "POST",
        path: &path,
        query: "",
        headers: &headers?,
        body_digest,
        time: &time,
        region: "eu-central-1",
        service: "sagemaker",
    };
    let scope = format!("{KEY_ID}/{}/eu-central-1/sagemaker/aws4_request", &time[..8]);
    match (part("credential")? == scope, part("signature")? == signed.signature(SECRET)) {
        (true, true) => Ok(()),
        (scope, signature) => Err(format!("scope {scope}, signature {signature}: {authorization}")),
    }
}

fn route(origin: &str) -> String {
    format!(
        "provider = \"sagemaker\"\nregion = \"eu-central-1\"\nmodel = \"my-endpoint\"\norigin = \"{origin}/invoke\""
    )
}

#[tokio::test]
async fn a_route_with_a_region_signs_each_request_and_sends_no_key() {
    let server = FakeServer::by(|_, _| replies("signed")).await;
    for token in [None, Some("a-session-token")] {
        let mut known = vec![("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET)];
        known.extend(token.map(|token| ("AWS_SESSION_TOKEN", token)));
        let provider = connect_with(&route(&server.origin), &known).expect("a good route");
        assert_eq!(provider.generate(&crate::fake::call("hi")).await.expect("a reply").text, "signed");
        let request = server.requests().pop().expect("a request");
        check(&request).expect("signed");
        assert!(!request.headers.contains("x-api-key"));
        assert_eq!(request.headers.contains("x-amz-security-token: a-session-token"), token.is_some());
        let mut forged = request;
        forged.body["messages"][0]["content"] = "another".into();
        assert!(check(&forged).is_err());
    }
}

#[tokio::test]
async fn credentials_come_from_the_users_profile_where_no_variable_has_them() {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".aws")).expect("made");
    let profile = format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n");
    std::fs::write(home.path().join(".aws/credentials"), profile).expect("written");
    let server = FakeServer::by(|_, _| replies("signed")).await;
    let known = [("HOME", home.path().to_str().expect("UTF-8"))];
    let provider = connect_with(&route(&server.origin), &known).expect("a good route");
    provider.generate(&crate::fake::call("hi")).await.expect("a reply");
    check(&server.requests()[0]).expect("signed");
}

#[tokio::test]
async fn without_credentials_nothing_is_sent_and_the_fault_says_so() {
    let server = FakeServer::with(vec![]).await;
    // The instance's own address must not be asked from a test.
    let known = [("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "no-such-folder")];
    let provider = connect_with(&route(&server.origin), &known).expect("a good route");
    let fault = crate::fake::service_fault(provider.generate(&crate::fake::call("hi")).await);
    assert_eq!(fault.kind, FaultKind::Unauthorized);
    assert!(fault.message.contains("cannot be signed"), "{}", fault.message);
    assert!(server.requests().is_empty());
}

#[test]
fn an_endpoint_has_an_address_of_its_own_and_wrong_routes_are_named() {
    let identity = |fields: &str| {
        let provider = connect_with(fields, &[]).unwrap_or_else(|error| panic!("{fields}: {error}"));
        provider.identity()["origin"].clone()
    };
    let whole = "https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/my-endpoint/invocations";
    let fields = "provider = \"sagemaker\"\nregion = \"eu-central-1\"\n";
    assert_eq!(identity(&format!("{fields}model = \"my-endpoint\"")), whole);
    for (rest, subject) in
        [("", "`model`"), ("model = \"../other\"", "`model`"), ("model = \"m\"\nkey_env = \"K\"", "`key_env`")]
    {
        let error = connect_with(&format!("{fields}{rest}"), &[("K", "k")]).err().expect("a wrong route");
        assert!(error.subject.contains(subject), "{error}");
    }
    let error = connect_with("provider = \"sagemaker\"\nregion = \"a.b\"\nmodel = \"m\"", &[]).err().expect("wrong");
    assert!(error.subject.contains("`region`"), "{error}");
}
