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
}

/// A running server; it stops when dropped.
pub struct FakeServer {
    port: u16,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
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

fn serve(mut stream: TcpStream, answer: &Answer, seen: &Mutex<Vec<(String, Value)>>) {
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
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let last = last_message(&body);
    seen.lock().expect("not poisoned").push((head, body));
    let (status, text) = match answer {
        Answer::Reply(make) => {
            let choice =
                json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": make(&last)}});
            let usage = json!({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12});
            (
                200,
                json!({"id": "x", "object": "chat.completion", "model": "fake", "choices": [choice], "usage": usage})
                    .to_string(),
            )
        }
        Answer::Status(status, body) => (*status, (*body).to_string()),
        Answer::Silence => {
            // Ends when the client has gone.
            let _ = reader.read(&mut [0; 1]);
            return;
        }
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
}

fn last_message(body: &Value) -> String {
    let messages = body["messages"].as_array();
    messages.and_then(|m| m.last()).and_then(|m| m["content"].as_str()).unwrap_or_default().to_string()
}
