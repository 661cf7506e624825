//! A llama on the CPU: the forward pass over plain numbers, and the keys and values of the tokens before.
//!
//! Weights are requantised to eight bits when they are loaded, whatever type the file has. Sequences that run side by
//! side share the reading of the weights and nothing else: equal prompts give equal replies bit for bit.

use super::matrix::{Activations, Matrix};
use super::vectors::{attend, gate, normed, rotated};
use candle_core::quantized::gguf_file;
use candle_core::{Device, Error, Result};
use std::io::{Read, Seek};

/// Most tokens of prompt and reply together, where the file allows more: what the working memory is planned for.
const CONTEXT_TOKENS_MAX: usize = 4096;

/// What the weights are made into, for the identity of a reply.
pub(super) const REQUANTISED: &str = "q8";

/// A loaded model.
pub(super) struct Llama {
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// None where the embedding serves both ends.
    output: Option<Matrix>,
    shape: Shape,
    /// Cosine and sine of each position's angles, half a head of them a position.
    turns: Vec<(f32, f32)>,
}

/// What the numbers of a model are arranged in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Heads that ask.
    pub(super) heads: usize,
    /// Heads that are asked; several askers share one.
    pub(super) kv_heads: usize,
    /// Numbers of a head.
    pub(super) head: usize,
    /// Most tokens.
    pub(super) context: usize,
    pub(super) epsilon: f32,
}

struct Layer {
    attn_norm: Vec<f32>,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    o: Matrix,
    ffn_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// Keys and values of the tokens so far.
#[derive(Clone, Default)]
pub(super) struct Cache {
    tokens: usize,
    /// By layer: keys and values, a row a token.
    layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Llama {
    /// Reads a GGUF file of the architecture `llama`.
    pub(super) fn read(file: &mut (impl Read + Seek)) -> Result<Self> {
        let content = gguf_file::Content::read(file)?;
        let mut source = Source { content, file };
        let (heads, kv_heads) = (source.number("attention.head_count")?, source.number("attention.head_count_kv")?);
        let (hidden, layers) = (source.number("embedding_length")?, source.number("block_count")?);
        if heads == 0 || kv_heads == 0 || heads % kv_heads != 0 || hidden % heads != 0 || (hidden / heads) % 2 != 0 {
            return Err(Error::Msg(format!("{heads} heads over {kv_heads} of {hidden} do not fit together")));
        }
        let context = source.number("context_length")?.min(CONTEXT_TOKENS_MAX);
        let epsilon = source.real("attention.layer_norm_rms_epsilon")? as f32;
        let shape = Shape { heads, kv_heads, head: hidden / heads, context, epsilon };
        let base = source.real("rope.freq_base").unwrap_or(10_000.0);
        let ffn = source.number("feed_forward_length")?;
        let kv = shape.head * kv_heads;
        let embedding = source.matrix("token_embd.weight", None, hidden)?;
        // Where there is no output of its own, the embedding serves both ends. One that cannot be read is an error.
        let output = match source.content.tensor_infos.contains_key("output.weight") {
            true => Some(source.matrix("output.weight", Some(embedding.rows()), hidden)?),
            false => None,
        };
        // No room is made ahead: the count is the file's word.
        let mut blocks = Vec::new();
        for at in 0..layers {
            let name = |name: &str| format!("blk.{at}.{name}.weight");
            blocks.push(Layer {
                attn_norm: source.vector(&name("attn_norm"), hidden)?,
                q: source.matrix(&name("attn_q"), Some(hidden), hidden)?,
                k: source.matrix(&name("attn_k"), Some(kv), hidden)?,
                v: source.matrix(&name("attn_v"), Some(kv), hidden)?,
                o: source.matrix(&name("attn_output"), Some(hidden), hidden)?,
                ffn_norm: source.vector(&name("ffn_norm"), hidden)?,
                gate: source.matrix(&name("ffn_gate"), Some(ffn), hidden)?,
                up: source.matrix(&name("ffn_up"), Some(ffn), hidden)?,
                down: source.matrix(&name("ffn_down"), Some(hidden), ffn)?,
            });
        }
        let norm = source.vector("output_norm.weight", hidden)?;
        Ok(Llama { embedding, layers: blocks, norm, output, shape, turns: turns(shape, base) })
    }

    /// Most tokens of prompt and reply together.
    pub(super) fn context(&self) -> usize {
        self.shape.context
    }

    /// Runs further tokens of some sequences, at least one of each, after those of its cache; for each sequence the
    /// scores of the token that follows.
    ///
    /// Weights are read once for all of them; no number of one depends on another.
    pub(super) fn forward(&self, sequences: &mut [(&[u32], &mut Cache)]) -> Result<Vec<Vec<f32>>> {
        let shape = self.shape;
        let hidden = self.embedding.columns();
        let mut x = Vec::new();
        for token in sequences.iter().flat_map(|(tokens, _)| *tokens) {
            let row = *token as usize;
            if row >= self.embedding.rows() {
                return Err(Error::Msg(format!("the model has no token {token}")));
            }
            x.extend(self.embedding.row(row));
        }
        for (at, layer) in self.layers.iter().enumerate() {
            let ready = Activations::quantised(&normed(&x, &layer.attn_norm, shape.epsilon), hidden);
            let (q, k, v) = (layer.q.times(&ready), layer.k.times(&ready), layer.v.times(&ready));
            let mixed = self.attended(at, sequences, q, k, &v);
            add(&mut x, &layer.o.times(&Activations::quantised(&mixed, hidden)));
            let ready = Activations::quantised(&normed(&x, &layer.ffn_norm, shape.epsilon), hidden);
            let mut gated = layer.gate.times(&ready);
            gate(&mut gated, &layer.up.times(&ready));
            add(&mut x, &layer.down.times(&Activations::quantised(&gated, layer.down.columns())));
        }
        let mut last = Vec::with_capacity(sequences.len() * hidden);
        let mut end = 0;
        for (tokens, cache) in sequences.iter_mut() {
            cache.tokens += tokens.len();
            end += tokens.len() * hidden;
            last.extend(normed(&x[end - hidden..end], &self.norm, shape.epsilon));
        }
        let scores = self.output.as_ref().unwrap_or(&self.embedding).times(&Activations::quantised(&last, hidden));
        Ok(scores.chunks_exact(scores.len() / sequences.len()).map(<[f32]>::to_vec).collect())
    }

    /// Attention of one layer: each sequence by itself, its keys and values kept in its cache.
    fn attended(
        &self,
        layer: usize,
        sequences: &mut [(&[u32], &mut Cache)],
        mut q: Vec<f32>,
        mut k: Vec<f32>,
        v: &[f32],
    ) -> Vec<f32> {
        let shape = self.shape;
        let (width, kv_width) = (shape.heads * shape.head, shape.kv_heads * shape.head);
        let mut mixed = Vec::with_capacity(q.len());
        let mut first = 0;
        for (tokens, cache) in sequences {
            let end = first + tokens.len();
            let turns = &self.turns[cache.tokens * shape.head / 2..][..tokens.len() * shape.head / 2];
            let (q, k) = (&mut q[first * width..end * width], &mut k[first * kv_width..end * kv_width]);
            rotated(q, turns, shape.head);
            rotated(k, turns, shape.head);
            cache.layers.resize_with(self.layers.len(), Default::default);
            let (keys, values) = &mut cache.layers[layer];
            keys.extend_from_slice(k);
            values.extend_from_slice(&v[first * kv_width..end * kv_width]);
            mixed.extend(attend(q, keys, values, shape, cache.tokens));
            first = end;
        }
        mixed
    }
}

fn add(x: &mut [f32], more: &[f32]) {
    x.iter_mut().zip(more).for_each(|(x, more)| *x += more);
}

/// A file with its tensors by name.
struct Source<'a, F> {
    content: gguf_file::Content,
    file: &'a mut F,
}

impl<F: Read + Seek> Source<'_, F> {
    fn setting(&self, name: &str) -> Result<&gguf_file::Value> {
        let value = self.content.metadata.get(&format!("llama.{name}"));
        value.ok_or_else(|| Error::Msg(format!("the file says nothing of llama.{name}")))
    }

    fn number(&self, name: &str) -> Result<usize> {
        Ok(self.setting(name)?.to_u32()? as usize)
    }

    fn real(&self, name: &str) -> Result<f64> {
        Ok(f64::from(self.setting(name)?.to_f32()?))
    }

    /// A tensor's numbers, with its number of rows.
    fn numbers(&mut self, name: &str, columns: usize) -> Result<(Vec<f32>, usize)> {
        let tensor = self.content.tensor(self.file, name, &Device::Cpu)?;
        let numbers: Vec<f32> = tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        if columns == 0 || tensor.shape().dims().last() != Some(&columns) {
            return Err(Error::Msg(format!("{name} is of the shape {:?}, not rows of {columns}", tensor.shape())));
        }
        let rows = numbers.len() / columns;
        Ok((numbers, rows))
    }

    fn matrix(&mut self, name: &str, rows: Option<usize>, columns: usize) -> Result<Matrix> {
        let (numbers, found) = self.numbers(name, columns)?;
        if rows.is_some_and(|rows| rows != found) {
            return Err(Error::Msg(format!("{name} has {found} rows, not {}", rows.unwrap_or_default())));
        }
        Matrix::quantised(&numbers, found, columns)
            .ok_or_else(|| Error::Msg(format!("{name}: rows of {columns} are not made of whole blocks")))
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>> {
        match self.numbers(name, length)? {
            (numbers, 1) => Ok(numbers),
            (_, rows) => Err(Error::Msg(format!("{name} has {rows} rows, not one"))),
        }
    }
}

/// By how much each pair of a head is turned at each position.
fn turns(shape: Shape, base: f64) -> Vec<(f32, f32)> {
    let half = shape.head / 2;
    let turn = |at: usize| {
        let (position, pair) = (at / half, at % half);
        let angle = (position as f64 / base.powf(2.0 * pair as f64 / shape.head as f64)) as f32;
        (angle.cos(), angle.sin())
    };
    (0..shape.context * half).map(turn).collect()
}
