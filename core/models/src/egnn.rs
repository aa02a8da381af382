//! The EGNN of Satorras, Hoogeboom and Welling (2021, arXiv:2102.09844) with what atomistic data ask of it: periodic
//! edges, a radial basis, a smooth cutoff, and vectors per node that are equivariant by construction.
//!
//! With receiver i, sender j, distance r and an envelope w:
//! - m_ij = phi_e(h_i, h_j, g(r_ij)) w(r_ij)
//! - x_i <- x_i - C_i sum_j r_ij phi_x(m_ij) w(r_ij), C_i = 1 / (1 + sum_j w(r_ij)); without an envelope one over the
//!   number of neighbours, as in the paper
//! - with velocities, x_i moves by phi_v(h_i) v_i too
//! - h_i <- h_i + phi_h(h_i, sum_j m_ij)
//! - direct vectors are sum_j r_ij / |r_ij| phi_F(m_ij) w(r_ij), of the last layer's messages

mod layer;

use isograd_engine::Declare;
use isograd_ops::message::MessageBackend;
use serde::{Deserialize, Serialize};

use crate::nn::{Basis, Embedding, Envelope, Normalisation, Radial, stack};
use crate::{Architecture, GraphBlocks, GraphNeeds, Inputs, Invalid, NodeVectors, Promises};
use layer::Layer;

/// Hyper-parameters of an EGNN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Egnn {
    /// Width F of node features and messages. Default 128.
    pub width: usize,
    /// Number of layers L. Default 4.
    pub layers: usize,
    /// Cutoff in angstrom. Default 5.
    pub cutoff: f64,
    /// Edge features. Default `{ kind = "bessel", size = 16 }`.
    pub basis: Basis,
    /// Fading at the cutoff. Default `polynomial`.
    pub envelope: Envelope,
    /// Whether each message is multiplied by `sigmoid(m . a + b)` (Satorras et al. 2021, eq. 8). Default false.
    pub attention: bool,
    /// Whether layers move the coordinates (all but the last, unless displacements are asked for). Default false.
    pub coordinate_updates: bool,
    /// Whether nodes have velocities v_i: their squared length is among the first features, and a layer that moves
    /// coordinates moves them along by `phi_v(h_i) v_i` as well (Satorras et al. 2021, eq. 7). Default false.
    pub velocities: bool,
    /// Share of the first features that is mixed into what each layer reads, for deep models; with it a layer's update
    /// counts `ln(1 + 1 / 2l)` in layer l, from 1 (after Chen et al. 2020, GCNII, arXiv:2007.02133). Default 0: neither.
    pub initial_residual: f64,
    /// Normalisation of the features that a layer reads. Default `none`.
    pub normalisation: Normalisation,
}

impl Default for Egnn {
    fn default() -> Self {
        Self {
            width: 128,
            layers: 4,
            cutoff: 5.0,
            basis: Basis::Bessel { size: 16 },
            envelope: Envelope::Polynomial,
            attention: false,
            coordinate_updates: false,
            velocities: false,
            initial_residual: 0.0,
            normalisation: Normalisation::None,
        }
    }
}

impl Egnn {
    /// Whether a layer moves coordinates.
    fn moves(&self, layer: usize, vectors: NodeVectors) -> bool {
        self.coordinate_updates && (layer + 1 < self.layers || vectors == NodeVectors::Displacement)
    }

    fn radial(&self) -> Radial {
        Radial::new(self.cutoff, self.basis, self.envelope)
    }
}

impl Architecture for Egnn {
    const KIND: &'static str = "egnn";

    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
        Invalid::unless_sizes(self.width, self.layers, self.cutoff)?;
        let fewest = if matches!(self.basis, Basis::Gaussian { .. }) { 2 } else { 1 };
        Invalid::unless_within("basis.size", self.basis.size(), fewest, 1024)?;
        if !(0.0..1.0).contains(&self.initial_residual) {
            return Err(Invalid::new(
                "initial_residual",
                format!("is {}, expected 0 to below 1", self.initial_residual),
            ));
        }
        if inputs.vectors == NodeVectors::Displacement && !self.coordinate_updates {
            return Err(Invalid::new("forces", "is \"displacement\", which needs coordinate_updates = true"));
        }
        if self.velocities && !self.coordinate_updates {
            return Err(Invalid::new("velocities", "is true, which needs coordinate_updates = true"));
        }
        Ok(())
    }

    fn needs(&self) -> GraphNeeds {
        GraphNeeds { velocities: self.velocities, ..GraphNeeds::within(self.cutoff) }
    }

    fn width(&self) -> usize {
        self.width
    }

    fn promises(&self) -> Promises {
        Promises { equivariant: true, smooth: self.envelope != Envelope::None }
    }

    fn blocks<B: MessageBackend>(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<B> {
        let embedding = |declare: &mut Declare| {
            let embedding = Embedding::declare(declare, inputs.species.len(), self.width);
            if self.velocities { embedding.with_speeds(declare, self.width) } else { embedding }
        };
        stack(declare, embedding, self.layers, |declare, layer| Layer::declare(declare, self, inputs, layer))
    }
}
