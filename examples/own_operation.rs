//! An operation of your own on values, written with those that there are, in a block that is trained.
//!
//!     cargo run --release --example own_operation
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use burn::tensor::{Int, Tensor};
use isograd::network::*;

/// Of `x [rows, C]` a smooth maximum over the rows j of each group, `log sum_j exp(x_j)`, `[groups, C]`; x is below 80. Burn
/// differentiates it, on any backend.
fn smooth_maximum<B: KernelBackend>(x: Value<B>, groups: &Grouping<B>) -> Value<B> {
    x.exp().sum_groups(groups).log()
}

fn main() -> isograd::engine::Result<()> {
    let (device, mut declare) = (Default::default(), Declare::new());
    declare.next_block();
    let score = nn::Linear::declare(&mut declare, "score", [1, 1], true);
    // The largest score of each group.
    let largest = block(move |weights, (rows, groups): &(Value<Tracked>, Grouping<Tracked>), mut flow| {
        flow.put("largest", smooth_maximum(score.apply(weights, rows.clone()), groups));
        flow
    });
    let blocks = [largest];
    let layout = Layout::new(declare.finish(), 1);
    let mut weights = layout.whole::<CpuBackend>(0, &device);
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), layout.parameters());
    // Groups of three numbers; wanted is three times the largest of each, and one more.
    let groups = Grouping::new(HostGrouping::new((0..90).map(|row| row / 3).collect(), 30), &device);
    let numbers = Tensor::<Tracked, 1, Int>::arange(0..90, &device).float().mul_scalar(7.0).sin().reshape([90, 1]);
    let wanted = numbers.clone().reshape([30, 3]).max_dim(1).mul_scalar(3.0).add_scalar(1.0);
    let context = (Value::new(numbers), groups);

    let mut losses = Vec::new();
    for _ in 0..300 {
        let mut sink = Collect::new(1);
        let walk = Walk { segments: &Recompute::None.segments(1), random: None };
        let loss = |mut flow: Flow<_>| (flow.need("largest").into_tensor() - wanted.clone()).powi_scalar(2).mean();
        losses.push(value_and_grad(&blocks, &layout.view(&weights), &context, walk, loss, &mut sink)?);
        weights = optimizer.step(weights, 3e-2, sink.gradients(), 1.0);
    }
    println!("mean square error {:.3} before, {:.3} after 300 steps", losses[0], losses[299]);
    assert!(losses[299] < 0.1 * losses[0], "nothing was learned: {losses:?}");
    Ok(())
}

#[test]
fn runs() -> isograd::engine::Result<()> {
    main()
}
