//! A service that answers as it is told, and a time that passes at once.

use fapo_core::fault::FaultKind;
use fapo_core::ports::{BoxFuture, ModelCall, ModelReply, Provider, ProviderError, ServiceFault};
use fapo_provider::{Api, OpenAi, OpenAiSettings, Sleeper};
use fapo_template::{Message, Role};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the service does with a request.
#[derive(Clone)]
pub(crate) enum Reaction {
    Answer {
        status: u16,
        headers: &'static str,
        body: String,
    },
    /// Never an answer.
    Silence,
    /// Half an answer.
    Cut,
    /// An answer without end.
    Endless,
}

/// An answer of JSON.
pub(crate) fn says(status: u16, body: Value) -> Reaction {
    Reaction::Answer { status, headers: "", body: body.to_string() }
}

/// An answer with header lines (each ends with a line break) and any body.
pub(crate) fn says_with(status: u16, headers: &'static str, body: &str) -> Reaction {
    Reaction::Answer { status, headers, body: body.to_owned() }
}

/// A good answer.
pub(crate) fn replies(text: &str) -> Reaction {
    says(200, json!({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}))
}

/// A request as it came.
#[derive(Clone)]
pub(crate) struct Request {
    /// Behind `/v1`.
    pub(crate) path: String,
    /// In lower case.
    pub(crate) headers: String,
    pub(crate) body: Value,
}

type Script = Box<dyn FnMut(usize, &Request) -> Reaction + Send>;

/// A service on loopback. It takes nothing but POSTs of JSON to one of the three interfaces, one a connection.
pub(crate) struct FakeServer {
    pub(crate) origin: String,
    served: Arc<Mutex<Served>>,
}

struct Served {
    script: Script,
    requests: Vec<Request>,
}

impl FakeServer {
    /// Reacts to the n-th request with the n-th reaction; later requests are refused.
    pub(crate) async fn with(reactions: Vec<Reaction>) -> Self {
        let none = says(400, json!({"error": "the fake server expected no further request"}));
        Self::by(move |n, _| reactions.get(n).unwrap_or(&none).clone()).await
    }

    pub(crate) async fn by(script: impl FnMut(usize, &Request) -> Reaction + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}/v1", listener.local_addr().expect("bound"));
        let served = Arc::new(Mutex::new(Served { script: Box::new(script), requests: Vec::new() }));
        let theirs = Arc::clone(&served);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&theirs)));
            }
        });
        FakeServer { origin, served }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.served.lock().expect("not poisoned").requests.clone()
    }
}

async fn serve(mut stream: TcpStream, served: Arc<Mutex<Served>>) -> Option<()> {
    let reaction = match read(&mut stream).await? {
        Ok(request) => {
            let mut served = served.lock().expect("not poisoned");
            served.requests.push(request.clone());
            let number = served.requests.len() - 1;
            (served.script)(number, &request)
        }
        Err(why) => says(400, json!({"error": format!("the fake server: {why}")})),
    };
    match reaction {
        Reaction::Answer { status, headers, body } => {
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
            stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).await.ok()?;
        }
        Reaction::Silence => {
            stream.read_u8().await.ok()?;
        }
        Reaction::Cut => stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{\"cho").await.ok()?,
        Reaction::Endless => {
            stream.write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n").await.ok()?;
            while stream.write_all(&[b' '; 1 << 16]).await.is_ok() {}
        }
    }
    stream.shutdown().await.ok()
}

/// A request, or what is wrong with it; none where the client left.
async fn read(stream: &mut TcpStream) -> Option<Result<Request, String>> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let (first, headers) = head.split_once("\r\n")?;
    let headers = headers.to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let path = first.strip_prefix("POST /v1").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    let Some(path @ ("/chat/completions" | "/messages" | "/invoke")) = path else {
        return Some(Err(format!("wrong request line {first}")));
    };
    if !headers.contains("content-type: application/json\r\n") {
        return Some(Err("wrong content type".to_owned()));
    }
    Some(
        serde_json::from_slice(&bytes[head_end..])
            .map(|body| Request { path: path.into(), headers, body })
            .map_err(|e| e.to_string()),
    )
}

/// Time that passes at once and remembers how long it would have taken.
#[derive(Default)]
pub(crate) struct FakeTime {
    slept: Mutex<Vec<Duration>>,
}

impl FakeTime {
    pub(crate) fn slept(&self) -> Vec<Duration> {
        self.slept.lock().expect("not poisoned").clone()
    }
}

impl Sleeper for FakeTime {
    /// 10:00 on 27 November 2026, a Friday, and what was slept since.
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_773_600) + self.slept().iter().sum::<Duration>()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<'_, ()> {
        self.slept.lock().expect("not poisoned").push(pause);
        Box::pin(std::future::ready(()))
    }
}

/// Plain settings of a route to `origin`.
pub(crate) fn settings(origin: &str) -> OpenAiSettings {
    OpenAiSettings {
        api: Api::ChatCompletions,
        origin: origin.to_owned(),
        key: None,
        key_env: None,
        model: "small".to_owned(),
        temperature: 0.0,
        top_p: None,
        output_tokens_max: 100,
        seed: Some(7),
        timeout: Duration::from_secs(60),
        retries_max: 3,
        retry_backoff: Duration::from_secs(1),
        aws: None,
        price: None,
        pace: fapo_provider::Pace::default(),
        jitter_seed: 0,
    }
}

/// A provider by these settings with a time of its own.
pub(crate) fn openai(settings: OpenAiSettings) -> (OpenAi, Arc<FakeTime>) {
    let time = Arc::new(FakeTime::default());
    (OpenAi::with_sleeper(settings, Arc::clone(&time) as Arc<dyn Sleeper>).expect("good settings"), time)
}

/// One call of a route with plain settings to a server with these reactions: what it came to, the requests, the pauses.
pub(crate) async fn ask(reactions: Vec<Reaction>) -> (Result<ModelReply, ProviderError>, usize, Vec<Duration>) {
    let server = FakeServer::with(reactions).await;
    let (provider, time) = openai(settings(&server.origin));
    let outcome = provider.generate(&call("hello")).await;
    (outcome, server.requests().len(), time.slept())
}

/// A call with one user message.
pub(crate) fn call(user: &str) -> ModelCall {
    ModelCall {
        tenant_id: "t".to_owned(),
        messages: vec![Message { role: Role::User, content: user.to_owned() }].into(),
        output_tokens_max: None,
        stop: vec![],
        sample: 0,
        held: fapo_core::held::Held::default(),
    }
}

/// The service's fault in an outcome.
#[track_caller]
pub(crate) fn service_fault(outcome: Result<ModelReply, ProviderError>) -> ServiceFault {
    match outcome {
        Err(ProviderError::Service(fault)) => fault,
        other => panic!("no fault of the service: {other:?}"),
    }
}

/// Its kind.
#[track_caller]
pub(crate) fn kind(outcome: Result<ModelReply, ProviderError>) -> FaultKind {
    service_fault(outcome).kind
}
