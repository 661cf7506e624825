//! The response cache: what is equal, what is paid once, and what a file survives.

use crate::fake::call;
use fapo_core::ports::{BoxFuture, ContentFault, FinishReason, ModelCall, ModelReply, Provider, ProviderError, Usage};
use fapo_provider::{Cached, ResponseCache};
use fapo_template::{Message, Role};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts its calls; fails where a prompt says `fail`, else repeats it.
struct FakeProvider {
    identity: &'static str,
    calls: AtomicU32,
}

impl Provider for FakeProvider {
    fn identity(&self) -> Value {
        json!(self.identity)
    }

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            let text = call.messages[0].content.clone();
            if text == "fail" {
                return Err(ContentFault::ContextTooLong.into());
            }
            Ok(ModelReply {
                text: format!("re: {text}"),
                finish: FinishReason::Length,
                usage: Some(Usage { prompt_tokens: 1, completion_tokens: 2 }),
                model_served: Some("m".to_owned()),
                fingerprint: Some("f".to_owned()),
                cached: false,
                attempts: 3,
            })
        })
    }
}

fn fake(identity: &'static str) -> Arc<FakeProvider> {
    Arc::new(FakeProvider { identity, calls: AtomicU32::new(0) })
}

/// A fake behind a cache.
fn cached(cache: &Arc<ResponseCache>) -> (Cached, Arc<FakeProvider>) {
    let inner = fake("a");
    (Cached::new(Arc::clone(&inner) as Arc<dyn Provider>, Arc::clone(cache)), inner)
}

fn open(folder: &Path) -> Arc<ResponseCache> {
    Arc::new(ResponseCache::open(folder))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Whether `provider` has the reply already. Panics where it has a wrong one.
async fn has(provider: &Cached, user: &str) -> bool {
    let reply = provider.generate(&call(user)).await.expect("a reply");
    assert_eq!(reply.text, format!("re: {user}"));
    assert_eq!(reply.attempts, if reply.cached { 0 } else { 3 });
    reply.cached
}

#[tokio::test]
async fn an_equal_call_is_paid_once() {
    let (provider, inner) = cached(&Arc::new(ResponseCache::in_memory()));
    let first = provider.generate(&call("hi")).await.expect("a reply");
    assert_eq!((first.cached, first.attempts), (false, 3));
    let second = provider.generate(&call("hi")).await.expect("a reply");
    assert_eq!(second, ModelReply { cached: true, attempts: 0, ..first });
    assert_eq!(inner.calls.load(Ordering::Relaxed), 1);
    assert_eq!(provider.identity(), inner.identity());
}

#[tokio::test]
async fn calls_that_differ_in_anything_are_not_equal() {
    let cache = Arc::new(ResponseCache::in_memory());
    let (provider, inner) = cached(&cache);
    let system = Message { role: Role::System, content: "hi".to_owned() };
    let calls = [
        call("hi"),
        call("ho"),
        ModelCall { tenant_id: "other".to_owned(), ..call("hi") },
        ModelCall { messages: vec![system].into(), ..call("hi") },
        ModelCall { output_tokens_max: Some(1), ..call("hi") },
        ModelCall { stop: vec!["x".to_owned()], ..call("hi") },
        ModelCall { sample: 1, ..call("hi") },
    ];
    for call in &calls {
        assert!(!provider.generate(call).await.expect("a reply").cached, "{call:?}");
    }
    assert_eq!(inner.calls.load(Ordering::Relaxed), 7);
    let other = Cached::new(fake("b"), cache);
    assert!(!has(&other, "hi").await, "another route, another reply");
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let (provider, inner) = cached(&Arc::new(ResponseCache::in_memory()));
    for _ in 0..2 {
        assert_eq!(provider.generate(&call("fail")).await, Err(ContentFault::ContextTooLong.into()));
    }
    assert_eq!(inner.calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_calls_at_the_same_time_are_paid_once() {
    let folder = folder();
    let (provider, inner) = cached(&open(folder.path()));
    let provider = Arc::new(provider);
    for round in 0..50 {
        let user = format!("round {round}");
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (provider, call) = (Arc::clone(&provider), call(&user));
                tokio::spawn(async move { provider.generate(&call).await.expect("a reply") })
            })
            .collect();
        let mut paid = 0;
        for task in tasks {
            paid += u32::from(!task.await.expect("no panic").cached);
        }
        assert_eq!((paid, inner.calls.load(Ordering::Relaxed)), (1, round + 1));
    }
}

#[tokio::test]
async fn replies_outlive_the_process() {
    let folder = folder();
    let place = folder.path().join("made/where/missing");
    let (provider, _) = cached(&open(&place));
    for n in 0..500 {
        assert!(!has(&provider, &format!("{n}")).await);
    }
    drop(provider);
    let cache = open(&place);
    assert_eq!((cache.note(), cache.losses()), (None, None));
    let (provider, inner) = cached(&cache);
    for n in 0..500 {
        assert!(has(&provider, &format!("{n}")).await, "{n}");
    }
    assert_eq!(inner.calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_kept_stays_below_its_bound_and_is_what_came_last() {
    const BOUND: u64 = 4 << 20;
    let folder = folder();
    let bounded = || Arc::new(ResponseCache::open_within(folder.path(), BOUND));
    let text = |start: usize, n: usize| format!("{start} {n} {}", "long ".repeat(2_000));
    for start in 0..8 {
        let (provider, _) = cached(&bounded());
        for n in 0..60 {
            assert!(!has(&provider, &text(start, n)).await);
        }
    }
    let kept: u64 =
        std::fs::read_dir(folder.path()).expect("listed").flatten().map(|e| e.metadata().expect("there").len()).sum();
    assert!(kept <= 3 * BOUND, "{kept}");
    let (provider, _) = cached(&bounded());
    assert!(has(&provider, &text(7, 59)).await, "the last one");
    assert!(!has(&provider, &text(0, 0)).await, "the first one is forgotten");
}

#[cfg(unix)]
#[test]
fn folder_and_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let place = folder.path().join("cache");
    drop(open(&place));
    let mode = |path: &Path| std::fs::metadata(path).expect("made").permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    for name in ["replies.redb", "replies.1.log", "replies.2.log"] {
        assert_eq!(mode(&place.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_second_process_keeps_its_replies_in_memory() {
    let folder = folder();
    let first = open(folder.path());
    let second = open(folder.path());
    assert!(second.note().is_some_and(|note| note.contains("in use by another process")), "{:?}", second.note());
    let (provider, _) = cached(&second);
    assert!(!has(&provider, "hi").await && has(&provider, "hi").await);
    drop((first, provider, second));
    assert!(!has(&cached(&open(folder.path())).0, "hi").await, "it was in memory only");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_a_note() {
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("writable");
    let cache = open(&file.join("cache"));
    assert!(cache.note().is_some_and(|note| note.contains("cannot be used")), "{:?}", cache.note());
    assert!(!has(&cached(&cache).0, "hi").await && has(&cached(&cache).0, "hi").await);
}

#[tokio::test]
async fn a_log_that_cannot_be_used_is_a_note_that_says_what_to_do() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("replies.2.log")).expect("made");
    let cache = open(folder.path());
    let note = cache.note().expect("a note");
    assert!(note.contains("replies.*.log cannot be used") && note.contains("delete them"), "{note}");
    assert!(!has(&cached(&cache).0, "hi").await && has(&cached(&cache).0, "hi").await);
}

/// Bytes of a closed file that holds `hi` and 40 further replies.
async fn file_of_replies() -> Vec<u8> {
    let folder = folder();
    let (provider, _) = cached(&open(folder.path()));
    has(&provider, "hi").await;
    for n in 0..40 {
        has(&provider, &format!("{n} {}", "long ".repeat(200))).await;
    }
    drop(provider);
    std::fs::read(folder.path().join("replies.redb")).expect("the file")
}

#[tokio::test]
async fn a_file_that_is_no_cache_is_set_aside() {
    let good = file_of_replies().await;
    for bytes in [&b"not a database, but long enough to look like one. ".repeat(99)[..], b"x", &good[..good.len() / 2]]
    {
        let folder = folder();
        std::fs::write(folder.path().join("replies.redb"), bytes).expect("writable");
        let cache = open(folder.path());
        assert!(cache.note().is_some_and(|note| note.contains("damaged")), "{:?}", cache.note());
        assert_eq!(std::fs::read(folder.path().join("replies.redb.damaged")).expect("set aside").len(), bytes.len());
        assert!(!has(&cached(&cache).0, "hi").await && has(&cached(&cache).0, "hi").await);
        drop(cache);
        assert!(has(&cached(&open(folder.path())).0, "hi").await, "the new file is a good one");
    }
}

#[tokio::test]
async fn no_damaged_byte_leads_to_a_wrong_reply() {
    let good = file_of_replies().await;
    let replies = (0..good.len() - 6).filter(|at| &good[*at..*at + 6] == b"re: hi").map(|at| at + 4);
    // The reply itself, all of the header, and a byte of each stretch; those that no page uses change nothing.
    for at in replies.chain(0..400).chain((400..good.len()).step_by(3001)) {
        let folder = folder();
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        std::fs::write(folder.path().join("replies.redb"), &bytes).expect("writable");
        let (provider, _) = cached(&open(folder.path()));
        has(&provider, "hi").await;
        has(&provider, "new").await;
    }
}

const CHILD_FOLDER: &str = "FAPO_TEST_CACHE_FOLDER";

#[tokio::test]
#[ignore = "the process that the next test kills"]
async fn child_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else { return };
    let (provider, _) = cached(&open(Path::new(&folder)));
    for n in 0..100 {
        has(&provider, &format!("{n}")).await;
    }
    drop(provider);
    let (provider, _) = cached(&open(Path::new(&folder)));
    for n in 100.. {
        has(&provider, &format!("{n}")).await;
        // Ends where nobody listens any more.
        writeln!(std::io::stdout(), "kept {n}").expect("the parent listens");
    }
}

#[tokio::test]
async fn a_killed_process_loses_no_reply() {
    let folder = folder();
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["cache::child_that_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(CHILD_FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("itself again");
    // Open until the end, so that the child does not find out and clean up.
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let kept = lines.by_ref().map_while(Result::ok).filter(|line| line.contains("kept ")).take(1000).count();
    let note = open(folder.path()).note().map(str::to_owned);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(kept, 1000);
    assert!(note.is_some_and(|note| note.contains("in use by another process")));
    let cache = open(folder.path());
    assert_eq!(cache.note(), None);
    let (provider, _) = cached(&cache);
    for n in 0..1100 {
        assert!(has(&provider, &format!("{n}")).await, "{n} was kept");
    }
    drop((provider, cache));
    assert!(has(&cached(&open(folder.path())).0, "1099").await, "and committed by the start that found it");
}
