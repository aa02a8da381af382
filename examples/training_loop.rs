//! Training by hand, each step: batch, graph, walk, loss, gradients, update. The loss is your own as well: log-cosh of the
//! errors of forces.
//!
//!     cargo run --release --example training_loop
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use burn::backend::Autodiff;
use burn::tensor::{Tensor, backend::Backend};
use isograd::backends::device::CpuBackend;
use isograd::data::{epoch_order, pack};
use isograd::engine::{Collect, Optimizer, OptimizerConfig, Recompute, Walk, clip_scale, squares, value_and_grad};
use isograd::models::{Graph, Registry};
use isograd::tasks::Labels;
use isograd::train::{config::Config, prepare};

type Tracked = Autodiff<CpuBackend>;

const CONFIG: &str = r#"
[data]
files = ["examples/data/molecules.extxyz.xz"]
[model]
kind = "painn"
width = 16
layers = 2
[train]
batch_graphs = 32
"#;

/// `log cosh x = |x| + log(1 + exp(-2 |x|)) - log 2`, which overflows nowhere.
fn log_cosh<B: Backend>(errors: Tensor<B, 2>) -> Tensor<B, 1> {
    let size = errors.abs();
    (size.clone() + size.mul_scalar(-2.0).exp().log1p()).sub_scalar(2f64.ln()).sum()
}

fn main() -> isograd::Result<()> {
    let config = Config::parse(CONFIG, &[], "this example")?;
    let data = prepare(&config, &Registry::default())?;
    let (device, targets) = (Default::default(), &data.training.task().targets);
    let forces = targets.iter().position(|target| target.name == "forces").unwrap_or_default();

    let blocks = data.model.blocks::<Tracked>();
    let layout = data.model.layout(1);
    let mut weights = layout.whole::<CpuBackend>(config.train.seed, &device);
    let mut optimizer = Optimizer::new(&OptimizerConfig::default());
    let segments = Recompute::Layer.segments(blocks.len());

    let mut means = Vec::new();
    for epoch in 0..3 {
        let order = epoch_order(config.train.seed, epoch, data.training.len());
        let batches = pack(&order, &data.training.sizes, config.train.budget());
        let mut total = 0.0;
        for members in &batches {
            let batch = data.training.batch(members)?;
            let graph = Graph::<Tracked>::new(&batch.graphs, data.model.inputs().species.len(), &device);
            let labels = Labels::<Tracked>::new(targets, &batch.labels, &device);
            let mut sink = Collect::new(blocks.len());
            let walk = Walk { segments: &segments, random: None };
            let loss = value_and_grad(
                &blocks,
                &layout.view(&weights),
                &graph,
                walk,
                |mut found| {
                    let errors = found.need("forces").into_tensor() - labels.values(forces);
                    log_cosh(errors * labels.weights(forces)).div_scalar(batch.labels.counts().0[forces] as f64)
                },
                &mut sink,
            )?;
            let gradients = sink.gradients();
            let scale = clip_scale(squares(&gradients).sqrt(), 10.0);
            weights = optimizer.step(weights, 2e-3, gradients, scale);
            total += loss;
        }
        means.push(total / batches.len() as f64);
        println!("epoch {}: loss {:.4}", epoch + 1, means[epoch]);
    }
    assert!(means[2] < 0.8 * means[0], "nothing was learned: {means:?}");
    Ok(())
}

#[test]
fn runs() -> isograd::Result<()> {
    main()
}
