//! Normalisation of node features.

use burn::tensor::backend::Backend;
use isograd_engine::{BlockWeights, Declare, Init, Slot};
use isograd_ops::value::Value;
use serde::{Deserialize, Serialize};

/// How features are normalised before a layer reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Not at all.
    #[default]
    None,
    /// Each node's features to mean 0 and variance 1, then a learned scale and shift (Ba et al. 2016, arXiv:1607.06450).
    Layer,
}

/// Added to variances.
const EPSILON: f64 = 1e-5;

/// Layer normalisation, `(x - mean) / sqrt(variance + 1e-5) scale + shift`.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm {
    scale: Slot<1>,
    shift: Slot<1>,
}

impl LayerNorm {
    /// Of rows of this width, under a name; `None` where features are not normalised.
    pub fn declare(declare: &mut Declare, kind: Normalisation, name: &str, width: usize) -> Option<Self> {
        let mut scope = declare.scope(name);
        (kind == Normalisation::Layer).then(|| Self {
            scale: scope.slot("scale", [width], Init::Constant(1.0)),
            shift: scope.slot("shift", [width], Init::Constant(0.0)),
        })
    }

    /// `[rows, width]` to the same.
    pub fn apply<B: Backend>(&self, weights: &BlockWeights<B>, x: Value<B>) -> Value<B> {
        let [_, width] = x.dims();
        let mean = |x: Value<B>| x.sum_columns().div_scalar(width as f64);
        let centred = x.clone() - mean(x);
        let deviation = mean(centred.clone().square()).add_scalar(EPSILON).sqrt();
        centred.divided_by(deviation).mul_row(weights.get(self.scale)).add_row(weights.get(self.shift))
    }
}
