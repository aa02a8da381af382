//! What a source holds, in a few numbers, and whether it is fit for training.

use std::collections::BTreeMap;
use std::path::PathBuf;

use isograd_structure::{Element, Structure};
use serde::Serialize;

use super::slopes::{Difference, Slope, StressSlope, slope};
use super::{Fault, Inspection, Needs, Suspicious};

/// RMS of a stress component in eV/angstrom^3 (80 GPa) above which units are probably others.
const LARGE_STRESS: f64 = 0.5;

/// The same below which they are (0.16 MPa).
const SMALL_STRESS: f64 = 1e-6;

/// Pairs of frames from which on the sign of stresses is believed, and how well they must agree on it.
const STRESS_PAIRS: usize = 8;
const AGREEMENT: f64 = 0.5;

/// What a summary needs to know of a frame, beside its elements.
pub(crate) struct Known {
    pub(crate) fault: Option<Fault>,
    pub(crate) atoms: usize,
    pub(crate) is_periodic: bool,
    pub(crate) energy: Option<f64>,
    /// How many force components are labels, and the sum of their squares; `None` without forces.
    pub(crate) forces: Option<(usize, f64)>,
    /// Largest force component; 0 without forces.
    pub(crate) largest_force: f64,
    pub(crate) has_stress: bool,
    pub(crate) shortest: Option<f64>,
}

/// For numbers that are only told where there are any.
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The numbers of the table that is printed for each source before training.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Frames in the files.
    pub frames: usize,
    /// Atoms in the frames that are kept.
    pub atoms: usize,
    /// Atoms per kept frame: fewest and most.
    pub atoms_per_frame: Option<(usize, usize)>,
    /// How many kept atoms there are of each element.
    pub elements: BTreeMap<Element, usize>,
    /// Kept frames with an energy.
    pub with_energy: usize,
    /// Kept frames with forces.
    pub with_forces: usize,
    /// Kept frames with a stress.
    pub with_stress: usize,
    /// Kept frames with a column that was asked for, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub with_columns: BTreeMap<String, usize>,
    /// Kept frames that say of which atoms forces are labels.
    #[serde(skip_serializing_if = "is_zero")]
    pub with_force_mask: usize,
    /// Kept frames that say what they count in the loss.
    #[serde(skip_serializing_if = "is_zero")]
    pub with_weight: usize,
    /// What is to be said of frames: how many, and where the first is.
    #[serde(skip)]
    pub remarks: BTreeMap<String, (usize, String)>,
    /// Kept frames that repeat in one direction or more.
    pub periodic: usize,
    /// Root mean square of all force components, eV/angstrom.
    pub force_rms: Option<f64>,
    /// Largest force component, eV/angstrom.
    pub force_maximum: Option<f64>,
    /// Root mean square of all stress components, eV/angstrom^3.
    pub stress_rms: Option<f64>,
    /// Shortest distance between two atoms, angstrom.
    pub shortest_distance: Option<f64>,
    /// Energy per atom, lowest and highest, eV.
    pub energy_per_atom: Option<(f64, f64)>,
    /// Frames whose energy is exactly zero.
    pub zero_energies: usize,
    /// Frames whose forces are all exactly zero (several atoms).
    pub zero_forces: usize,
    /// Frames that were not trusted, by reason.
    pub faults: BTreeMap<Fault, usize>,
    /// Where the first frame of each fault is.
    #[serde(skip)]
    pub first: BTreeMap<Fault, String>,
    /// What looks like labels under other names than those that were looked for, where one kind was not there at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_names: Option<String>,
    /// Keys that tell structures apart and are not read, where the first frame has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// Files in the folders that were named which hold no structures, and were not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_files: Vec<PathBuf>,
    #[serde(skip)]
    force_squares: f64,
    #[serde(skip)]
    force_components: usize,
    #[serde(skip)]
    stress_squares: f64,
    #[serde(skip)]
    stress_components: usize,
    #[serde(skip)]
    stresses: StressSlope,
}

impl Summary {
    /// Of nothing yet, beside files that were not read.
    pub fn beside(ignored_files: Vec<PathBuf>) -> Self {
        Self { ignored_files, ..Self::default() }
    }

    /// Takes one inspected frame into account; `place` is its file and frame.
    pub fn add(&mut self, structure: &Structure, found: &Inspection, place: impl Fn() -> String) {
        let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let components = structure.labelled_forces();
        let (count, sum, largest) = components.fold((0, 0.0, 0.0f64), |(count, sum, most), value| {
            (count + 1, sum + value * value, most.max(value.abs()))
        });
        for remark in &structure.remarks {
            let (count, _) = self.remarks.entry((*remark).to_owned()).or_insert_with(|| (0, place()));
            *count += 1;
        }
        let known = Known {
            fault: found.fault,
            atoms: structure.len(),
            is_periodic: structure.geometry.periodic.contains(&true),
            energy: structure.energy,
            forces: structure.forces.is_some().then_some((count, sum)),
            largest_force: largest,
            has_stress: structure.stress.is_some(),
            shortest: found.pairs.shortest,
        };
        self.add_known(&known, structure.elements.iter().map(|&element| (element, 1)), place);
        if found.fault.is_none() {
            if let Some(stress) = &structure.stress {
                self.stress_squares += squares(stress.as_flattened());
                self.stress_components += 9;
                self.stress_rms = Some((self.stress_squares / self.stress_components as f64).sqrt());
            }
            self.stresses.add(structure);
            self.with_force_mask += usize::from(structure.force_mask.is_some());
            self.with_weight += usize::from(structure.weight.is_some());
            for key in structure.columns.keys() {
                *self.with_columns.entry(key.clone()).or_default() += 1;
            }
        }
    }

    /// Takes one frame into account of which this is known, and how many atoms there are of each element, in any order.
    pub(crate) fn add_known(
        &mut self,
        known: &Known,
        elements: impl Iterator<Item = (Element, usize)>,
        place: impl Fn() -> String,
    ) {
        self.frames += 1;
        if let Some(fault) = known.fault {
            *self.faults.entry(fault).or_default() += 1;
            self.first.entry(fault).or_insert_with(place);
            return;
        }
        let atoms = known.atoms;
        self.atoms += atoms;
        self.atoms_per_frame = Some(widen(self.atoms_per_frame, atoms));
        for (element, count) in elements {
            *self.elements.entry(element).or_default() += count;
        }
        self.periodic += usize::from(known.is_periodic);
        self.with_stress += usize::from(known.has_stress);
        self.shortest_distance = minimum(self.shortest_distance, known.shortest);
        if let Some(energy) = known.energy {
            self.with_energy += 1;
            self.zero_energies += usize::from(energy == 0.0);
            self.energy_per_atom = Some(widen(self.energy_per_atom, energy / atoms as f64));
        }
        if let Some((components, squares)) = known.forces {
            self.with_forces += 1;
            let largest = known.largest_force;
            self.zero_forces += usize::from(largest == 0.0 && atoms > 1 && components > 0);
            self.force_maximum = Some(self.force_maximum.unwrap_or(0.0).max(largest));
            self.force_squares += squares;
            self.force_components += components;
            self.force_rms = Some((self.force_squares / self.force_components.max(1) as f64).sqrt());
        }
    }

    /// Frames that are kept.
    pub fn kept(&self) -> usize {
        self.frames - self.faults.values().sum::<usize>()
    }

    /// What makes the whole source unfit for training on what is needed of it, if anything, with
    /// the remedy.
    ///
    /// # Errors
    /// A sentence.
    pub fn verdict(&self, on_suspicious: Suspicious, needs: &Needs) -> Result<(), String> {
        let (needs_energies, needs_forces) = (needs.energies, needs.forces);
        if self.frames == 0 {
            return Err("there is not a single frame in its files".into());
        }
        if self.faults.get(&Fault::NoLabels) == Some(&self.frames)
            && let Some(names) = &self.other_names
        {
            return Err(format!("no frame has a label under the names that are looked for: {names}"));
        }
        let with_names = |message: &str| match &self.other_names {
            Some(names) => format!("{message} ({names})"),
            None => message.to_owned(),
        };
        let missing = |key: &String| {
            format!("no frame has `{key}`; name its comment key, or its column of atoms, with `key` in [task]")
        };
        if self.faults.get(&Fault::NoLabels) == Some(&self.frames)
            && let Some(key) = needs.columns.first()
        {
            return Err(missing(key));
        }
        if on_suspicious == Suspicious::Refuse && !self.faults.is_empty() {
            let list: Vec<String> = self
                .faults
                .iter()
                .map(|(fault, count)| format!("{count} {} (first: {})", fault.words(), self.first[fault]))
                .collect();
            return Err(format!(
                "of {} frames, {}; correct them, or leave them out with `suspicious = \"filter\"` in [data]",
                self.frames,
                list.join(", ")
            ));
        }
        if self.kept() == 0 {
            return Err("not a single frame is left after filtering".into());
        }
        if needs_forces && self.with_forces == 0 {
            return Err(with_names(
                "no frame has forces; name their column with `keys.forces`, or train on energies alone with \
                 `loss.force_weight = 0`",
            ));
        }
        if needs_energies && self.with_energy == 0 {
            return Err(with_names(
                "no frame has an energy; name its key with `keys.energy`, or train on forces alone with \
                 `loss.energy_weight = 0`",
            ));
        }
        if needs.stresses && self.with_stress == 0 {
            return Err(with_names(
                "no frame has a stress; name its key with `keys.stress` or `keys.virial`, or train without it with \
                 `loss.stress_weight = 0`",
            ));
        }
        if let Some(key) = needs.columns.iter().find(|key| !self.with_columns.contains_key(*key)) {
            return Err(missing(key));
        }
        if needs_energies && self.zero_energies == self.with_energy {
            return Err("every energy is exactly zero; name the right key with `keys.energy`".into());
        }
        if needs_forces && self.zero_forces == self.with_forces {
            return Err("all forces are exactly zero; name the right column with `keys.forces`".into());
        }
        Ok(())
    }

    /// Things that are allowed but should be seen: sentences with counts.
    pub fn warnings(&self) -> Vec<String> {
        let kept = self.kept();
        let mut out = Vec::new();
        if let Some(first) = self.ignored_files.first() {
            let (count, first) = (self.ignored_files.len(), first.display());
            out.push(format!("{count} files in folders hold no structures and were not read (first: {first})"));
        }
        out.extend(self.other_names.iter().chain(&self.unread).cloned());
        for (remark, (count, first)) in &self.remarks {
            let frames = if *count == 1 { "frame" } else { "frames" };
            out.push(format!("{remark} ({count} {frames}, first: {first})"));
        }
        for (fault, count) in &self.faults {
            out.push(format!("{count} frames {} were left out (first: {})", fault.words(), self.first[fault]));
        }
        let columns = self.with_columns.iter().map(|(key, &count)| (key.as_str(), count));
        for (what, count) in [("an energy", self.with_energy), ("forces", self.with_forces)].into_iter().chain(columns)
        {
            if count > 0 && count < kept {
                out.push(format!("{} of {kept} frames are without {what}", kept - count));
            }
        }
        for (what, count) in
            [("an energy of exactly zero", self.zero_energies), ("forces of exactly zero", self.zero_forces)]
        {
            if count > 0 {
                out.push(format!("{count} of {kept} frames have {what}"));
            }
        }
        if self.force_rms.is_some_and(|rms| rms > 20.0 || (rms > 0.0 && rms < 1e-3)) {
            out.push("the size of the forces is unusual for eV/angstrom; check `units`".into());
        }
        if self.stress_rms.is_some_and(|rms| rms > LARGE_STRESS || (rms > 0.0 && rms < SMALL_STRESS)) {
            out.push("the size of the stresses is unusual for eV/angstrom^3; check `units.stress`".into());
        }
        if self.stress_slope().is_some_and(|slope| slope.agreement < -AGREEMENT) {
            out.push(
                "energies of frames of other volumes say that stresses have the other sign; set `units.stress_sign` to \
                 \"compression-positive\", or to \"tension-positive\" where it is that"
                    .into(),
            );
        }
        out
    }

    /// Differences of energies beside what stresses say of them.
    pub(super) fn stress_differences(&self) -> Vec<Difference> {
        self.stresses.differences()
    }

    /// How energies follow stresses, where frames of several volumes say it.
    pub(super) fn stress_slope(&self) -> Option<Slope> {
        slope(&self.stress_differences(), STRESS_PAIRS)
    }
}

fn widen<T: PartialOrd + Copy>(range: Option<(T, T)>, value: T) -> (T, T) {
    let (low, high) = range.unwrap_or((value, value));
    (if value < low { value } else { low }, if value > high { value } else { high })
}

fn minimum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;
    use crate::audit::{Limits, inspect};

    const BOTH: Needs = Needs { energies: true, forces: true, stresses: false, columns: Vec::new() };

    fn audit(text: &str) -> Summary {
        let mut summary = Summary::default();
        for structure in Source::default().read(text.as_bytes(), "t") {
            let structure = structure.unwrap();
            let found = inspect(&structure, &Limits::default(), 5.0);
            summary.add(&structure, &found, || "t: frame 0".into());
        }
        summary
    }

    fn dimer(distance: f64, energy: &str, force: &str) -> String {
        format!(
            "2\nProperties=species:S:1:pos:R:3:forces:R:3 energy={energy}\nH 0 0 0 {force} 0 0\nH {distance} 0 0 0 0 0\n"
        )
    }

    #[test]
    fn every_fault_is_found() {
        let text =
            [dimer(0.3, "-1", "1"), dimer(1.0, "nan", "1"), dimer(1.0, "-1", "101"), dimer(1.0, "-1", "1")].concat();
        let summary = audit(&(text + "2\n\nH 0 0 0\nH 1 0 0\n"));
        let expected = [(Fault::NotFinite, 1), (Fault::NoLabels, 1), (Fault::Overlap, 1), (Fault::LargeForce, 1)];
        assert_eq!(summary.faults, expected.into());
        assert_eq!((summary.frames, summary.kept()), (5, 1));
        assert!(summary.verdict(Suspicious::Refuse, &BOTH).unwrap_err().contains("1 with overlapping atoms"));
        assert!(summary.verdict(Suspicious::Filter, &BOTH).is_ok());
    }

    #[test]
    fn overlap_through_the_periodic_boundary_is_found() {
        let text = "2\nLattice=\"5 0 0 0 5 0 0 0 5\" energy=-1\nH 0.1 0 0\nH 4.9 0 0\n";
        assert_eq!(audit(text).faults.get(&Fault::Overlap), Some(&1));
    }

    #[test]
    fn labels_that_are_missing_or_zero_are_refused() {
        let cases = [
            (dimer(1.0, "0.0", "1"), "every energy is exactly zero"),
            (dimer(1.0, "-1", "0"), "all forces are exactly zero"),
            ("2\nenergy=-1\nH 0 0 0\nH 1 0 0\n".into(), "no frame has forces"),
            (String::new(), "not a single frame"),
        ];
        for (text, expected) in cases {
            let message = audit(&text).verdict(Suspicious::Refuse, &BOTH).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_numbers_of_the_table() {
        let summary = audit(&(dimer(1.0, "-2", "3") + &dimer(0.8, "-4", "4")));
        assert_eq!((summary.frames, summary.atoms, summary.with_energy, summary.with_forces), (2, 4, 2, 2));
        assert_eq!(summary.force_maximum, Some(4.0));
        assert!((summary.force_rms.unwrap() - (25.0f64 / 12.0).sqrt()).abs() < 1e-12);
        assert!((summary.shortest_distance.unwrap() - 0.8).abs() < 1e-12);
        assert_eq!(summary.energy_per_atom, Some((-2.0, -1.0)));
    }
}
