//! A model server on loopback that answers as it is told and counts what it was asked.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What the server does with a request.
#[derive(Clone)]
pub enum Answer {
    /// A chat completion with the text that a function makes of the last user message.
    Reply(fn(&str) -> String),
    /// A status with a body.
    Status(u16, &'static str),
    /// Keeps the connection open and says nothing until the client goes.
    Silence,
    /// As `Reply`, but of a hundred requests five each are refused as too many, break, get no answer, an answer that is
    /// none, half of one, or one in crumbs. Which ones is drawn from the message and how often it was asked. Errors
    /// repeat the key that came with the request.
    Faulty(fn(&str) -> String),
}

/// What a faulty server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    TooMany,
    Broken,
    Silent,
    Nonsense,
    Half,
    Crumbs,
}

/// The mishap of the n-th request with a message, from 1; none for most.
pub fn mishap(message: &str, nth: usize) -> Option<Mishap> {
    use Mishap::{Broken, Crumbs, Half, Nonsense, Silent, TooMany};
    let drawn = fapo_core::digest::number(&json!([message, nth])) % 100;
    [TooMany, Broken, Silent, Nonsense, Half, Crumbs].get(drawn as usize / 5).copied()
}

/// A request as it came.
#[derive(Clone)]
struct Request {
    head: String,
    bytes: Vec<u8>,
    /// Null where the bytes are no JSON.
    body: Value,
}

/// A running server; it stops when dropped.
pub struct FakeServer {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl FakeServer {
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, counted) = (answer.clone(), Arc::clone(&counted));
                if let Ok(stream) = stream {
                    std::thread::spawn(move || serve(stream, &answer, &counted));
                }
            }
        });
        FakeServer { port, seen, stop }
    }

    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// How often each last user message was asked.
    pub fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for (_, body) in self.seen() {
            *asked.entry(last_message(&body)).or_insert(0) += 1;
        }
        asked
    }

    /// Head and body of each request.
    pub fn seen(&self) -> Vec<(String, Value)> {
        self.requested().into_iter().map(|request| (request.head, request.body)).collect()
    }

    /// Bodies as they came.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.requested().into_iter().map(|request| request.bytes).collect()
    }

    fn requested(&self) -> Vec<Request> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// Requests in all.
    pub fn requests(&self) -> usize {
        self.seen().len()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener so that it sees the flag.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, seen: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let (mut length, mut head) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let bytes = body;
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let last = last_message(&body);
    let nth = {
        let mut seen = seen.lock().expect("not poisoned");
        seen.push(Request { head: head.clone(), bytes, body });
        seen.iter().filter(|request| last_message(&request.body) == last).count()
    };
    let mishap = if matches!(answer, Answer::Faulty(_)) { mishap(&last, nth) } else { None };
    // A careless service shows what it was sent.
    let error = || json!({"error": {"message": format!("try again; you sent {head}")}}).to_string();
    let (status, text) = match (answer, mishap) {
        (_, Some(Mishap::TooMany)) => (429, error()),
        (_, Some(Mishap::Broken)) => (500, error()),
        (_, Some(Mishap::Nonsense)) => (200, format!("<html>{head}</html>")),
        (Answer::Silence, _) | (_, Some(Mishap::Silent)) => {
            // Ends when the client has gone.
            let _ = reader.read(&mut [0; 1]);
            return;
        }
        (Answer::Status(status, body), _) => (*status, (*body).to_string()),
        (Answer::Reply(make) | Answer::Faulty(make), _) => (200, completion(&make(&last))),
    };
    let retry = if status == 429 { "retry-after-ms: 1\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{retry}content-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = match mishap {
        Some(Mishap::Half) => stream.write_all(&text.as_bytes()[..text.len() / 2]),
        Some(Mishap::Crumbs) => {
            text.as_bytes().chunks(3).try_for_each(|crumb| stream.write_all(crumb).and_then(|()| stream.flush()))
        }
        _ => stream.write_all(text.as_bytes()),
    };
}

/// A good answer.
fn completion(text: &str) -> String {
    let choice = json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}});
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12});
    json!({"id": "x", "object": "chat.completion", "model": "fake", "choices": [choice], "usage": usage}).to_string()
}

fn last_message(body: &Value) -> String {
    let messages = body["messages"].as_array();
    messages.and_then(|m| m.last()).and_then(|m| m["content"].as_str()).unwrap_or_default().to_string()
}
