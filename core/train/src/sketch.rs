//! The gradient of one step on shapes: how much memory it takes, by running it.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use isograd_backends::profile::Profile;
use isograd_backends::sketch::{Meter, Moment, Sketch, SketchDevice};
use isograd_engine::{Flow, Layout, Segment, SketchedSink, SketchedWeights, Walk};
use isograd_models::{Graph, GraphSizes};
use isograd_tasks::{Model, Network};

/// Bytes of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sketched {
    /// The batch as the blocks read it.
    pub(crate) graph: u64,
    /// What the walk takes beside that and weights, at the moment at which it is most.
    pub(crate) most: Moment,
    /// What operations hold from their first call on.
    pub(crate) held: u64,
    /// The largest tensor.
    pub(crate) largest: u64,
}

/// Runs a step of a model on a batch of these sizes; `None` where the model asks for numbers. With `gathered`, weights are
/// there only while a block needs them. Of the gradients of a block, `collected` is what stays.
pub(crate) fn sketch(
    model: &Model,
    layout: &Layout,
    sizes: GraphSizes,
    profile: Profile,
    segments: &[Segment],
    gathered: bool,
    collected: impl Fn(u64) -> u64,
) -> Option<Sketched> {
    let meter = Meter::new(profile, sizes.graphs);
    let device = SketchDevice::new(&meter);
    let network = Network::sketched(model, &meter);
    let graph = Graph::sized(sizes, model.inputs(), model.architecture().needs(), &device);
    // What is known of the batch on the CPU is there a second time, for the host.
    let copies = if matches!(profile, Profile::Cpu { .. }) { graph.index_bytes() } else { 0 };
    let bytes = meter.now().total() + copies;
    let weights =
        if gathered { SketchedWeights::gathered(layout, &device) } else { SketchedWeights::here(layout, &device) };
    meter.settle();
    let before = meter.now();
    let walk = Walk { segments, random: None };
    let mut sink = SketchedSink::new(&meter, collected);
    network.value_and_grad(&weights, &graph, walk, objective, &mut sink).ok()?;
    let most = meter.most();
    let most = Moment { kept: most.kept - before.kept, ..most };
    let found = Sketched { graph: bytes, most, held: meter.held(), largest: meter.largest() };
    (!meter.has_refused()).then_some(found)
}

/// A loss of all predictions, which stands for any.
fn objective(flow: Flow<Autodiff<Sketch>>) -> Tensor<Autodiff<Sketch>, 1> {
    let errors = flow.names().filter_map(|name| flow.get(name)).map(|value| {
        let found = value.tensor().clone();
        let error = found.clone() - found.zeros_like();
        (error.clone() * error).sum()
    });
    errors.reduce(|a, b| a + b).unwrap_or_else(|| panic!("sketch: nothing flows out of the last block"))
}
