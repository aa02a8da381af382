//! Gradients of the weights, summed over the tiles.

use burn::tensor::Tensor;
use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;

use super::Rows;
use crate::cube::Cube;
use crate::message::{GateInputs, MessageInputs, WeightGradients};
use crate::primitive::tensor;

/// The sums so far; `None` before the first tile.
pub(super) struct Sums<R: CubeRuntime, BT: BoolElement> {
    pub(super) edge_weight: Option<Rows<R, BT>>,
    pub(super) weight: Option<Rows<R, BT>>,
    pub(super) bias: Option<Tensor<Cube<R, BT>, 1>>,
    gate: Option<GateInputs<Cube<R, BT>>>,
}

impl<R: CubeRuntime, BT: BoolElement> Default for Sums<R, BT> {
    fn default() -> Self {
        Self { edge_weight: None, weight: None, bias: None, gate: None }
    }
}

impl<R: CubeRuntime, BT: BoolElement> Sums<R, BT> {
    /// Adds what a tile has found for the gate, if anything.
    pub(super) fn add_gate(&mut self, found: Option<GateInputs<Cube<R, BT>>>) {
        self.gate = match (self.gate.take(), found) {
            (Some(sums), Some(found)) => Some(GateInputs {
                weight: sums.weight + found.weight,
                bias: sums.bias + found.bias,
                readout: sums.readout + found.readout,
            }),
            (sums, found) => found.or(sums),
        };
    }

    /// Zeros where there were no tiles.
    pub(super) fn into_gradients(self, inputs: &MessageInputs<Cube<R, BT>>) -> WeightGradients<Cube<R, BT>> {
        WeightGradients {
            edge_weight: self.edge_weight.unwrap_or_else(|| inputs.edge_weight.zeros_like()),
            weight: self.weight.unwrap_or_else(|| inputs.weight.zeros_like()),
            bias: self.bias.unwrap_or_else(|| inputs.bias.zeros_like()),
            gate: self.gate,
        }
    }
}

/// Adds one more part to a sum.
pub(super) fn add<R: CubeRuntime, BT: BoolElement, const D: usize>(
    sum: &mut Option<Tensor<Cube<R, BT>, D>>,
    part: Tensor<Cube<R, BT>, D>,
) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + part,
        None => part,
    });
}

/// The sum over all rows, `[F]`.
pub(super) fn column_sums<R: CubeRuntime, BT: BoolElement>(rows: CubeTensor<R>) -> Tensor<Cube<R, BT>, 1> {
    tensor::<Cube<R, BT>, 2>(rows).sum_dim(0).squeeze_dim(0)
}
