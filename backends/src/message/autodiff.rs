//! The operation under autodiff: forward on the inner backend, keeping only its inputs; backward by
//! the inner backend's own.
//!
//! Burn's operations have one output. The sums of messages are that of the operation, and gates that of
//! a second one, whose parent is the first: going back it leaves its gradient for the first to find.
//!
//! `message_backward` is left at its default of differentiable tensor operations, which is what makes
//! `Autodiff<Autodiff<B>>` differentiate twice.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_autodiff::NodeId;
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::{EdgeIndex, GateInputs, MessageBackend, MessageInputs, MessageOutputs};
use crate::primitive::{primitive, tensor};

/// Parents of the operation, in the order of the fields of [`MessageInputs`].
const PARENTS: usize = 10;
const FEATURES: usize = 2;
const ENVELOPE: usize = 3;

#[derive(Debug)]
struct Message;

/// The gradient of the gates, on its way from one node to the other.
type GatesGradient<B> = Arc<Mutex<Option<Tensor<B, 2>>>>;

/// What backward needs: the edges and the inputs.
#[derive(Debug, Clone)]
struct Kept<B: Backend> {
    edges: EdgeIndex<B>,
    inputs: MessageInputs<B>,
    to_gates: GatesGradient<B>,
}

impl<B: MessageBackend> Backward<B, PARENTS> for Message {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Kept { edges, inputs, to_gates } = ops.state;
        let shape = inputs.receiver.dims();
        // One zero where only the gates have a gradient.
        let gathered = tensor::<B, 2>(grads.consume::<B>(&ops.node)).expand(shape);
        let to_gates = to_gates.lock().unwrap_or_else(PoisonError::into_inner).take();
        let zeros = || Tensor::zeros([edges.len(), 1], &gathered.device());
        let gates = inputs.gate.as_ref().map(|_| to_gates.unwrap_or_else(zeros));
        let geometry = ops.parents[FEATURES].is_some() || ops.parents[ENVELOPE].is_some();
        let found = B::message_backward(&edges, &inputs, MessageOutputs { gathered, gates }, geometry);
        let (weight, bias, readout) =
            found.gate.map_or((None, None, None), |gate| (Some(gate.weight), Some(gate.bias), Some(gate.readout)));
        let gradients = [
            Some(primitive(found.receiver)),
            Some(primitive(found.sender)),
            found.features.map(primitive),
            found.envelope.map(primitive),
            Some(primitive(found.edge_weight)),
            Some(primitive(found.weight)),
            Some(primitive(found.bias)),
            weight.map(primitive),
            bias.map(primitive),
            readout.map(primitive),
        ];
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct Gates;

impl<B: MessageBackend> Backward<B, 1> for Gates {
    type State = (GatesGradient<B>, NodeId);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = tensor::<B, 2>(grads.consume::<B>(&ops.node));
        let (to_gates, sums) = ops.state;
        // The sums may have no gradient of their own, and are added to by broadcasting if they have.
        grads.register::<B>(sums, primitive(Tensor::<B, 2>::zeros([1, 1], &gradient.device())));
        *to_gates.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
    }
}

impl<B: MessageBackend, C: CheckpointStrategy> MessageBackend for Autodiff<B, C> {
    fn message(edges: &EdgeIndex<Self>, inputs: &MessageInputs<Self>) -> MessageOutputs<Self> {
        // Stands for an input that is not there; it is not tracked.
        let none = || primitive(Tensor::<Self, 1>::zeros([1], &inputs.receiver.device())).node;
        let gate = inputs.gate.as_ref();
        let nodes = [
            primitive(inputs.receiver.clone()).node,
            primitive(inputs.sender.clone()).node,
            primitive(inputs.features.clone()).node,
            inputs.envelope.as_ref().map_or_else(none, |envelope| primitive(envelope.clone()).node),
            primitive(inputs.edge_weight.clone()).node,
            primitive(inputs.weight.clone()).node,
            primitive(inputs.bias.clone()).node,
            gate.map_or_else(none, |gate| primitive(gate.weight.clone()).node),
            gate.map_or_else(none, |gate| primitive(gate.bias.clone()).node),
            gate.map_or_else(none, |gate| primitive(gate.readout.clone()).node),
        ];
        let to_gates = GatesGradient::<B>::default();
        let kept = Kept { edges: edges.inner(), inputs: inner_inputs(inputs), to_gates: to_gates.clone() };
        let MessageOutputs { gathered, gates } = B::message(&kept.edges, &kept.inputs);
        let gathered = match Message.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(kept, primitive(gathered)),
            OpsKind::UnTracked(prepared) => prepared.finish(primitive(gathered)),
        };
        let gates = gates.map(|gates| {
            let id = gathered.node.id;
            tensor(match Gates.prepare::<C>([gathered.node.clone()]).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish((to_gates, id), primitive(gates)),
                OpsKind::UnTracked(prepared) => prepared.finish(primitive(gates)),
            })
        });
        MessageOutputs { gathered: tensor(gathered), gates }
    }
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
