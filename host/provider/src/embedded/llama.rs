//! A quantised llama on the CPU: the forward pass, and the keys and values of the tokens before.
//!
//! Weights of a type without a fast CPU kernel (Q4_1) are requantised to Q8_0 when they are loaded: six times faster
//! for a third more memory. One sequence at a time, so that the same prompt gives the same reply bit for bit.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor, gguf_file};
use candle_core::{D, DType, Device, Error, Module, Result, Tensor};
use std::io::{Read, Seek};
use std::sync::Arc;

/// Most tokens of prompt and reply together, where the file allows more: what the working memory is planned for.
const CONTEXT_TOKENS_MAX: usize = 4096;

/// What [`fast`] makes of weights without a fast kernel, for the identity of a reply.
pub(super) const REQUANTISED: &str = "q8_0";

/// A loaded model.
pub(super) struct Llama {
    embedding: QMatMul,
    layers: Vec<Layer>,
    norm: Norm,
    output: QMatMul,
    shape: Shape,
    rope: (Tensor, Tensor),
}

#[derive(Clone, Copy)]
struct Shape {
    heads: usize,
    kv_heads: usize,
    head: usize,
    context: usize,
}

struct Layer {
    attn_norm: Norm,
    q: QMatMul,
    k: QMatMul,
    v: QMatMul,
    o: QMatMul,
    ffn_norm: Norm,
    gate: QMatMul,
    up: QMatMul,
    down: QMatMul,
}

struct Norm {
    weight: Tensor,
    epsilon: f64,
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let variance = x.sqr()?.mean_keepdim(D::Minus1)?;
        let scale = (variance + self.epsilon)?.sqrt()?.recip()?;
        x.broadcast_mul(&scale)?.broadcast_mul(&self.weight)
    }
}

/// Keys and values of the tokens so far, by layer. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct Cache {
    layers: Vec<(Tensor, Tensor)>,
}

impl Llama {
    /// Reads a GGUF file of the architecture `llama`.
    pub(super) fn read(file: &mut (impl Read + Seek)) -> Result<Self> {
        let content = gguf_file::Content::read(file)?;
        let device = Device::Cpu;
        let number = |name: &str| -> Result<usize> {
            let value = content.metadata.get(&format!("llama.{name}"));
            Ok(value.ok_or_else(|| Error::Msg(format!("the file says nothing of llama.{name}")))?.to_u32()? as usize)
        };
        let real = |name: &str| -> Result<f64> {
            let value = content.metadata.get(&format!("llama.{name}"));
            Ok(f64::from(value.ok_or_else(|| Error::Msg(format!("the file says nothing of llama.{name}")))?.to_f32()?))
        };
        let (heads, kv_heads) = (number("attention.head_count")?, number("attention.head_count_kv")?);
        let (hidden, layers) = (number("embedding_length")?, number("block_count")?);
        if heads == 0 || kv_heads == 0 || heads % kv_heads != 0 || hidden % heads != 0 || (hidden / heads) % 2 != 0 {
            return Err(Error::Msg(format!("{heads} heads over {kv_heads} of {hidden} do not fit together")));
        }
        let context = number("context_length")?.min(CONTEXT_TOKENS_MAX);
        let shape = Shape { heads, kv_heads, head: hidden / heads, context };
        let epsilon = real("attention.layer_norm_rms_epsilon")?;
        let base = real("rope.freq_base").unwrap_or(10_000.0);
        let mut tensor = |name: &str| content.tensor(file, name, &device);
        let embedding = tensor("token_embd.weight")?;
        // Where there is no output of its own, the embedding serves both ends. One that cannot be read is an error.
        let has_output = content.tensor_infos.contains_key("output.weight");
        let output = tensor(if has_output { "output.weight" } else { "token_embd.weight" })?;
        // No room is made ahead: the count is the file's word.
        let mut blocks = Vec::new();
        for at in 0..layers {
            let mut weight = |name: &str| fast(tensor(&format!("blk.{at}.{name}.weight"))?, &device);
            let (q, k, v, o) = (weight("attn_q")?, weight("attn_k")?, weight("attn_v")?, weight("attn_output")?);
            let (gate, up, down) = (weight("ffn_gate")?, weight("ffn_up")?, weight("ffn_down")?);
            let mut norm = |name: &str| -> Result<Norm> {
                Ok(Norm { weight: tensor(&format!("blk.{at}.{name}.weight"))?.dequantize(&device)?, epsilon })
            };
            blocks.push(Layer {
                attn_norm: norm("attn_norm")?,
                q,
                k,
                v,
                o,
                ffn_norm: norm("ffn_norm")?,
                gate,
                up,
                down,
            });
        }
        let norm = Norm { weight: tensor("output_norm.weight")?.dequantize(&device)?, epsilon };
        Ok(Llama {
            embedding: QMatMul::from_qtensor(embedding)?,
            output: fast(output, &device)?,
            layers: blocks,
            norm,
            rope: rope(shape, base, &device)?,
            shape,
        })
    }

    /// Most tokens of prompt and reply together.
    pub(super) fn context(&self) -> usize {
        self.shape.context
    }

    /// Runs further tokens after those of the cache; the scores of the token that follows them.
    pub(super) fn forward(&self, tokens: &[u32], cache: &mut Cache) -> Result<Vec<f32>> {
        let before = cache.layers.first().map_or(Ok(0), |(k, _)| k.dim(1))?;
        let ids = Tensor::new(tokens, &Device::Cpu)?;
        let mut x = self.embedding.embedding(&ids)?;
        let mask = mask(tokens.len(), before)?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (at, layer) in self.layers.iter().enumerate() {
            let attended =
                self.attend(layer, &layer.attn_norm.forward(&x)?, cache.layers.get(at), before, mask.as_ref())?;
            x = (x + attended.0)?;
            layers.push(attended.1);
            let normed = layer.ffn_norm.forward(&x)?;
            let gated = (layer.gate.forward(&normed)?.silu()? * layer.up.forward(&normed)?)?;
            x = (x + layer.down.forward(&gated)?)?;
        }
        cache.layers = layers;
        let last = x.narrow(0, tokens.len() - 1, 1)?;
        self.output.forward(&self.norm.forward(&last)?)?.squeeze(0)?.to_vec1()
    }

    /// Attention of one layer, and its keys and values with those of the tokens before.
    fn attend(
        &self,
        layer: &Layer,
        x: &Tensor,
        cached: Option<&(Tensor, Tensor)>,
        before: usize,
        mask: Option<&Tensor>,
    ) -> Result<(Tensor, (Tensor, Tensor))> {
        let Shape { heads, kv_heads, head, .. } = self.shape;
        let n = x.dim(0)?;
        let split = |x: Tensor, heads: usize| x.reshape((n, heads, head))?.transpose(0, 1)?.contiguous();
        let q = self.rotate(&split(layer.q.forward(x)?, heads)?, before)?;
        let mut k = self.rotate(&split(layer.k.forward(x)?, kv_heads)?, before)?;
        let mut v = split(layer.v.forward(x)?, kv_heads)?;
        if let Some((old_k, old_v)) = cached {
            k = Tensor::cat(&[old_k, &k], 1)?;
            v = Tensor::cat(&[old_v, &v], 1)?;
        }
        let total = k.dim(1)?;
        // Heads that share keys stand side by side: they are one longer sequence to them.
        let grouped = q.reshape((kv_heads, heads / kv_heads * n, head))?;
        let scores = (grouped.matmul(&k.transpose(1, 2)?.contiguous()?)? / (head as f64).sqrt())?;
        let mut scores = scores.reshape((heads, n, total))?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let weights = softmax(&scores)?.reshape((kv_heads, heads / kv_heads * n, total))?;
        let mixed = weights.matmul(&v.contiguous()?)?.reshape((heads, n, head))?;
        let joined = mixed.transpose(0, 1)?.contiguous()?.reshape((n, heads * head))?;
        Ok((layer.o.forward(&joined)?, (k, v)))
    }

    /// Turns pairs of neighbouring numbers by the token's position.
    fn rotate(&self, x: &Tensor, before: usize) -> Result<Tensor> {
        let (heads, n, head) = x.dims3()?;
        let cos = self.rope.0.narrow(0, before, n)?.reshape((1, n, head / 2, 1))?;
        let sin = self.rope.1.narrow(0, before, n)?.reshape((1, n, head / 2, 1))?;
        let pairs = x.reshape((heads, n, head / 2, 2))?;
        let (even, odd) = (pairs.narrow(3, 0, 1)?, pairs.narrow(3, 1, 1)?);
        let turned_even = (even.broadcast_mul(&cos)? - odd.broadcast_mul(&sin)?)?;
        let turned_odd = (even.broadcast_mul(&sin)? + odd.broadcast_mul(&cos)?)?;
        Tensor::cat(&[turned_even, turned_odd], 3)?.reshape((heads, n, head))
    }
}

/// A weight in a type that has a fast kernel.
fn fast(weight: QTensor, device: &Device) -> Result<QMatMul> {
    let weight = match weight.dtype() {
        GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1 => {
            QTensor::quantize(&weight.dequantize(device)?, GgmlDType::Q8_0)?
        }
        _ => weight,
    };
    QMatMul::from_arc(Arc::new(weight))
}

fn rope(shape: Shape, base: f64, device: &Device) -> Result<(Tensor, Tensor)> {
    let half = shape.head / 2;
    let angle = |at: usize| {
        let (position, pair) = (at / half, at % half);
        position as f64 / base.powf(2.0 * pair as f64 / shape.head as f64)
    };
    let angles: Vec<f32> = (0..shape.context * half).map(|at| angle(at) as f32).collect();
    let angles = Tensor::from_vec(angles, (shape.context, half), device)?;
    Ok((angles.cos()?, angles.sin()?))
}

/// No token sees one after it; none is needed for a single token.
fn mask(n: usize, before: usize) -> Result<Option<Tensor>> {
    if n == 1 {
        return Ok(None);
    }
    let total = before + n;
    let hidden = |at: usize| if at % total > before + at / total { f32::NEG_INFINITY } else { 0.0 };
    let rows: Vec<f32> = (0..n * total).map(hidden).collect();
    Ok(Some(Tensor::from_vec(rows, (n, total), &Device::Cpu)?.to_dtype(DType::F32)?))
}

fn softmax(scores: &Tensor) -> Result<Tensor> {
    let exponents = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    exponents.broadcast_div(&exponents.sum_keepdim(D::Minus1)?)
}
