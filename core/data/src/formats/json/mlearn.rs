//! mlearn (github.com/materialsvirtuallab/mlearn, and maml after it): a list of `{"structure", "outputs": {"energy",
//! "forces", "virial_stress"}, "num_atoms", "element", "group", "tag", "description"}`.
//!
//! - `virial_stress` becomes `stress`. Its authors give it in kbar as xx yy zz xy yz xz (issue 64; so does the code
//!   that writes potentials' input from it), and the data agree: of silicon under compression the diagonal is positive,
//!   so compression is, and each of the shears has its component where that order has it.
//! - `group` (`AIMD NVT`, `Elastic`, `Surface`, ..), `tag` (`train`, `test`), `element` and `description` are text
//!   keys.
//! - `num_atoms`, where it is there, has to be the number of sites.

use super::document::Result;
use super::labels::{Labels, VASP};
use super::record::{Record, Value};
use crate::formats::Frame;

/// The key that no other layout has.
pub(super) const TELLING: &str = "outputs";

/// What is read of an item.
pub(super) const FIELDS: &[&str] = &[
    "outputs.energy",
    "outputs.forces",
    "outputs.virial_stress",
    "num_atoms",
    "element",
    "group",
    "tag",
    "description",
];

/// A frame.
pub(super) fn frame(record: Record) -> Result<Frame> {
    let mut labels = Labels::of(record)?;
    if let Some(Value::Number(said)) = labels.record().get("num_atoms")
        && *said != labels.atoms() as f64
    {
        return Err(format!("`num_atoms` is {said}, and the structure has {} sites", labels.atoms()));
    }
    for key in ["group", "tag", "element", "description"] {
        labels = labels.text(key, key)?;
    }
    let labels = labels
        .number("energy", "outputs.energy")?
        .vectors("forces", "outputs.forces")?
        .stress("outputs.virial_stress", Some(VASP))?;
    Ok(labels.frame())
}
