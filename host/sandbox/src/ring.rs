//! A bounded store of a guest's words: the newest stay, what was dropped is counted.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// Bytes kept of a guest's stdout and of its stderr.
const STREAM_BYTES_MAX: usize = 64 << 10;

/// What a guest wrote to one of its standard streams.
#[derive(Clone)]
pub(crate) struct StreamRing {
    kept: Arc<Mutex<Kept>>,
    bytes_max: usize,
}

#[derive(Default)]
struct Kept {
    bytes: VecDeque<u8>,
    lost: u64,
}

impl StreamRing {
    /// An empty ring; one that is not `bounded` keeps everything.
    pub(crate) fn new(bounded: bool) -> Self {
        StreamRing { kept: Arc::default(), bytes_max: if bounded { STREAM_BYTES_MAX } else { usize::MAX } }
    }

    /// Bytes that did not fit.
    pub(crate) fn lost(&self) -> u64 {
        self.lock().lost
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last `bytes` of what was written, lossily decoded, trimmed.
    pub(crate) fn tail(&self, bytes: usize) -> String {
        let kept = &self.lock().bytes;
        let skip = kept.len().saturating_sub(bytes);
        let tail: Vec<u8> = kept.iter().skip(skip).copied().collect();
        String::from_utf8_lossy(&tail).trim().to_string()
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.lock();
        let (newest, all) = (bytes.len().min(self.bytes_max), kept.bytes.len() + bytes.len());
        let over = all.saturating_sub(self.bytes_max);
        let gone = over - (bytes.len() - newest);
        kept.bytes.drain(..gone);
        kept.bytes.extend(&bytes[bytes.len() - newest..]);
        kept.lost += over as u64;
    }
}

impl IsTerminal for StreamRing {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StreamRing {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl wasmtime_wasi::p2::Pollable for StreamRing {
    async fn ready(&mut self) {}
}

impl wasmtime_wasi::p2::OutputStream for StreamRing {
    fn write(&mut self, bytes: bytes::Bytes) -> wasmtime_wasi::p2::StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> wasmtime_wasi::p2::StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> wasmtime_wasi::p2::StreamResult<usize> {
        Ok(STREAM_BYTES_MAX)
    }
}

impl AsyncWrite for StreamRing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Log lines of one case, oldest dropped first.
#[derive(Default)]
pub(crate) struct LogRing {
    lines: VecDeque<String>,
    bytes: usize,
    lost: u64,
}

impl LogRing {
    /// Keeps a line within `bytes_max` bytes of lines.
    pub(crate) fn push(&mut self, line: String, bytes_max: usize) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > bytes_max {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
            self.lost += 1;
        }
    }

    /// The kept lines and the number of lost ones.
    pub(crate) fn take(&mut self) -> (Vec<String>, u64) {
        self.bytes = 0;
        (std::mem::take(&mut self.lines).into(), std::mem::take(&mut self.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ring: &StreamRing) -> (usize, u64) {
        let kept = ring.lock();
        (kept.bytes.len(), kept.lost)
    }

    #[test]
    fn the_newest_words_stay() {
        let ring = StreamRing::new(true);
        ring.push(&vec![b'a'; STREAM_BYTES_MAX]);
        ring.push(b"the end");
        assert_eq!(ring.tail(9), "aathe end");
        assert_eq!(held(&ring), (STREAM_BYTES_MAX, 7));
        ring.push(&vec![b'b'; STREAM_BYTES_MAX + 3]);
        assert_eq!(held(&ring), (STREAM_BYTES_MAX, 10 + STREAM_BYTES_MAX as u64));
    }

    #[test]
    fn lost_lines_are_counted() {
        let mut log = LogRing::default();
        for i in 0..10 {
            log.push(format!("line {i}"), 14);
        }
        assert_eq!(log.take(), (vec!["line 8".to_string(), "line 9".to_string()], 8));
    }
}
