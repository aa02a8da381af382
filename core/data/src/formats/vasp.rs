//! Output of VASP 5 and 6: OUTCAR and vasprun.xml. Both have a frame for each ionic step.
//!
//! | key or column | OUTCAR | vasprun.xml |
//! |---|---|---|
//! | `energy` | `free  energy   TOTEN` | `e_fr_energy`, less pressure times volume |
//! | `energy_without_entropy` | `energy  without entropy` | from `e_wo_entrp` |
//! | `energy_sigma_0` | `energy(sigma->0)` | from `e_0_energy` |
//! | `forces` | `TOTAL-FORCE` | `forces` |
//! | `stress` | `in kB` | `stress` |
//! | `electronic_steps` | `Iteration` lines | `scstep` elements |
//! | `converged` | EDIFF was reached | fewer electronic steps than NELM |
//! | `magmoms` | `magnetization (x)`, with LORBIT | |
//! | `move_mask` | | `selective` |
//!
//! Units are eV, angstrom and kbar. A stress is written with compression positive, and is turned to tension positive.
//!
//! # The energy
//! VASP's forces and stress are derivatives of the free energy of the electrons at the width SIGMA, TOTEN, so this is
//! `energy`. The energy extrapolated to a width of zero is what ASE calls the potential energy and pymatgen the final
//! energy; a config picks it with `keys.energy = "energy_sigma_0"`. The two are the same where no state is partly
//! occupied.
//!
//! # Steps that are left out, and steps that are errors
//! What a machine-learned force field (ML_FF) has predicted is no label: such steps are left out, and a run that has no
//! other is an error. A run that was killed is read up to its last complete step, and then is an error that says what
//! to keep of the file. An electronic loop that ended at NELM gives a frame with `converged` false.
//!
//! # Which of the two
//! vasprun.xml: positions have 8 digits of a fraction of the cell, and not 5 of an angstrom. OUTCAR has magnetic
//! moments. An OUTCAR of a nudged elastic band is read, for its tables come before the forces of the band are added; a
//! vasprun.xml of one is an error. A folder with both is read as its vasprun.xml.

mod lines;
mod numbers;
mod outcar;
mod species;
mod step;
mod vasprun;
mod xml;

pub use outcar::{Outcar, OutcarReader};
pub use vasprun::{VaspRun, VaspRunReader};
