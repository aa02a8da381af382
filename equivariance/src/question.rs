//! What a case asks of a model.

use serde::{Deserialize, Serialize};

use crate::{Rows, Transformation};

/// What a case compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Do the outputs transform as they should?
    Transforms(Transformation),
    /// Are they the same with edges in another order?
    EdgeOrder(u32),
    /// Are several systems together the same as each alone?
    Batch,
    /// Are the outputs of the first system the same beside the second as beside the third?
    OtherGraphs,
    /// Do outputs of two systems add up when the second is moved this far away?
    Separation(Vec<f64>),
    /// Are outputs continuous where the first node leaves the cutoff of the second, moving away along
    /// the line between them?
    CutoffValue,
    /// Are their slopes?
    CutoffSlope,
    /// Are forces the negative derivative of the energy along this direction, `[N, D]`?
    Conservative(Rows),
    /// Is the stress the derivative of the energy along this symmetric strain, `[D, D]`, over the volume?
    Strain(Rows),
    /// Is there no net force: does the output sum to zero over nodes?
    ZeroSum,
    /// Is there no net torque?
    ZeroTorque,
}
