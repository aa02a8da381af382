//! A loss of your own, in the loop of `training_loop.rs`: log-cosh of the errors of forces, which is quadratic for small ones
//! and linear for large ones.
//!
//!     cargo run --release --example own_loss
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use burn::tensor::{Tensor, backend::Backend};
use isograd::data::formats::Formats;
use isograd::network::*;
use isograd::tasks::{Labels, Network};
use isograd::train::{config::Config, prepare};

const CONFIG: &str = r#"
data.files = ["examples/data/molecules.extxyz.xz"]
model = { kind = "painn", width = 16, layers = 2 }
"#;

/// `log cosh x = |x| + log(1 + exp(-2 |x|)) - log 2`, which overflows nowhere.
fn log_cosh<B: Backend>(errors: Tensor<B, 2>) -> Tensor<B, 1> {
    let size = errors.abs();
    (size.clone() + size.mul_scalar(-2.0).exp().log1p()).sub_scalar(2f64.ln()).sum()
}

fn main() -> isograd::Result<()> {
    let config = Config::parse(CONFIG, &[], "this example")?;
    let data = prepare(&config, &Registry::default(), &Formats::default())?;
    let (device, targets) = (Default::default(), &data.training.task().targets);
    let forces = targets.iter().position(|target| target.name == "forces").unwrap_or_default();
    let (network, layout) = (Network::<CpuBackend>::new(&data.model), data.model.layout(1));
    let mut weights = layout.whole::<CpuBackend>(0, &device);
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), layout.parameters());
    let segments = Recompute::None.segments(network.len());
    let batch = data.training.batch(&(0..32).collect::<Vec<_>>())?;
    let count = batch.labels.counts().0[forces] as f64;

    let mut losses = Vec::new();
    for _ in 0..50 {
        let graph = Graph::<Tracked>::new(&batch.graphs, data.model.inputs().species.len(), &device);
        let labels = Labels::<Tracked>::new(targets, &batch.labels, &device);
        let mut sink = Collect::new(network.len());
        let walk = Walk { segments: &segments, random: None };
        let loss = |mut found: Flow<Tracked>| {
            let errors = (found.need("forces").into_tensor() - labels.values(forces)) * labels.weights(forces);
            log_cosh(errors).div_scalar(count)
        };
        losses.push(network.value_and_grad(&layout.view(&weights), &graph, walk, loss, &mut sink)?);
        weights = optimizer.step(weights, 2e-3, sink.gradients(), 1.0);
    }
    println!("log-cosh of force errors: {:.4} before, {:.4} after 50 steps on one batch", losses[0], losses[49]);
    assert!(losses[49] < 0.8 * losses[0], "nothing was learned: {losses:?}");
    Ok(())
}

#[test]
fn runs() -> isograd::Result<()> {
    main()
}
