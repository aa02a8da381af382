//! Burn modules as blocks train as plain Burn does: a transformer of `burn::nn` layers, nothing to do with atoms, also with
//! recomputation of activations, and with ZeRO 3 on two ranks that are threads.

use std::sync::Arc;

use burn::module::{AutodiffModule, Module};
use burn::nn::transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Int, Tensor, TensorData, activation::log_softmax};
use isograd::engine::Error;
use isograd::network::*;

type Plain = CpuBackend;

const TOKENS: usize = 11;
const LENGTH: usize = 12;
const BATCH: usize = 8;
const WIDTH: usize = 16;
const LAYERS: usize = 3;
const STEPS: usize = 30;

/// What all blocks read: tokens `[BATCH, LENGTH]`.
type Sequences<B> = Tensor<B, 2, Int>;

/// Hidden states `[BATCH, LENGTH, WIDTH]` as a flow holds them, and back.
fn flat<B: Backend>(states: Tensor<B, 3>) -> Value<B> {
    Value::new(states.reshape([BATCH * LENGTH, WIDTH]))
}

fn states<B: Backend>(flow: &mut Flow<B>) -> Tensor<B, 3> {
    flow.need("states").into_tensor().reshape([BATCH, LENGTH, WIDTH])
}

fn out<B: Backend>(value: Value<B>) -> Flow<B> {
    let mut flow = Flow::new();
    flow.put("states", value);
    flow
}

fn embedding<B: Backend>(device: &B::Device) -> Embedding<B> {
    EmbeddingConfig::new(TOKENS, WIDTH).init(device)
}

fn layer<B: Backend>(device: &B::Device) -> TransformerEncoder<B> {
    TransformerEncoderConfig::new(WIDTH, 2 * WIDTH, 2, 1).with_dropout(0.0).init(device)
}

fn readout<B: Backend>(device: &B::Device) -> Linear<B> {
    LinearConfig::new(WIDTH, TOKENS).init(device)
}

/// The model as blocks, and where its parameters are on so many ranks.
fn model(ranks: usize) -> (Blocks<Tracked, Sequences<Tracked>>, Layout) {
    let device = Default::default();
    let mut declare = Declare::new();
    let mut blocks: Blocks<Tracked, Sequences<Tracked>> = Vec::new();
    declare.next_block();
    blocks.push(Box::new(ModuleBlock::declare(
        &mut declare.scope("embedding"),
        &device,
        embedding::<Tracked>,
        |module: &Embedding<Tracked>, tokens: &Sequences<Tracked>, _| out(flat(module.forward(tokens.clone()))),
    )));
    for number in 0..LAYERS {
        declare.next_block();
        blocks.push(Box::new(ModuleBlock::declare(
            &mut declare.scope(format!("layer{number}")),
            &device,
            layer::<Tracked>,
            |module: &TransformerEncoder<Tracked>, _: &Sequences<Tracked>, mut flow: Flow<Tracked>| {
                out(flat(module.forward(TransformerEncoderInput::new(states(&mut flow)))))
            },
        )));
    }
    declare.next_block();
    blocks.push(Box::new(ModuleBlock::declare(
        &mut declare.scope("readout"),
        &device,
        readout::<Tracked>,
        |module: &Linear<Tracked>, _: &Sequences<Tracked>, mut flow: Flow<Tracked>| {
            out(Value::new(module.forward(flow.need("states").into_tensor())))
        },
    )));
    (blocks, Layout::new(declare.finish(), ranks))
}

/// Sequences that count upwards by 1, 2 or 3, and what follows each of their tokens.
fn task<B: Backend>(device: &B::Device) -> (Sequences<B>, Sequences<B>) {
    let token = |row: usize, place: usize| ((row * 5 + place * (1 + row % 3)) % TOKENS) as i32;
    let all =
        |shift: usize| -> Vec<i32> { (0..BATCH * LENGTH).map(|k| token(k / LENGTH, k % LENGTH + shift)).collect() };
    let tensor = |values: Vec<i32>| Tensor::from_data(TensorData::new(values, [BATCH, LENGTH]), device);
    (tensor(all(0)), tensor(all(1)))
}

/// Mean cross entropy of logits `[BATCH * LENGTH, TOKENS]`.
fn cost<B: Backend>(logits: Tensor<B, 2>, next: &Sequences<B>) -> Tensor<B, 1> {
    log_softmax(logits, 1).gather(1, next.clone().reshape([BATCH * LENGTH, 1])).mean().neg()
}

/// Trains with our engine, as one of several ranks, which here have the same sequences: each counts for its share.
fn train(comm: Arc<dyn Communicator<Plain>>, zero: Zero, recompute: Recompute) -> Result<Vec<f64>, Error> {
    let device = Default::default();
    let (blocks, layout) = model(comm.size());
    let settings = Train { optimizer: OptimizerConfig::default(), ema_decay: 0.0, zero };
    let segments = recompute.segments(blocks.len());
    let (tokens, next) = task::<Tracked>(&device);
    let share = 1.0 / comm.size() as f64;
    let mut sharded = Sharded::new(layout, 7, comm.clone(), &settings, &device);
    let mut losses = Vec::new();
    for step in 1..=STEPS {
        let (loss, gradients) = sharded.gradients(1, |weights, sink| {
            let walk = Walk { segments: &segments, random: None };
            let objective = |mut flow: Flow<Tracked>| cost(flow.need("states").into_tensor(), &next).mul_scalar(share);
            value_and_grad(&blocks, weights, &tokens, walk, objective, sink)
        })?;
        sharded.update(step, 5e-3, gradients, 1.0)?;
        losses.push(loss / share);
    }
    Ok(losses)
}

/// The same model as one Burn module, with the same initial weights, trained as Burn's users do.
#[derive(Module, Debug)]
struct Whole<B: Backend> {
    embedding: Embedding<B>,
    layers: Vec<TransformerEncoder<B>>,
    readout: Linear<B>,
}

fn train_plainly() -> Vec<f64> {
    use burn::module::{ModuleMapper, Param};
    use burn::optim::{AdamWConfig, GradientsParams, Optimizer};

    /// Puts initial weights in place of those that the module has.
    struct Begin(std::vec::IntoIter<Tensor<Plain, 1>>);
    impl ModuleMapper<Tracked> for Begin {
        fn map_float<const R: usize>(&mut self, param: Param<Tensor<Tracked, R>>) -> Param<Tensor<Tracked, R>> {
            let values = self.0.next();
            param.map(|own| values.map_or(own.clone(), |v| Tensor::from_inner(v.reshape(own.shape())).require_grad()))
        }
    }
    let device = Default::default();
    let module = Whole::<Tracked> {
        embedding: embedding(&device),
        layers: (0..LAYERS).map(|_| layer(&device)).collect(),
        readout: readout(&device),
    };
    let mut module = module.map(&mut Begin(model(1).1.whole(7, &device).into_iter()));
    let OptimizerConfig { beta_1, beta_2, epsilon, weight_decay, .. } = OptimizerConfig::default();
    let mut optimizer = AdamWConfig::new()
        .with_beta_1(beta_1 as f32)
        .with_beta_2(beta_2 as f32)
        .with_epsilon(epsilon as f32)
        .with_weight_decay(weight_decay as f32)
        .init();
    let (tokens, next) = task::<Tracked>(&device);
    let mut losses = Vec::new();
    for _ in 0..STEPS {
        let mut hidden = module.embedding.forward(tokens.clone());
        for layer in &module.layers {
            hidden = layer.forward(TransformerEncoderInput::new(hidden));
        }
        let logits = module.readout.forward(hidden).reshape([BATCH * LENGTH, TOKENS]);
        let loss = cost(logits, &next);
        losses.push(loss.clone().into_scalar().elem::<f64>());
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        module = optimizer.step(5e-3, module, gradients);
    }
    let _ = module.valid();
    losses
}

#[test]
fn blocks_of_burn_modules_train_as_burn_does() -> Result<(), Error> {
    let plain = train_plainly();
    let alone = train(Arc::new(Solo), Zero::Off, Recompute::None)?;
    let again = train(Arc::new(Solo), Zero::Off, Recompute::Layer)?;
    let ranks = on_threads(2, |comm| train(comm, Zero::Weights, Recompute::Layer))?;

    assert_eq!(alone, again, "recomputation changes no bit");
    for (step, ((plain, own), rank)) in plain.iter().zip(&alone).zip(&ranks[0]).enumerate() {
        assert!((plain - own).abs() < 1e-4 * plain, "step {step}: {own} instead of {plain}");
        assert!((rank - own).abs() < 1e-4 * own, "step {step}: {rank} on two ranks instead of {own}");
    }
    assert!(plain[STEPS - 1] < 0.5 * plain[0], "nothing was learned");
    Ok(())
}
