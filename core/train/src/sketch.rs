//! The gradient of one step on shapes: how much memory it takes, by running it.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use isograd_engine::{Flow, Layout, Segment, SketchedSink, SketchedWeights, Walk};
use isograd_models::{Graph, GraphSizes};
use isograd_ops::profile::Profile;
use isograd_ops::sketch::{Meter, Moment, Sketch, SketchDevice};
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
    /// Whether the caller's own products and those of all threads are counted in it.
    pub(crate) held_by_all_and_caller: bool,
    /// The pages of a GPU's pool, with what the step is given beside; none on a CPU.
    pub(crate) reserved: u64,
}

/// A step on one rank.
pub(crate) struct Step<'a> {
    pub(crate) model: &'a Model,
    pub(crate) layout: &'a Layout,
    pub(crate) sizes: GraphSizes,
    pub(crate) profile: Profile,
    /// Weights are there only while a block needs them.
    pub(crate) gathered: bool,
    /// Bytes of tensors that are there all the time and are counted elsewhere.
    pub(crate) beside: Vec<u64>,
    /// Bytes of what a tensor is updated with.
    pub(crate) update: u64,
}

/// Runs a step; `None` where the model asks for numbers. Of the gradients of a block, `collected` is what stays.
pub(crate) fn sketch(step: &Step<'_>, segments: &[Segment], collected: impl Fn(u64) -> u64) -> Option<Sketched> {
    let &Step { model, layout, sizes, profile, gathered, ref beside, update } = step;
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
    if meter.reserved().is_some() {
        // Moments are made in the first update, where that step's own tensors have been; the second step fills what is left.
        meter.let_go();
        beside.iter().for_each(|&bytes| meter.set_aside(bytes));
        network.value_and_grad(&weights, &graph, walk, objective, &mut sink).ok()?;
        meter.set_aside(update);
    }
    let most = Moment { kept: most.kept - before.kept, ..most };
    let found = Sketched {
        graph: bytes,
        most,
        held: meter.held(),
        held_by_all_and_caller: meter.multiplied_by_all_and_caller(),
        reserved: meter.reserved().unwrap_or(0),
    };
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
