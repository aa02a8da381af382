//! Forward, tile by tile.

use std::ops::Range;

use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;

use super::{DualDevice, Factors, kernels};
use crate::cube::products::matmul;
use crate::cube::sum::add_groups;
use crate::cube::{Cube, addresses, buffer, elementwise, empty};
use crate::message::cube::Rows;
use crate::message::cube::forward::rowwise;
use crate::message::{DualInputs, DualOutputs, GateInputs, MessageOutputs};
use crate::primitive::tensor;

/// Sums of messages, gates, and the tangents of both.
pub(in crate::message::cube) fn message_dual<R: CubeRuntime, BT: BoolElement>(
    device: &DualDevice<'_, R, BT>,
    inputs: &DualInputs<Cube<R, BT>>,
) -> DualOutputs<Cube<R, BT>> {
    let (primal, weights) = (&device.primal, &inputs.primal);
    let sums = [(); 2].map(|()| buffer(weights.receiver.zeros_like()));
    let gates = weights.gate.as_ref().map(|_| [(); 2].map(|()| empty(&sums[0], [primal.count, 1])));
    for tile in device.tiles() {
        let u1 = device.first(&tile);
        let a2 = buffer(matmul(u1, weights.weight.clone()));
        let messages = device.messages(&tile, &a2);
        for (part, sums) in sums.iter().enumerate() {
            let first = part * tile.len();
            add_groups(&primal.edges.receivers, &messages, first, &tile, &primal.receivers_of(&tile), sums);
        }
        if let (Some(gate), Some(gates)) = (&weights.gate, &gates) {
            let a3 = matmul(tensor::<Cube<R, BT>, 2>(messages), gate.weight.clone());
            device.gates(&tile, buffer(a3), gate, gates);
        }
    }
    let [gathered, moved] = sums.map(tensor);
    let [gates, moved_gates] = gates.map_or([None, None], |gates| gates.map(|gates| Some(tensor(gates))));
    DualOutputs {
        primal: MessageOutputs { gathered, gates },
        tangent: MessageOutputs { gathered: moved, gates: moved_gates },
    }
}

impl<R: CubeRuntime, BT: BoolElement> DualDevice<'_, R, BT> {
    /// `u1` over its tangents, `[2 tile, F]`.
    pub(super) fn first(&self, tile: &Range<usize>) -> Rows<R, BT> {
        let primal = &self.primal;
        let u1 = empty(&primal.receiver, [2 * tile.len(), primal.width]);
        let units = tile.len() * primal.columns();
        let (count, dim) = elementwise(&primal.client, units);
        // SAFETY: units beyond the tile stop; edges, nodes and columns are within their buffers.
        unsafe {
            kernels::first::launch_unchecked::<R>(
                &primal.client,
                count,
                dim,
                addresses(&[&primal.receiver, &primal.features, &u1]),
                primal.vector(),
                primal.receiver.clone().into_array_arg(),
                primal.sender.clone().into_array_arg(),
                primal.features.clone().into_array_arg(),
                self.receiver.clone().into_array_arg(),
                self.sender.clone().into_array_arg(),
                self.features.clone().into_array_arg(),
                primal.edge_weight.clone().into_array_arg(),
                primal.receivers.clone().into_array_arg(),
                primal.senders.clone().into_array_arg(),
                u1.clone().into_array_arg(),
                tile.start,
                units,
                primal.columns(),
                primal.basis,
                self.factors.featured,
            );
        }
        tensor(u1)
    }

    /// `m` over its tangents, `[2 tile, F]`, from `a2` before its bias.
    pub(super) fn messages(&self, tile: &Range<usize>, a2: &CubeTensor<R>) -> CubeTensor<R> {
        let primal = &self.primal;
        let message = empty(a2, [2 * tile.len(), primal.width]);
        let units = tile.len() * primal.columns();
        let (count, dim) = elementwise(&primal.client, units);
        let Factors { enveloped, fading, .. } = self.factors;
        // SAFETY: units beyond the tile stop.
        unsafe {
            kernels::messages::launch_unchecked::<R>(
                &primal.client,
                count,
                dim,
                addresses(&[a2]),
                primal.vector(),
                a2.clone().into_array_arg(),
                primal.bias.clone().into_array_arg(),
                primal.envelope.clone().into_array_arg(),
                self.envelope.clone().into_array_arg(),
                message.clone().into_array_arg(),
                tile.start,
                units,
                primal.columns(),
                enveloped,
                fading,
            );
        }
        message
    }

    fn gates(
        &self,
        tile: &Range<usize>,
        a3: CubeTensor<R>,
        gate: &GateInputs<Cube<R, BT>>,
        [gates, moved]: &[CubeTensor<R>; 2],
    ) {
        let primal = &self.primal;
        let (count, dim) = rowwise(&primal.client, tile.len());
        // SAFETY: rows beyond the tile read and write nothing.
        unsafe {
            kernels::gates::launch_unchecked::<R>(
                &primal.client,
                count,
                dim,
                addresses(&[&a3, gates]),
                a3.into_array_arg(),
                buffer(gate.bias.clone()).into_array_arg(),
                buffer(gate.readout.clone()).into_array_arg(),
                gates.clone().into_array_arg(),
                moved.clone().into_array_arg(),
                tile.start,
                tile.len(),
                primal.width,
            );
        }
    }
}
