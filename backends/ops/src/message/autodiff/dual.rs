//! The operation on values and tangents under autodiff. It is differentiated as any other operation of four outputs:
//! what is a tangent to the caller is a tensor here.

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::{ENVELOPE, FEATURES, PARENTS, WEIGHTS, gradients_of, inner_inputs, tracked_of};
use crate::index::EdgeIndex;
use crate::message::{DualGradients, DualInputs, DualOutputs, MessageBackend, MessageOutputs, MessageTangents, Wanted};
use crate::outputs::{Handed, Tracked, further, own_gradient, tracked_or_none};
use crate::primitive::{primitive, tensor};

/// Parents of the operation: those without tangents, then the fields of [`MessageTangents`].
const DUAL_PARENTS: usize = PARENTS + TANGENTS;
const TANGENTS: usize = 4;
const TANGENT_FEATURES: usize = PARENTS + FEATURES;
const TANGENT_ENVELOPE: usize = PARENTS + ENVELOPE;

#[derive(Debug)]
struct DualMessage;

/// What backward needs: the edges and the inputs.
#[derive(Debug, Clone)]
struct Kept<B: Backend> {
    edges: EdgeIndex<B>,
    inputs: DualInputs<B>,
    to_gates: Handed<B>,
    to_tangent: Handed<B>,
    to_tangent_gates: Handed<B>,
}

impl<B: MessageBackend> Backward<B, DUAL_PARENTS> for DualMessage {
    type State = Kept<B>;

    fn backward(self, ops: Ops<Self::State, DUAL_PARENTS>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let shape = ops.state.inputs.primal.receiver.dims();
        let gathered: Tensor<B, 2> = own_gradient(&ops, grads, shape);
        let Kept { edges, inputs, to_gates, to_tangent, to_tangent_gates } = ops.state;
        let device = gathered.device();
        let of_gates =
            |handed: Handed<B>| inputs.primal.gate.as_ref().map(|_| handed.take_or_zeros([edges.len(), 1], &device));
        let moved = to_tangent.take_or_zeros(shape, &device);
        let outputs = DualOutputs {
            primal: MessageOutputs { gathered, gates: of_gates(to_gates) },
            tangent: MessageOutputs { gathered: moved, gates: of_gates(to_tangent_gates) },
        };
        let tracked = |parent: usize| ops.parents[parent].is_some();
        let wanted = Wanted {
            geometry: [FEATURES, ENVELOPE, TANGENT_FEATURES, TANGENT_ENVELOPE].into_iter().any(tracked),
            weights: (WEIGHTS..PARENTS).any(tracked),
        };
        let DualGradients { primal, tangent } = B::message_dual_backward(&edges, &inputs, outputs, wanted);
        let gradients = gradients_of(primal).into_iter().chain(tangent_gradients_of(tangent));
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

/// See [`MessageBackend::message_dual`].
pub(super) fn message_dual<B: MessageBackend, C: CheckpointStrategy>(
    edges: &EdgeIndex<Autodiff<B, C>>,
    inputs: &DualInputs<Autodiff<B, C>>,
) -> DualOutputs<Autodiff<B, C>> {
    let [to_gates, to_tangent, to_tangent_gates] = [(); 3].map(|()| Handed::new());
    let kept = Kept {
        edges: edges.inner(),
        inputs: DualInputs { primal: inner_inputs(&inputs.primal), tangent: inner_tangents(&inputs.tangent) },
        to_gates: to_gates.clone(),
        to_tangent: to_tangent.clone(),
        to_tangent_gates: to_tangent_gates.clone(),
    };
    let DualOutputs { primal, tangent } = B::message_dual(&kept.edges, &kept.inputs);
    let nodes = dual_tracked_of(inputs).map(|input| input.node);
    let gathered = tensor(match DualMessage.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(kept, primitive(primal.gathered)),
        OpsKind::UnTracked(prepared) => prepared.finish(primitive(primal.gathered)),
    });
    let gates = primal.gates.map(|gates| further(&gathered, gates, to_gates));
    let moved = further(&gathered, tangent.gathered, to_tangent);
    let moved_gates = tangent.gates.map(|gates| further(&gathered, gates, to_tangent_gates));
    DualOutputs {
        primal: MessageOutputs { gathered, gates },
        tangent: MessageOutputs { gathered: moved, gates: moved_gates },
    }
}

/// All inputs, in the order of [`DUAL_PARENTS`].
fn dual_tracked_of<B: Backend, C: CheckpointStrategy>(
    inputs: &DualInputs<Autodiff<B, C>>,
) -> [Tracked<B, C>; DUAL_PARENTS] {
    let DualInputs { primal, tangent } = inputs;
    let device = primal.receiver.device();
    let [receiver, sender, features, envelope, edge_weight, weight, bias, gate_weight, gate_bias, readout] =
        tracked_of(primal);
    [
        receiver,
        sender,
        features,
        envelope,
        edge_weight,
        weight,
        bias,
        gate_weight,
        gate_bias,
        readout,
        primitive(tangent.receiver.clone()),
        primitive(tangent.sender.clone()),
        tracked_or_none(tangent.features.as_ref(), &device),
        tracked_or_none(tangent.envelope.as_ref(), &device),
    ]
}

/// The gradients of tangents, in the order of the fields of [`MessageTangents`].
fn tangent_gradients_of<B: Backend>(found: MessageTangents<B>) -> [Option<B::FloatTensorPrimitive>; TANGENTS] {
    [
        Some(primitive(found.receiver)),
        Some(primitive(found.sender)),
        found.features.map(primitive),
        found.envelope.map(primitive),
    ]
}

fn inner_tangents<A: AutodiffBackend>(tangents: &MessageTangents<A>) -> MessageTangents<A::InnerBackend> {
    MessageTangents {
        receiver: tangents.receiver.clone().inner(),
        sender: tangents.sender.clone().inner(),
        features: tangents.features.clone().map(Tensor::inner),
        envelope: tangents.envelope.clone().map(Tensor::inner),
    }
}
