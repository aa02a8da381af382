//! Any Burn module is a block: transformer layers of `burn::nn`, nothing to do with atoms, trained with recomputation of
//! activations and with ZeRO 3 on two ranks. `tests/burn_module.rs` compares with plain Burn training.
//!
//!     cargo run --release --example own_burn_module
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use std::sync::Arc;

use burn::nn::transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput};
use burn::tensor::{Int, Tensor, activation::log_softmax};
use isograd::engine::Result;
use isograd::network::*;

/// A layer of states `[8, 12, 16]`, which flow as `[96, 16]`; the first one's are the context.
fn layer(declare: &mut Declare, number: usize) -> Box<dyn Block<Tracked, Tensor<Tracked, 3>>> {
    declare.next_block();
    let make = |device: &_| TransformerEncoderConfig::new(16, 32, 2, 1).with_dropout(0.0).init(device);
    let run = |layer: &TransformerEncoder<_>, first: &Tensor<_, 3>, mut flow: Flow<_>| {
        let states = flow.take("states").map_or(first.clone(), |states| states.into_tensor().reshape([8, 12, 16]));
        flow.put("states", Value::new(layer.forward(TransformerEncoderInput::new(states)).reshape([96, 16])));
        flow
    };
    Box::new(ModuleBlock::declare(&mut declare.scope(number), &Default::default(), make, run))
}

/// Trains to tell the next of 16 tokens from each, on one of several ranks: each counts for its share.
fn train(comm: Arc<dyn Communicator<CpuBackend>>) -> Result<Vec<f64>> {
    let (device, mut declare) = (Default::default(), Declare::new());
    let blocks: Vec<_> = (0..3).map(|number| layer(&mut declare, number)).collect();
    let tokens = Tensor::<Tracked, 1, Int>::arange(0..97, &device).mul_scalar(3).remainder_scalar(16);
    let next = tokens.clone().slice(1..97).reshape([96, 1]);
    let first = tokens.slice(0..96).reshape([8, 12]).one_hot(16).float();

    let settings = Train { optimizer: OptimizerConfig::default(), ema_decay: 0.0, zero: Zero::Weights };
    let mut sharded = Sharded::new(Layout::new(declare.finish(), comm.size()), 7, comm.clone(), &settings, &device);
    let walk = Walk { segments: &Recompute::Layer.segments(3), random: None };
    let step = |step| {
        let (loss, gradients) = sharded.gradients(1, |weights, sink| {
            let logits = |mut flow: Flow<_>| log_softmax(flow.need("states").into_tensor(), 1);
            let cost = |flow| logits(flow).gather(1, next.clone()).mean().neg().div_scalar(comm.size() as f64);
            value_and_grad(&blocks, weights, &first, walk, cost, sink)
        })?;
        sharded.update(step, 5e-3, gradients, 1.0)?;
        Ok(loss * comm.size() as f64)
    };
    (1..=30).map(step).collect()
}

fn main() -> Result<()> {
    for losses in on_threads(2, train)? {
        println!("loss {:.4} before, {:.4} after 30 steps", losses[0], losses[29]);
        assert!(losses[29] < 0.5 * losses[0], "nothing was learned");
    }
    Ok(())
}

#[test]
fn runs() -> Result<()> {
    main()
}
