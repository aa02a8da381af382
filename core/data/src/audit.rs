//! A look at data before anything is trained on them. [`inspect`] says whether one frame can be trusted, a [`Summary`] what a
//! source holds. An [`Auditor`] takes its time: copies, labels that contradict each other, signs and units.

mod auditor;
mod bonds;
mod conclusions;
mod energies;
mod finding;
mod fingerprint;
mod glance;
mod judged;
mod leakage;
mod near;
mod slopes;
mod summary;
mod units;

use isograd_structure::{Pairs, Structure, pairs};
use serde::{Deserialize, Serialize};

pub use auditor::{AuditOptions, Auditor};
pub use conclusions::{Audit, AuditedSource, Copies, Distributions};
pub use finding::{Finding, Severity, Worst};
pub use glance::{Glance, Glimpse};
pub use leakage::{Leak, leaks};
pub use slopes::Slope;
pub(crate) use summary::Known;
pub use summary::Summary;

/// What to do with a frame that cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suspicious {
    /// Stop before training, and say why.
    #[default]
    Refuse,
    /// Leave the frame out, and count it.
    Filter,
}

/// The limits beyond which a frame is not trusted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Shortest distance between two atoms, in angstrom.
    pub shortest_distance: f64,
    /// Largest force component, in eV/angstrom.
    pub largest_force: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { shortest_distance: 0.4, largest_force: 100.0 }
    }
}

/// Why a frame is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// There are no atoms.
    Empty,
    /// A position, label or cell entry is NaN or infinite.
    NotFinite,
    /// Neither an energy nor forces nor any other column that was asked for.
    NoLabels,
    /// Two atoms are closer than the limit.
    Overlap,
    /// A force is larger than the limit.
    LargeForce,
    /// The lattice vectors of the periodic directions do not span them.
    FlatCell,
}

impl Fault {
    /// All faults, in their order.
    pub(crate) const ALL: [Self; 6] =
        [Self::Empty, Self::NotFinite, Self::NoLabels, Self::Overlap, Self::LargeForce, Self::FlatCell];

    /// The fault in one word, for programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotFinite => "not_finite",
            Self::NoLabels => "no_labels",
            Self::Overlap => "overlap",
            Self::LargeForce => "large_force",
            Self::FlatCell => "flat_cell",
        }
    }

    /// The fault in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Empty => "without atoms",
            Self::NotFinite => "with NaN or infinity",
            Self::NoLabels => "without any label",
            Self::Overlap => "with overlapping atoms",
            Self::LargeForce => "with a force above the limit",
            Self::FlatCell => "with a flat or missing periodic cell",
        }
    }
}

/// Two structures that are no farther apart are the same one, in angstrom: the square root of the sum of the squares of what atoms are
/// moved by. Files have four digits or more.
const SAME: f64 = 2e-3;

/// Labels without which a source is of no use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Whether energies are needed.
    pub energies: bool,
    /// Whether forces are needed.
    pub forces: bool,
    /// Whether stresses are needed.
    pub stresses: bool,
    /// Other columns that are needed.
    pub columns: Vec<String>,
}

/// Distances above this are not looked at, in angstrom.
const FAR: f64 = 4.0;

/// What a look at one structure finds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Inspection {
    /// Its first fault.
    pub fault: Option<Fault>,
    /// Its pairs of atoms: edges within the cutoff, and the shortest distance below 4 angstrom; nothing where they could not
    /// be searched for.
    pub pairs: Pairs,
}

/// Looks at a structure, whose edges are those shorter than `cutoff` angstrom: one search for neighbours.
pub fn inspect(structure: &Structure, limits: &Limits, cutoff: f64) -> Inspection {
    let faulty = |fault| Inspection { fault: Some(fault), pairs: Pairs::default() };
    if structure.is_empty() {
        return faulty(Fault::Empty);
    }
    let geometry = &structure.geometry;
    let finite = geometry.positions.as_flattened().iter().all(|v| v.is_finite())
        && structure.energy.is_none_or(f64::is_finite)
        && structure.forces.iter().flatten().flatten().all(|v| v.is_finite())
        && structure.stress.iter().flatten().flatten().all(|v| v.is_finite())
        && structure.columns.values().flatten().all(|v| v.is_finite());
    if !finite {
        return faulty(Fault::NotFinite);
    }
    let Ok(pairs) = pairs(geometry, cutoff, FAR) else {
        return faulty(Fault::FlatCell);
    };
    let fault = if pairs.shortest.is_some_and(|distance| distance < limits.shortest_distance) {
        Some(Fault::Overlap)
    } else if structure.labelled_forces().any(|v| v.abs() > limits.largest_force) {
        Some(Fault::LargeForce)
    } else if structure.energy.is_none() && structure.forces.is_none() && structure.columns.is_empty() {
        Some(Fault::NoLabels)
    } else {
        None
    };
    Inspection { fault, pairs }
}
