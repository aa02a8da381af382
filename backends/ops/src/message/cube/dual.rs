//! The operation on values and tangents on wgpu and CUDA. A buffer of a tile has the rows of values over those of
//! their tangents: each product with weights is then one product of all of them.

pub(super) mod backward;
pub(super) mod forward;
mod kernels;

use std::ops::Range;

use burn_cubecl::CubeRuntime;
use burn_cubecl::element::BoolElement;
use burn_cubecl::tensor::CubeTensor;

use super::Device;
use crate::cube::{Cube, buffer};
use crate::index::EdgeIndex;
use crate::message::DualInputs;
use crate::message::dual::dual_sizes;

/// What kernels read in every tile.
pub(super) struct DualDevice<'a, R: CubeRuntime, BT: BoolElement> {
    primal: Device<'a, R, BT>,
    receiver: CubeTensor<R>,
    sender: CubeTensor<R>,
    /// The buffer of the values where there are no tangents, which no kernel then reads; the same of `envelope`.
    features: CubeTensor<R>,
    envelope: CubeTensor<R>,
    factors: Factors,
}

/// Which factors there are.
#[derive(Clone, Copy)]
struct Factors {
    /// Tangents of features.
    featured: bool,
    /// An envelope.
    enveloped: bool,
    /// Tangents of the envelope.
    fading: bool,
}

impl<'a, R: CubeRuntime, BT: BoolElement> DualDevice<'a, R, BT> {
    /// `None` where there are no edges; all shapes are checked.
    pub(super) fn new(edges: &'a EdgeIndex<Cube<R, BT>>, inputs: &DualInputs<Cube<R, BT>>) -> Option<Self> {
        dual_sizes(edges, inputs);
        let DualInputs { primal, tangent } = inputs;
        let device = Device::new(edges, primal)?;
        let factors = Factors {
            featured: tangent.features.is_some(),
            enveloped: primal.envelope.is_some(),
            fading: tangent.envelope.is_some(),
        };
        Some(Self {
            receiver: buffer(tangent.receiver.clone()),
            sender: buffer(tangent.sender.clone()),
            features: tangent.features.clone().map_or_else(|| device.features.clone(), buffer),
            envelope: tangent.envelope.clone().map_or_else(|| device.envelope.clone(), buffer),
            primal: device,
            factors,
        })
    }

    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<R, BT> {
        self.primal.tiles(2)
    }
}
