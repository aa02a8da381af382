//! What is found of a source in passing, in memory that does not grow with it: signs and units, energies that were left behind
//! when atoms moved, and structures that are there twice. An [`Auditor`](super::Auditor) finds more.

use std::collections::HashSet;

use isograd_structure::{Structure, Units};

use super::auditor::{FORCE_PAIRS, SIZES, geometry_hash};
use super::bonds::Bonds;
use super::energies::{are_per_atom, residuals};
use super::finding::{Finding, Severity, Worst};
use super::judged::{self, Judged};
use super::slopes::{ForceSlope, slope};
use super::{Inspection, Summary};
use crate::Fit;
use crate::reservoir::Reservoir;
use crate::store::Composition;

/// Energies that are looked at, drawn evenly.
const ENERGIES: usize = 4096;

/// Structures that later ones are held against.
const REMEMBERED: usize = 1 << 17;

/// What a look in passing concludes.
#[derive(Debug, Clone, Default)]
pub struct Glimpse {
    /// What is wrong, with remedies.
    pub findings: Vec<Finding>,
    /// What `units` would mend it: as in `forces_are_gradients = true`.
    pub units: Vec<String>,
    /// What atoms of each element contribute to energies, without frames that are far off; `None` without energies.
    pub references: Option<Fit>,
    /// What is left of energies, of some frames, in eV per atom, less the median.
    pub left: Vec<f64>,
    /// Structures with exactly the positions of an earlier one, as far as was looked.
    pub copies: usize,
}

/// Looks at the structures of a source as they go by.
#[derive(Debug)]
pub struct Glance {
    units: Units,
    forces: ForceSlope,
    bonds: Bonds,
    energies: Reservoir<(Composition, f64)>,
    /// Hash of the geometry, and energy, of the frame before in the same file.
    previous: Option<(u64, f64)>,
    stale: usize,
    first_stale: Option<String>,
    first_energy: Option<f64>,
    energies_differ: bool,
    seen: HashSet<u64>,
    copies: usize,
    first_copy: Option<String>,
}

impl Glance {
    /// Nothing was looked at yet, of a source that is read with these units.
    pub fn new(units: Units) -> Self {
        Self {
            units,
            forces: ForceSlope::default(),
            bonds: Bonds::default(),
            energies: Reservoir::new(ENERGIES),
            previous: None,
            stale: 0,
            first_stale: None,
            first_energy: None,
            energies_differ: false,
            seen: HashSet::new(),
            copies: 0,
            first_copy: None,
        }
    }

    /// A new file begins.
    pub fn next_file(&mut self) {
        self.previous = None;
    }

    /// Looks at a structure, and at what its inspection found; `place` is its file and frame.
    pub fn add(&mut self, structure: &Structure, found: &Inspection, place: impl Fn() -> String) {
        if found.fault.is_some() {
            return;
        }
        self.forces.add(structure);
        self.bonds.add(structure);
        let hash = geometry_hash(structure);
        if self.seen.contains(&hash) {
            self.copies += 1;
            self.first_copy.get_or_insert_with(&place);
        } else if self.seen.len() < REMEMBERED {
            self.seen.insert(hash);
        }
        let Some(energy) = structure.energy else { return };
        self.energies.add(|| (Composition::of(&structure.elements), energy));
        if self.previous.is_some_and(|(before, of_it)| before != hash && of_it == energy) {
            self.stale += 1;
            self.first_stale.get_or_insert_with(&place);
        }
        self.previous = Some((hash, energy));
        self.energies_differ |= *self.first_energy.get_or_insert(energy) != energy;
    }

    /// As [`Glance::add`], of a labelled frame of which no more is known.
    pub(crate) fn add_energy(&mut self, composition: &Composition, energy: f64) {
        self.energies.add(|| (composition.clone(), energy));
    }

    /// What was found, beside what a summary of the same structures says.
    pub fn conclude(self, summary: &Summary) -> Glimpse {
        let mut glimpse = Glimpse { copies: self.copies, ..Glimpse::default() };
        let finding = |judged: Judged, frames: usize, place: Option<&String>| Finding {
            kind: judged.kind,
            severity: judged.severity,
            source: None,
            frames,
            of: summary.frames,
            says: judged.says,
            remedy: judged.remedy,
            worst: place
                .map(|place| Worst { place: place.clone(), beside: None, value: None, unit: "" })
                .into_iter()
                .collect(),
        };
        let labelled: Vec<_> = self.energies.kept().iter().map(|(own, energy)| (own.0.as_slice(), *energy)).collect();
        let atoms = |(own, _): &(Composition, f64)| own.0.iter().map(|(_, count)| count).sum::<u32>();
        let sizes: HashSet<u32> = self.energies.kept().iter().map(atoms).collect();
        let per_atom = labelled.len() >= SIZES && sizes.len() > 1 && are_per_atom(&labelled);
        if per_atom {
            let says = "energies do not grow with the number of atoms: they are probably energies per atom".to_owned();
            let line = "energies_are_per_atom = true";
            let remedy = Some(format!("units.{line}"));
            let judged = Judged { kind: "energy_per_atom", severity: Severity::Error, says, remedy };
            glimpse.findings.push(finding(judged, summary.with_energy, None));
            glimpse.units.push(line.into());
        }
        if !labelled.is_empty() && !per_atom {
            let found = residuals(&labelled);
            (glimpse.references, glimpse.left) = (Some(found.fit), found.left);
        }
        // Energies that are read as others say nothing of forces.
        let found = slope(&self.forces.differences(), FORCE_PAIRS);
        if !per_atom && let Some(judged) = judged::forces(found, self.bonds.restoring(), &self.units) {
            glimpse.units.extend(lines(&judged));
            glimpse.findings.push(finding(judged, summary.with_forces, None));
        }
        if !per_atom && let Some(judged) = summary.stress_slope().and_then(|own| judged::stresses(own, &self.units)) {
            glimpse.units.extend(lines(&judged));
            glimpse.findings.push(finding(judged, summary.with_stress, None));
        }
        if self.stale > 0 && summary.zero_energies == 0 {
            let constant = self.stale > 1 && !self.energies_differ;
            let judged = if constant {
                let says = "every frame has the same energy, though atoms are elsewhere".into();
                let remedy = Some("name the right key with keys.energy".into());
                Judged { kind: "constant_energy", severity: Severity::Error, says, remedy }
            } else {
                let of = summary.with_energy;
                let says = format!(
                    "{} of {of} frames have exactly the energy of the frame before, though atoms have moved",
                    self.stale
                );
                Judged { kind: "stale_energy", severity: Severity::Warning, says, remedy: None }
            };
            glimpse.findings.push(finding(judged, self.stale, self.first_stale.as_ref()));
        }
        if self.copies > 0 {
            let says =
                format!("{} of {} frames have exactly the positions of an earlier one", self.copies, summary.frames);
            let remedy = Some("isograd data audit ... --write CLEAN leaves them out".into());
            let judged = Judged { kind: "copies", severity: Severity::Warning, says, remedy };
            glimpse.findings.push(finding(judged, self.copies, self.first_copy.as_ref()));
        }
        glimpse.findings.sort_by_key(|finding| (finding.severity, std::cmp::Reverse(finding.frames)));
        glimpse
    }
}

/// The lines of `units` in a remedy.
fn lines(judged: &Judged) -> Vec<String> {
    let remedy = judged.remedy.as_deref().unwrap_or_default();
    remedy.split(", ").filter_map(|line| line.strip_prefix("units.")).map(str::to_owned).collect()
}
