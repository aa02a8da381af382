//! The operation under autodiff: forward on the inner backend, keeping only its inputs; backward by
//! the inner backend's own.

mod dual;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::{
    DualInputs, DualOutputs, EdgeIndex, GateInputs, MessageBackend, MessageGradients, MessageInputs, MessageOutputs,
    Wanted,
};
use crate::outputs::{Handed, Tracked, further, own_gradient, tracked_or_none};
use crate::primitive::{primitive, tensor};

/// Parents of the operation, in the order of the fields of [`MessageInputs`].
const PARENTS: usize = 10;
const FEATURES: usize = 2;
const ENVELOPE: usize = 3;
const WEIGHTS: usize = 4;

#[derive(Debug)]
struct Message;

/// What backward needs: the edges and the inputs.
#[derive(Debug, Clone)]
struct Kept<B: Backend> {
    edges: EdgeIndex<B>,
    inputs: MessageInputs<B>,
    to_gates: Handed<B>,
}

impl<B: MessageBackend> Backward<B, PARENTS> for Message {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gathered: Tensor<B, 2> = own_gradient(&ops, grads, ops.state.inputs.receiver.dims());
        let Kept { edges, inputs, to_gates } = ops.state;
        let gates = inputs.gate.as_ref().map(|_| to_gates.take_or_zeros([edges.len(), 1], &gathered.device()));
        let tracked = |parent: usize| ops.parents[parent].is_some();
        let wanted =
            Wanted { geometry: tracked(FEATURES) || tracked(ENVELOPE), weights: (WEIGHTS..PARENTS).any(tracked) };
        let found = B::message_backward(&edges, &inputs, MessageOutputs { gathered, gates }, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients_of(found)) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: MessageBackend, C: CheckpointStrategy> MessageBackend for Autodiff<B, C> {
    fn message(edges: &EdgeIndex<Self>, inputs: &MessageInputs<Self>) -> MessageOutputs<Self> {
        let to_gates = Handed::new();
        let kept = Kept { edges: edges.inner(), inputs: inner_inputs(inputs), to_gates: to_gates.clone() };
        let MessageOutputs { gathered, gates } = B::message(&kept.edges, &kept.inputs);
        let gathered =
            tensor(match Message.prepare::<C>(tracked_of(inputs).map(|input| input.node)).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish(kept, primitive(gathered)),
                OpsKind::UnTracked(prepared) => prepared.finish(primitive(gathered)),
            });
        let gates = gates.map(|gates| further(&gathered, gates, to_gates));
        MessageOutputs { gathered, gates }
    }

    fn message_dual(edges: &EdgeIndex<Self>, inputs: &DualInputs<Self>) -> DualOutputs<Self> {
        dual::message_dual(edges, inputs)
    }
}

/// All inputs, in the order of [`PARENTS`].
fn tracked_of<B: Backend, C: CheckpointStrategy>(inputs: &MessageInputs<Autodiff<B, C>>) -> [Tracked<B, C>; PARENTS] {
    let device = inputs.receiver.device();
    let gate = inputs.gate.as_ref();
    [
        primitive(inputs.receiver.clone()),
        primitive(inputs.sender.clone()),
        primitive(inputs.features.clone()),
        tracked_or_none(inputs.envelope.as_ref(), &device),
        primitive(inputs.edge_weight.clone()),
        primitive(inputs.weight.clone()),
        primitive(inputs.bias.clone()),
        tracked_or_none(gate.map(|gate| &gate.weight), &device),
        tracked_or_none(gate.map(|gate| &gate.bias), &device),
        tracked_or_none(gate.map(|gate| &gate.readout), &device),
    ]
}

/// The gradients of all inputs, in the order of [`PARENTS`].
fn gradients_of<B: Backend>(found: MessageGradients<B>) -> [Option<B::FloatTensorPrimitive>; PARENTS] {
    let (edge_weight, weight, bias, gate) = found.weights.map_or((None, None, None, None), |weights| {
        (Some(weights.edge_weight), Some(weights.weight), Some(weights.bias), weights.gate)
    });
    let (gate_weight, gate_bias, readout) =
        gate.map_or((None, None, None), |gate| (Some(gate.weight), Some(gate.bias), Some(gate.readout)));
    [
        Some(primitive(found.receiver)),
        Some(primitive(found.sender)),
        found.features.map(primitive),
        found.envelope.map(primitive),
        edge_weight.map(primitive),
        weight.map(primitive),
        bias.map(primitive),
        gate_weight.map(primitive),
        gate_bias.map(primitive),
        readout.map(primitive),
    ]
}

fn inner_inputs<A: AutodiffBackend>(inputs: &MessageInputs<A>) -> MessageInputs<A::InnerBackend> {
    MessageInputs {
        receiver: inputs.receiver.clone().inner(),
        sender: inputs.sender.clone().inner(),
        features: inputs.features.clone().inner(),
        envelope: inputs.envelope.clone().map(Tensor::inner),
        edge_weight: inputs.edge_weight.clone().inner(),
        weight: inputs.weight.clone().inner(),
        bias: inputs.bias.clone().inner(),
        gate: inputs.gate.as_ref().map(|gate| GateInputs {
            weight: gate.weight.clone().inner(),
            bias: gate.bias.clone().inner(),
            readout: gate.readout.clone().inner(),
        }),
    }
}
