//! An ionic step, of either file, and the frame that it becomes.

use isograd_structure::{Element, StressUnit};

use crate::formats::{Data, Frame};

/// The units of all output of VASP.
const UNITS: &str = "eV, angstrom and kbar";

/// What was computed in an ionic step, in VASP's units.
#[derive(Default)]
pub(super) struct Step {
    /// Where it begins.
    pub(super) line: usize,
    /// Where its energies stand.
    pub(super) energy_line: usize,
    /// Lattice vectors, angstrom.
    pub(super) cell: [[f64; 3]; 3],
    /// Cartesian, angstrom.
    pub(super) positions: Vec<[f64; 3]>,
    pub(super) forces: Option<Vec<[f64; 3]>>,
    /// Compression positive, kbar.
    pub(super) stress: Option<[[f64; 3]; 3]>,
    pub(super) energies: Energies,
    pub(super) electronic_steps: Option<usize>,
    pub(super) converged: Option<bool>,
    /// Magnetic moments along x, y and z; along x alone where spins are collinear.
    pub(super) moments: [Option<Vec<f64>>; 3],
    /// Whether an atom may move.
    pub(super) free: Option<Vec<bool>>,
}

/// Energies of the electrons at the width SIGMA.
#[derive(Clone, Copy, Default)]
pub(super) struct Energies {
    /// The free energy, whose derivatives forces and stress are.
    pub(super) free: f64,
    /// Without the term of the entropy.
    pub(super) without_entropy: Option<f64>,
    /// Extrapolated to a width of zero.
    pub(super) sigma_0: Option<f64>,
}

impl Step {
    /// The frame, whose vectors and columns are as long as `elements`.
    pub(super) fn frame(self, elements: &[Element], index: usize) -> Frame {
        let Energies { free: energy, without_entropy, sigma_0 } = self.energies;
        let frame = Frame::of_atoms(elements, &self.positions).with_cell(&self.cell, [true; 3]).with("energy", energy);
        let frame = optional(frame, without_entropy, |frame, energy| frame.with("energy_without_entropy", energy));
        let frame = optional(frame, sigma_0, |frame, energy| frame.with("energy_sigma_0", energy));
        let frame = optional(frame, self.forces, |frame, forces| frame.with_vectors("forces", &forces));
        let frame = optional(frame, self.stress, |frame, kilobar| {
            let tension = -StressUnit::Kilobar.in_ev_per_cubic_angstrom();
            frame.with("stress", kilobar.map(|row| row.map(|component| component * tension)).as_flattened())
        });
        let frame = optional(frame, self.electronic_steps, |frame, count| frame.with("electronic_steps", count as f64));
        let frame = optional(frame, self.converged, |frame, yes| frame.with("converged", if yes { "T" } else { "F" }));
        let frame = optional(frame, self.free, |frame, free| frame.with_column("move_mask", Data::Logical(free)));
        let frame = match self.moments {
            [Some(x), Some(y), Some(z)] => {
                let vectors: Vec<[f64; 3]> = x.iter().zip(&y).zip(&z).map(|((&x, &y), &z)| [x, y, z]).collect();
                frame.with_vectors("magmoms", &vectors)
            }
            [Some(moments), None, None] => frame.with_column("magmoms", Data::Real(moments)),
            _ => frame,
        };
        Frame { line: self.line, header_line: self.energy_line, index, converted_from: Some(UNITS), ..frame }
    }
}

/// What to say of a run of which nothing was computed.
pub(super) fn all_predicted(steps: usize) -> String {
    format!(
        "all {steps} ionic steps were predicted by a machine-learned force field (ML_FF), and none was computed: there \
         is nothing to train on"
    )
}

/// The frame with what there is.
fn optional<T>(frame: Frame, value: Option<T>, with: impl FnOnce(Frame, T) -> Frame) -> Frame {
    match value {
        Some(value) => with(frame, value),
        None => frame,
    }
}
