//! Training by hand, each step: batch, graph, walk, loss, gradients, update.
//!
//!     cargo run --release --example training_loop
#![allow(clippy::print_stdout, reason = "an example shows what it found")]

use isograd::data::{epoch_order, formats::Formats, pack};
use isograd::network::*;
use isograd::tasks::{Labels, Network, loss};
use isograd::train::{config::Config, prepare};

const CONFIG: &str = r#"
data.files = ["examples/data/molecules.extxyz.xz"]
model = { kind = "painn", width = 16, layers = 2 }
"#;

fn main() -> isograd::Result<()> {
    let config = Config::parse(CONFIG, &[], "this example")?;
    let data = prepare(&config, &Registry::default(), &Formats::default())?;
    let task = data.training.task();
    let (device, targets, terms) = (Default::default(), &task.targets, task.terms());

    let network = Network::<CpuBackend>::new(&data.model);
    let layout = data.model.layout(1);
    let mut weights = layout.whole::<CpuBackend>(config.train.seed, &device);
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), layout.parameters());
    let segments = Recompute::Layer.segments(network.len());

    let mut means = Vec::new();
    for epoch in 0..3 {
        let order = epoch_order(config.train.seed, epoch, data.training.len());
        let batches = pack(order, &data.training.sizes, config.train.budget());
        let mut total = 0.0;
        for members in batches.iter() {
            let batch = data.training.batch(members)?;
            let graph = Graph::<Tracked>::new(&batch.graphs, data.model.inputs().species.len(), &device);
            let labels = Labels::<Tracked>::new(targets, &batch.labels, &device);
            let mut sink = Collect::new(network.len());
            let walk = Walk { segments: &segments, random: None };
            let counts = batch.labels.counts();
            let objective = |found| loss(&terms, targets, found, &labels, &counts);
            total += network.value_and_grad(&layout.view(&weights), &graph, walk, objective, &mut sink)?;
            let gradients = sink.gradients();
            let scale = clip_scale(squares(&gradients).sqrt(), 10.0);
            weights = optimizer.step(weights, 2e-3, gradients, scale);
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
