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
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    stop: Arc<AtomicBool>,
}

impl FakeServer {
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (asked, stop) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
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
        FakeServer { port, asked, stop }
    }

    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// How often each last user message was asked.
    pub fn asked(&self) -> BTreeMap<String, usize> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// Requests in all.
    pub fn requests(&self) -> usize {
        self.asked().values().sum()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener so that it sees the flag.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, asked: &Mutex<BTreeMap<String, usize>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut length = 0;
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
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let last = messages.last().and_then(|m| m["content"].as_str()).unwrap_or_default().to_string();
    *asked.lock().expect("not poisoned").entry(last.clone()).or_insert(0) += 1;
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
