//! Edge features and envelope from squared distances.

use std::f64::consts::PI;

use burn::tensor::backend::Backend;
use isograd_ops::value::Value;
use serde::{Deserialize, Serialize};

use super::directions::Directions;
use super::distance::{SMALLEST_SQUARE, distance};
use crate::tensors::floats;

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
    /// `exp(-(r - mu_k)^2 / (2 w^2))` for `size` centres mu_k, evenly spaced by w from 0 to the cutoff (Schütt et al. 2018,
    /// arXiv:1712.06113).
    Gaussian {
        /// Number of features, K, at least 2.
        size: usize,
    },
}

impl Basis {
    /// Number of features, K.
    pub fn size(self) -> usize {
        match self {
            Self::SquaredDistance => 1,
            Self::Bessel { size } | Self::Gaussian { size } => size,
        }
    }

    /// Features `[E, K]` from squared distances `[E, 1]`.
    pub fn features<B: Backend>(self, cutoff: f64, squared: Value<B>) -> Value<B> {
        match self {
            Self::SquaredDistance => squared.div_scalar(cutoff * cutoff),
            Self::Bessel { size } => {
                let r = distance(squared);
                let numbers: Vec<f32> = (1..=size).map(|n| (n as f64 * PI / cutoff) as f32).collect();
                let frequencies = Value::new(floats(&numbers, [1, size], &r.device()));
                (r.clone() * frequencies).sin().mul_scalar((2.0 / cutoff).sqrt()).divided_by(r)
            }
            Self::Gaussian { size } => {
                let r = distance(squared);
                let width = cutoff / (size - 1) as f64;
                let numbers: Vec<f32> = (0..size).map(|k| (k as f64 * width) as f32).collect();
                let centres = Value::new(floats(&numbers, [1, size], &r.device()));
                (r - centres).square().mul_scalar(-0.5 / (width * width)).exp()
            }
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

impl Envelope {
    /// `[E, 1]` from squared distances `[E, 1]`; `None` means one.
    pub fn values<B: Backend>(self, cutoff: f64, squared: Value<B>) -> Option<Value<B>> {
        // One at the cutoff, to the last digit. Moved coordinates can leave it; beyond it the envelope stays zero.
        let farthest = (cutoff * cutoff + SMALLEST_SQUARE).sqrt();
        let d = || distance(squared.clone()).div_scalar(farthest).clamp_max(1.0);
        match self {
            Self::None => None,
            Self::Cosine => Some(d().mul_scalar(PI).cos().add_scalar(1.0).mul_scalar(0.5)),
            Self::Polynomial => {
                let d = d();
                let d2 = d.clone() * d.clone();
                let d6 = d2.clone() * d2.clone() * d2.clone();
                let tail = (d2.mul_scalar(-21.0) + d.mul_scalar(48.0)).add_scalar(-28.0);
                Some((d6 * tail).add_scalar(1.0))
            }
        }
    }
}

/// How a model sees an edge: its length, and its direction where it asks for that.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Radial {
    /// Where edges end.
    pub cutoff: f64,
    /// Edge features.
    pub basis: Basis,
    /// Fading at the cutoff.
    pub envelope: Envelope,
    /// Directions as tensors, where they are asked for.
    pub directions: Option<Directions>,
}

impl Radial {
    /// The length alone.
    pub fn new(cutoff: f64, basis: Basis, envelope: Envelope) -> Self {
        Self { cutoff, basis, envelope, directions: None }
    }

    /// And the direction.
    #[must_use]
    pub fn with_directions(self, directions: Directions) -> Self {
        Self { directions: Some(directions), ..self }
    }
}
