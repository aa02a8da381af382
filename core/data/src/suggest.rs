//! Keys and columns of a file that look like labels, where there are none under the names that are looked for.

use serde::Serialize;

use crate::formats::{Data, Frame};
use crate::{ColumnKey, Keys};

/// A label that is looked for under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Energy,
    Forces,
    Stress,
    Virial,
}

impl Label {
    /// Its name in `keys`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Forces => "forces",
            Self::Stress => "stress",
            Self::Virial => "virial",
        }
    }
}

/// A key of frames or a column of atoms, as far as a label is told by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) name: &'a str,
    pub(crate) of_atoms: bool,
    /// Numbers, of each atom for a column; `None` of what are no numbers.
    pub(crate) numbers: Option<usize>,
    /// Frames that have it.
    pub(crate) frames: usize,
}

/// The label that a key or column looks like, whatever else there is.
pub(crate) fn label_of(seen: &Seen<'_>) -> Option<Label> {
    let name = seen.name.to_lowercase();
    let like = |wanted: &[&str]| wanted.iter().any(|wanted| name.contains(wanted));
    match (seen.of_atoms, seen.numbers?) {
        (false, 1) if like(&["energy", "etot", "toten"]) => Some(Label::Energy),
        (true, 3) if like(&["force", "grad"]) => Some(Label::Forces),
        (false, 6 | 9) if like(&["stress"]) => Some(Label::Stress),
        (false, 6 | 9) if like(&["virial"]) => Some(Label::Virial),
        _ => None,
    }
}

/// Names that labels probably have, of each for which there is none under the name that is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// Key of the energy.
    pub energy: Option<String>,
    /// Column of the forces.
    pub forces: Option<String>,
    /// Key of the stress.
    pub stress: Option<String>,
    /// Key of the virial.
    pub virial: Option<String>,
}

impl Suggestion {
    /// Of keys and columns, beside the names that are looked for.
    pub(crate) fn of(all: &[Seen<'_>], keys: &Keys) -> Self {
        let has = |of_atoms: bool, name: &str| all.iter().any(|seen| seen.of_atoms == of_atoms && seen.name == name);
        let likeliest = |label: Label| {
            let like = all.iter().filter(|seen| label_of(seen) == Some(label));
            // What most frames have; then the shortest name, because what else there is says more, as in `energy_sigma`.
            let best = like.min_by_key(|seen| (std::cmp::Reverse(seen.frames), seen.name.len()));
            best.map(|seen| seen.name.to_owned())
        };
        let stressed = has(false, &keys.stress) || has(false, &keys.virial);
        let stress = if stressed { None } else { likeliest(Label::Stress) };
        Self {
            energy: if has(false, &keys.energy) { None } else { likeliest(Label::Energy) },
            forces: if has(true, &keys.forces) { None } else { likeliest(Label::Forces) },
            virial: if stressed || stress.is_some() { None } else { likeliest(Label::Virial) },
            stress,
        }
    }

    fn named(&self) -> Vec<(Label, &str)> {
        let all = [
            (Label::Energy, &self.energy),
            (Label::Forces, &self.forces),
            (Label::Stress, &self.stress),
            (Label::Virial, &self.virial),
        ];
        all.into_iter().filter_map(|(label, name)| Some((label, name.as_deref()?))).collect()
    }

    /// Whether there is nothing to suggest.
    pub fn is_empty(&self) -> bool {
        self.named().is_empty()
    }

    /// Whether what looks like forces is called a gradient.
    pub fn gradients(&self) -> bool {
        self.forces.as_ref().is_some_and(|name| name.to_lowercase().contains("grad"))
    }

    /// The setting that names them: `keys = { energy = "REF_energy" }`.
    pub fn setting(&self) -> Option<String> {
        let settings: Vec<String> =
            self.named().iter().map(|(label, name)| format!("{} = \"{name}\"", label.name())).collect();
        (!settings.is_empty()).then(|| format!("keys = {{ {} }}", settings.join(", ")))
    }

    /// The same names in place of those of `keys`.
    #[must_use]
    pub fn applied(&self, mut keys: Keys) -> Keys {
        for (label, name) in self.named() {
            let key = match label {
                Label::Energy => &mut keys.energy,
                Label::Forces => &mut keys.forces,
                Label::Stress => &mut keys.stress,
                Label::Virial => &mut keys.virial,
            };
            name.clone_into(key);
        }
        keys
    }

    /// A sentence about them, with the setting.
    pub fn sentence(&self) -> Option<String> {
        let setting = self.setting()?;
        let named = self.named();
        let names: Vec<String> = named.iter().map(|(_, name)| format!("`{name}`")).collect();
        let units = if self.gradients() { ", and units = { forces_are_gradients = true }" } else { "" };
        Some(format!(
            "found {}; where {} what to train on, set {setting}{units}",
            names.join(" and "),
            if names.len() > 1 { "these are" } else { "this is" },
        ))
    }
}

/// A sentence about what in a frame looks like the labels that `keys` does not find there, with the setting that names them.
pub fn suggest_keys(frame: &Frame, keys: &Keys) -> Option<String> {
    let of_frame = frame.header.iter().map(|(name, value)| Seen {
        name,
        of_atoms: false,
        numbers: value.numbers().map(|numbers| numbers.len()),
        frames: 1,
    });
    let of_atoms = frame.columns.iter().map(|column| Seen {
        name: &column.name,
        of_atoms: true,
        numbers: matches!(column.data, Data::Real(_) | Data::Integer(_)).then_some(column.width),
        frames: 1,
    });
    Suggestion::of(&of_frame.chain(of_atoms).collect::<Vec<_>>(), keys).sentence()
}

/// Keys of the state of a structure's electrons, which no model reads.
const STATES: [&str; 6] = ["charge", "total_charge", "spin", "total_spin", "multiplicity", "spin_multiplicity"];

/// A sentence about keys of a frame that tell structures apart and that are not read, beside columns that are asked for.
pub fn unread_states(frame: &Frame, columns: &[ColumnKey]) -> Option<String> {
    let is_unread = |name: &&str| is_state(name) && !columns.iter().any(|column| column.key == **name);
    let states = frame.header.iter().map(|(name, _)| name).filter(is_unread);
    let states: Vec<String> = states.map(|name| format!("`{name}`")).collect();
    let is = if states.len() > 1 { "are" } else { "is" };
    (!states.is_empty()).then(|| {
        format!(
            "{} {is} not read: structures that differ in nothing else are the same to the model",
            states.join(" and ")
        )
    })
}

/// What ASE calls the column of the atoms that may move.
const MOVE_MASK: &str = "move_mask";

/// A sentence about a column of atoms that were held in place, where it is not said what it is for.
pub fn unread_mask(frame: &Frame, keys: &Keys) -> Option<String> {
    let column = frame.column(MOVE_MASK).filter(|_| keys.force_mask.is_none())?;
    let holds = match &column.data {
        Data::Logical(values) => values.contains(&false),
        _ => column.numbers()?.contains(&0.0),
    };
    holds.then(|| {
        format!(
            "the column `{MOVE_MASK}` is not read, and forces on atoms that were held in place are labels as others are; to leave \
             them out, set keys.force_mask = \"{MOVE_MASK}\""
        )
    })
}

/// Whether a key is one of the state of a structure's electrons.
pub(crate) fn is_state(name: &str) -> bool {
    STATES.contains(&name.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame { atoms: 1, ..Frame::default() }.with("step", 3.0)
    }

    #[test]
    fn names_of_other_programs_are_found() {
        let keys = Keys::default();
        let forces = [[1.0, 2.0, 3.0]];
        let other = frame().with("REF_energy_free", -2.0).with("REF_energy", -1.5).with_vectors("REF_forces", &forces);
        let expected = "found `REF_energy` and `REF_forces`; where these are what to train on, set keys = { energy = \
                        \"REF_energy\", forces = \"REF_forces\" }";
        assert_eq!(suggest_keys(&other, &keys).unwrap(), expected);
        let gradient = frame().with("energy", -1.0).with_vectors("Gradient", &forces);
        let said = suggest_keys(&gradient, &keys).unwrap();
        assert!(said.contains("forces = \"Gradient\" }, and units = { forces_are_gradients = true }"), "{said}");
        let virials = frame().with("virials", [1.0; 9].as_slice());
        assert!(
            suggest_keys(&virials, &keys)
                .unwrap()
                .contains("this is what to train on, set keys = { virial = \"virials\" }")
        );
    }

    #[test]
    fn charges_are_said_not_to_be_read() {
        let charged = frame().with("Charge", 1.0).with("spin", 2.0);
        let said = "`Charge` and `spin` are not read: structures that differ in nothing else are the same to the model";
        assert_eq!(unread_states(&charged, &[]).unwrap(), said);
        assert_eq!(unread_states(&frame().with("charges", 1.0), &[]), None);
        let asked_for = [ColumnKey { key: "spin".into(), of_nodes: false }];
        assert_eq!(unread_states(&frame().with("spin", 1.0), &asked_for), None);
    }

    #[test]
    fn atoms_held_in_place_are_told_of() {
        let with = |free: bool| frame().with_column("move_mask", Data::Logical(vec![free]));
        assert!(unread_mask(&with(false), &Keys::default()).unwrap().ends_with("set keys.force_mask = \"move_mask\""));
        assert_eq!(unread_mask(&with(true), &Keys::default()), None);
        let keys = Keys { force_mask: Some("move_mask".into()), ..Keys::default() };
        assert_eq!(unread_mask(&with(false), &keys), None);
    }

    #[test]
    fn what_is_no_label_is_not_suggested() {
        let words = frame().with("energy_unit", "eV").with_column("force_group", Data::Integer(vec![2]));
        assert_eq!(suggest_keys(&words, &Keys::default()), None);
        let there = frame().with("energy", -1.0).with("dft_energy", -2.0).with_vectors("forces", &[[0.0; 3]]);
        assert_eq!(suggest_keys(&there, &Keys::default()), None);
    }
}
