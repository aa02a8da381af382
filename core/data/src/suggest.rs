//! Keys and columns of a file that look like labels, where there are none under the names that are looked for.

use crate::formats::Frame;
use crate::{ColumnKey, Keys};

/// A sentence about what in a frame looks like the labels that `keys` does not find there, with the setting that names them.
pub fn suggest_keys(frame: &Frame, keys: &Keys) -> Option<String> {
    let named = |what: &'static str, own: &str, wanted: &[&str], is: &dyn Fn(usize) -> bool| {
        let like = |name: &str| wanted.iter().any(|wanted| name.to_lowercase().contains(wanted));
        let found = frame.header.iter().filter(|(name, _)| *name != own && like(name));
        let found = found.filter(|(_, value)| value.numbers().is_some_and(|numbers| is(numbers.len())));
        found.map(|(name, _)| (what, name.to_owned())).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    if frame.header.get(&keys.energy).is_none() {
        found.extend(likeliest(named("energy", &keys.energy, &["energy", "etot", "toten"], &|count| count == 1)));
    }
    if frame.column(&keys.forces).is_none() {
        let like = |name: &str| ["force", "grad"].iter().any(|wanted| name.to_lowercase().contains(wanted));
        let columns = frame.columns.iter().filter(|column| like(&column.name) && column.as_vectors().is_some());
        found.extend(likeliest(columns.map(|column| ("forces", column.name.clone())).collect()));
    }
    if frame.header.get(&keys.stress).is_none() && frame.header.get(&keys.virial).is_none() {
        let tensor = |count| matches!(count, 6 | 9);
        let stress = likeliest(named("stress", &keys.stress, &["stress"], &tensor));
        let virial = || likeliest(named("virial", &keys.virial, &["virial"], &tensor));
        found.extend(stress.or_else(virial));
    }
    if found.is_empty() {
        return None;
    }
    let names: Vec<String> = found.iter().map(|(_, name)| format!("`{name}`")).collect();
    let settings: Vec<String> = found.iter().map(|(what, name)| format!("{what} = \"{name}\"")).collect();
    let gradients = found.iter().any(|(_, name)| name.to_lowercase().contains("grad"));
    let units = if gradients { ", and units = { forces_are_gradients = true }" } else { "" };
    Some(format!(
        "found {}; where {} what to train on, set keys = {{ {} }}{units}",
        names.join(" and "),
        if names.len() > 1 { "these are" } else { "this is" },
        settings.join(", ")
    ))
}

/// Keys of the state of a structure's electrons, which no model reads.
const STATES: [&str; 6] = ["charge", "total_charge", "spin", "total_spin", "multiplicity", "spin_multiplicity"];

/// A sentence about keys of a frame that tell structures apart and that are not read, beside columns that are asked for.
pub fn unread_states(frame: &Frame, columns: &[ColumnKey]) -> Option<String> {
    let is_unread = |name: &&str| {
        STATES.contains(&name.to_lowercase().as_str()) && !columns.iter().any(|column| column.key == **name)
    };
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

/// The shortest name: what else there is says more, as in `energy_sigma`.
fn likeliest(found: Vec<(&'static str, String)>) -> Option<(&'static str, String)> {
    found.into_iter().min_by_key(|(_, name)| name.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Data;

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
    fn what_is_no_label_is_not_suggested() {
        let words = frame().with("energy_unit", "eV").with_column("force_group", Data::Integer(vec![2]));
        assert_eq!(suggest_keys(&words, &Keys::default()), None);
        let there = frame().with("energy", -1.0).with("dft_energy", -2.0).with_vectors("forces", &[[0.0; 3]]);
        assert_eq!(suggest_keys(&there, &Keys::default()), None);
    }
}
