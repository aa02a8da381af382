//! The operation under autodiff: forward on the inner backend, keeping only its inputs; backward by
//! the inner backend's own. Burn's operations have one output, so both outputs travel in one flat
//! tensor that is cut apart by ordinary operations.
//!
//! `message_backward` is left at its default of differentiable tensor operations, which is what makes
//! `Autodiff<Autodiff<B>>` differentiate twice.

use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorPrimitive, s};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::{EdgeIndex, GateInputs, MessageBackend, MessageInputs, MessageOutputs};

/// Parents of the operation, in the order of the fields of [`MessageInputs`].
const PARENTS: usize = 10;

#[derive(Debug)]
struct Message;

/// What backward needs: the edges and the inputs.
#[derive(Debug, Clone)]
struct Kept<B: Backend> {
    edges: EdgeIndex<B>,
    inputs: MessageInputs<B>,
}

fn wrap<B: Backend, const R: usize>(primitive: B::FloatTensorPrimitive) -> Tensor<B, R> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

fn unwrap<B: Backend, const R: usize>(tensor: Tensor<B, R>) -> B::FloatTensorPrimitive {
    tensor.into_primitive().tensor()
}

fn pack<B: Backend>(outputs: MessageOutputs<B>) -> Tensor<B, 1> {
    let gathered = outputs.gathered.flatten(0, 1);
    match outputs.gates {
        Some(gates) if gates.dims()[0] > 0 => Tensor::cat(vec![gathered, gates.flatten(0, 1)], 0),
        _ => gathered,
    }
}

fn unpack<B: Backend>(packed: Tensor<B, 1>, [nodes, width]: [usize; 2], gates: Option<usize>) -> MessageOutputs<B> {
    let cut = nodes * width;
    match gates {
        Some(count) if count > 0 => MessageOutputs {
            gathered: packed.clone().slice(s![0..cut]).reshape([nodes, width]),
            gates: Some(packed.slice(s![cut..cut + count]).reshape([count, 1])),
        },
        Some(_) => {
            let gates = Tensor::zeros([0, 1], &packed.device());
            MessageOutputs { gathered: packed.reshape([nodes, width]), gates: Some(gates) }
        }
        None => MessageOutputs { gathered: packed.reshape([nodes, width]), gates: None },
    }
}

impl<B: MessageBackend> Backward<B, PARENTS> for Message {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Kept { edges, inputs } = ops.state;
        let packed = wrap::<B, 1>(grads.consume::<B>(&ops.node));
        let outputs = unpack(packed, inputs.receiver.dims(), inputs.gate.as_ref().map(|_| edges.len()));
        let found = B::message_backward(&edges, &inputs, outputs);
        let (weight, bias, readout) =
            found.gate.map_or((None, None, None), |gate| (Some(gate.weight), Some(gate.bias), Some(gate.readout)));
        let gradients = [
            Some(unwrap(found.receiver)),
            Some(unwrap(found.sender)),
            Some(unwrap(found.features)),
            found.envelope.map(unwrap),
            Some(unwrap(found.edge_weight)),
            Some(unwrap(found.weight)),
            Some(unwrap(found.bias)),
            weight.map(unwrap),
            bias.map(unwrap),
            readout.map(unwrap),
        ];
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: MessageBackend, C: CheckpointStrategy> MessageBackend for Autodiff<B, C> {
    fn message(edges: &EdgeIndex<Self>, inputs: &MessageInputs<Self>) -> MessageOutputs<Self> {
        let inner = EdgeIndex {
            receivers: edges.receivers.clone().inner(),
            senders: edges.senders.clone().inner(),
            host: edges.host.clone(),
        };
        // Stands for an input that is not there; it is not tracked.
        let none = || unwrap(Tensor::<Self, 1>::zeros([1], &inputs.receiver.device())).node;
        let gate = inputs.gate.as_ref();
        let nodes = [
            unwrap(inputs.receiver.clone()).node,
            unwrap(inputs.sender.clone()).node,
            unwrap(inputs.features.clone()).node,
            inputs.envelope.as_ref().map_or_else(none, |envelope| unwrap(envelope.clone()).node),
            unwrap(inputs.edge_weight.clone()).node,
            unwrap(inputs.weight.clone()).node,
            unwrap(inputs.bias.clone()).node,
            gate.map_or_else(none, |gate| unwrap(gate.weight.clone()).node),
            gate.map_or_else(none, |gate| unwrap(gate.bias.clone()).node),
            gate.map_or_else(none, |gate| unwrap(gate.readout.clone()).node),
        ];
        let kept = Kept { edges: inner, inputs: inner_inputs(inputs) };
        let packed = unwrap(pack(B::message(&kept.edges, &kept.inputs)));
        let packed = match Message.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(kept, packed),
            OpsKind::UnTracked(prepared) => prepared.finish(packed),
        };
        unpack(wrap(packed), inputs.receiver.dims(), gate.map(|_| edges.len()))
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
