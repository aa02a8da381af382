//! The hyper-parameters of an [`Egnn`](super::Egnn), validated.

use isograd_structure::Element;
use serde::{Deserialize, Serialize};

/// How the work on edges is done. The results are the same up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageKind {
    /// By the backend's own operation, which holds nothing of size `[E, F]`. Layers with attention are
    /// composed all the same.
    #[default]
    Fused,
    /// By plain tensor operations.
    Composed,
}

/// What an edge tells the message about its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Basis {
    /// The squared distance over the squared cutoff, as in the paper; one feature.
    SquaredDistance,
    /// `sqrt(2 / r_c) sin(n pi r / r_c) / r` for n = 1 to `size` (Gasteiger et al. 2020,
    /// arXiv:2003.03123, eq. 7).
    Bessel {
        /// Number of features, K.
        size: usize,
    },
}

impl Basis {
    /// Number of features, K.
    pub fn size(self) -> usize {
        match self {
            Self::SquaredDistance => 1,
            Self::Bessel { size } => size,
        }
    }
}

/// What messages are multiplied by, so that an edge fades out before it leaves the cutoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// One: energies and forces jump when an atom crosses the cutoff.
    None,
    /// `(1 + cos(pi r / r_c)) / 2`, zero with zero slope at the cutoff.
    Cosine,
    /// `1 - 28 d^6 + 48 d^7 - 21 d^8` with d = r / r_c, zero with zero slope and curvature at the
    /// cutoff (Gasteiger et al. 2020, eq. 8, p = 6).
    Polynomial,
}

/// Where forces come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForceHead {
    /// `sum_j r_ij / |r_ij| phi_F(m_ij)` from the last layer's messages.
    Direct,
    /// How far the coordinate updates moved the atom; needs `coordinate_updates`.
    Displacement,
}

/// Everything that decides the shape of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgnnConfig {
    /// Elements, in the order of the embedding's rows.
    pub elements: Vec<Element>,
    /// F.
    pub width: usize,
    /// L.
    pub layers: usize,
    /// Cutoff of the neighbour list in angstrom.
    pub cutoff: f64,
    /// Edge features.
    pub basis: Basis,
    /// Fading at the cutoff.
    pub envelope: Envelope,
    /// Whether each message is multiplied by `sigmoid(m . a + b)` (Satorras et al. 2021, eq. 8).
    pub attention: bool,
    /// Whether layers move the coordinates (all but the last, unless forces are displacements).
    pub coordinate_updates: bool,
    /// Where forces come from.
    pub forces: ForceHead,
    /// Number of heads: energy and force readouts over one trunk.
    pub heads: usize,
    /// What the energy of an atom is multiplied by, in eV.
    pub energy_scale: f64,
    /// What direct forces are multiplied by, in eV/angstrom.
    pub force_scale: f64,
}

impl EgnnConfig {
    /// Checks that a model can be made of this.
    ///
    /// # Errors
    /// The key and what was expected.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        let range = |key, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err((key, format!("is {value}, expected {low} to {high}")))
        };
        range("width", self.width, 1, 1 << 16)?;
        range("layers", self.layers, 1, 1024)?;
        range("basis.size", self.basis.size(), 1, 1024)?;
        range("heads", self.heads, 1, 1024)?;
        if !(self.cutoff > 0.0 && self.cutoff <= 100.0) {
            return Err(("cutoff", format!("is {}, expected above 0 and at most 100 angstrom", self.cutoff)));
        }
        if self.elements.is_empty() {
            return Err(("elements", "is empty, expected symbols as in [\"H\", \"C\"]".into()));
        }
        let mut sorted = self.elements.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(("elements", format!("names {} twice", pair[0])));
        }
        if self.forces == ForceHead::Displacement && !self.coordinate_updates {
            return Err(("forces", "is \"displacement\", which needs coordinate_updates = true".into()));
        }
        for (key, scale) in [("energy_scale", self.energy_scale), ("force_scale", self.force_scale)] {
            if !(scale.is_finite() && scale > 0.0) {
                return Err((key, format!("is {scale}, expected a positive number")));
            }
        }
        Ok(())
    }
}
