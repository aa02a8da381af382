//! Forward, tile by tile.

use std::ops::Range;

use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::{CubeDim, calculate_cube_count_elemwise};

use super::{Device, Rows, kernels};
use crate::cube::products::matmul;
use crate::cube::sum::add_groups;
use crate::cube::{Cube, addresses, buffer, elementwise, empty};
use crate::message::{GateInputs, MessageInputs, MessageOutputs};
use crate::primitive::tensor;

/// Sums of messages, and gates, of all edges.
pub(super) fn message<R: CubeRuntime, BT: BoolElement>(
    device: &Device<'_, R, BT>,
    inputs: &MessageInputs<Cube<R, BT>>,
) -> MessageOutputs<Cube<R, BT>> {
    let sums = buffer(inputs.receiver.zeros_like());
    let gates = inputs.gate.as_ref().map(|_| empty(&sums, [device.count, 1]));
    for tile in device.tiles(1) {
        let u1 = device.first(&tile);
        let a2 = buffer(matmul(u1, inputs.weight.clone()));
        let messages = device.messages(&tile, &a2, inputs.envelope.is_some());
        add_groups(&device.edges.receivers, &messages, 0, &tile, &device.receivers_of(&tile), &sums);
        if let (Some(gate), Some(gates)) = (&inputs.gate, &gates) {
            let a3 = matmul(tensor::<Cube<R, BT>, 2>(messages), gate.weight.clone());
            device.gates(&tile, buffer(a3), gate, gates);
        }
    }
    MessageOutputs { gathered: tensor(sums), gates: gates.map(tensor) }
}

/// The launch of a kernel whose cubes have `ROWS` rows of `LANES` units, one row for each of `rows`.
pub(super) fn rowwise<R: CubeRuntime>(client: &cubecl::client::ComputeClient<R>, rows: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_2d(kernels::LANES, kernels::ROWS);
    (calculate_cube_count_elemwise(client, rows * kernels::LANES as usize, dim), dim)
}

impl<R: CubeRuntime, BT: BoolElement> Device<'_, R, BT> {
    /// `u1 [tile, F]`.
    pub(super) fn first(&self, tile: &Range<usize>) -> Rows<R, BT> {
        let u1 = empty(&self.receiver, [tile.len(), self.width]);
        let units = tile.len() * self.columns();
        let (count, dim) = elementwise(&self.client, units);
        // SAFETY: units beyond the tile stop; edges, nodes and columns are within their buffers.
        unsafe {
            kernels::first::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                addresses(&[&self.receiver, &self.features, &u1]),
                self.vector(),
                self.receiver.clone().into_array_arg(),
                self.sender.clone().into_array_arg(),
                self.features.clone().into_array_arg(),
                self.edge_weight.clone().into_array_arg(),
                self.receivers.clone().into_array_arg(),
                self.senders.clone().into_array_arg(),
                u1.clone().into_array_arg(),
                tile.start,
                units,
                self.columns(),
                self.basis,
            );
        }
        tensor(u1)
    }

    /// `m [tile, F]` from `a2` before its bias.
    pub(super) fn messages(&self, tile: &Range<usize>, a2: &CubeTensor<R>, enveloped: bool) -> CubeTensor<R> {
        let message = empty(a2, [tile.len(), self.width]);
        let units = tile.len() * self.columns();
        let (count, dim) = elementwise(&self.client, units);
        // SAFETY: units beyond the tile stop.
        unsafe {
            kernels::messages::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                addresses(&[a2]),
                self.vector(),
                a2.clone().into_array_arg(),
                self.bias.clone().into_array_arg(),
                self.envelope.clone().into_array_arg(),
                message.clone().into_array_arg(),
                tile.start,
                units,
                self.columns(),
                enveloped,
            );
        }
        message
    }

    fn gates(&self, tile: &Range<usize>, a3: CubeTensor<R>, gate: &GateInputs<Cube<R, BT>>, gates: &CubeTensor<R>) {
        let (count, dim) = rowwise(&self.client, tile.len());
        // SAFETY: rows beyond the tile read and write nothing.
        unsafe {
            kernels::gates::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                addresses(&[&a3, gates]),
                a3.into_array_arg(),
                buffer(gate.bias.clone()).into_array_arg(),
                buffer(gate.readout.clone()).into_array_arg(),
                gates.clone().into_array_arg(),
                tile.start,
                tile.len(),
                self.width,
            );
        }
    }
}
