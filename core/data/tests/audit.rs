//! Data that are wrong in one way each, and what is said of them.

use isograd_data::audit::{Audit, AuditOptions, Auditor, Copies, Finding, Severity};
use isograd_data::{Source, SplitBy};
use isograd_structure::{Cell, Structure, Units};
use nalgebra::{Rotation3, Vector3};

/// A number from -1 to 1 that depends on two others.
fn random(a: usize, b: usize) -> f64 {
    let mixed = ((a * 7919 + b * 104_729 + 13) as f64 * 12.9898).sin() * 43_758.545;
    2.0 * (mixed - mixed.floor()) - 1.0
}

/// Molecules of five to eight atoms with springs between all atoms.
fn molecules(count: usize) -> Vec<Structure> {
    (0..count).map(|k| molecule(k, 5 + k % 4)).collect()
}

fn molecule(seed: usize, atoms: usize) -> Structure {
    let place = |atom: usize| {
        Vector3::from_fn(|axis, _| 1.3 * ((atom >> axis) & 1) as f64 + 0.15 * random(seed, 3 * atom + axis))
    };
    let positions: Vec<Vector3<f64>> = (0..atoms).map(place).collect();
    let mut energy = -37.8 - 13.6 * (atoms - 1) as f64;
    let mut forces = vec![Vector3::zeros(); atoms];
    for a in 0..atoms {
        for b in 0..a {
            let vector = positions[b] - positions[a];
            let stretch = vector.norm() - 1.5;
            energy += 3.0 * stretch * stretch;
            let pull = 6.0 * stretch * vector.normalize();
            forces[a] += pull;
            forces[b] -= pull;
        }
    }
    let elements = (0..atoms).map(|atom| if atom == 0 { "C" } else { "H" }.parse().unwrap()).collect();
    Structure {
        geometry: isograd_structure::Geometry {
            positions: positions.into_iter().map(Into::into).collect(),
            ..Default::default()
        },
        elements,
        energy: Some(energy),
        forces: Some(forces.into_iter().map(Into::into).collect()),
        ..Structure::default()
    }
}

/// The same structure, turned, moved, and atoms from the second on numbered the other way round.
fn turned(structure: &Structure) -> Structure {
    let rotation = Rotation3::from_euler_angles(0.4, -1.2, 2.0);
    let turn = |rows: &[[f64; 3]], by: Vector3<f64>| -> Vec<[f64; 3]> {
        let mut rows: Vec<[f64; 3]> = rows.iter().map(|row| (rotation * Vector3::from(*row) + by).into()).collect();
        rows[1..].reverse();
        rows
    };
    let mut other = structure.clone();
    other.geometry.positions = turn(&structure.geometry.positions, Vector3::new(3.0, -2.0, 1.0));
    other.forces = structure.forces.as_ref().map(|forces| turn(forces, Vector3::zeros()));
    other
}

fn audit(sources: &[(&str, bool, &[Structure])]) -> Audit {
    let mut auditor = Auditor::new(AuditOptions::default());
    for (name, held_out, structures) in sources {
        let source = auditor.source(name, Units::default());
        let all = structures.iter().cloned().map(Ok);
        auditor.read(source, &format!("{name}.xyz"), *held_out, all, &mut |_| {}).unwrap();
    }
    Audit::of(auditor)
}

fn found<'a>(audit: &'a Audit, kind: &str) -> Option<&'a Finding> {
    audit.findings.iter().find(|finding| finding.kind == kind)
}

fn kinds(audit: &Audit) -> Vec<&'static str> {
    audit.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn nothing_is_said_of_good_data() {
    let audit = audit(&[("good", false, &molecules(400))]);
    assert_eq!(kinds(&audit), [""; 0], "{:#?}", audit.findings);
    assert_eq!((audit.frames, audit.left_out, audit.copies.len()), (400, 0, 0));
    let slope = audit.sources[0].forces.unwrap();
    assert!((slope.slope - 1.0).abs() < 0.05 && slope.agreement > 0.98, "{slope:?}");
    assert!(audit.sources[0].energy_deviation.unwrap() > 0.0 && audit.sources[0].label_noise.is_none());
}

#[test]
fn copies_are_counted_within_sources_and_between() {
    let mut first = molecules(100);
    first.push(turned(&first[7]));
    first.push(first[7].clone());
    let mut near = first[20].clone();
    near.geometry.positions[1][0] += 0.01;
    first.push(near);
    let second: Vec<Structure> = molecules(160).split_off(97).iter().map(turned).collect();
    let audit = audit(&[("first", false, &first), ("second", false, &second)]);
    assert_eq!(found(&audit, "copies").unwrap().frames, 2);
    assert_eq!(found(&audit, "copies_between").unwrap().frames, 3);
    assert_eq!(found(&audit, "near_copies").unwrap().frames, 2);
    let copies = |of: &str, within: &str, same, near| Copies { of: of.into(), within: within.into(), same, near };
    assert_eq!(audit.copies, [copies("first", "first", 2, 1), copies("second", "first", 3, 0)]);
    assert_eq!(audit.left_out, 5);
    assert!(audit.leaves_out(0, 100) && audit.leaves_out(1, 0) && !audit.leaves_out(0, 7) && !audit.leaves_out(0, 102));
    let worst = &found(&audit, "copies").unwrap().worst[0];
    assert_eq!((worst.place.as_str(), worst.beside.as_deref()), ("first.xyz: frame 100", Some("first.xyz: frame 7")));
}

#[test]
fn lattice_vectors_and_cells_may_be_chosen_otherwise() {
    let crystal = |edge: f64, copies: usize| {
        let mut structure = molecule(3, 4);
        let own = structure.geometry.positions.clone();
        for copy in 1..copies {
            structure.geometry.positions.extend(own.iter().map(|x| [x[0] + edge * copy as f64, x[1], x[2]]));
            structure.elements.extend(molecule(3, 4).elements);
        }
        let forces = structure.forces.clone().unwrap();
        structure.forces = Some(forces.iter().copied().cycle().take(4 * copies).collect());
        structure.energy = structure.energy.map(|energy| energy * copies as f64);
        structure.geometry.cell = Some(Cell([[edge * copies as f64, 0.0, 0.0], [edge, edge, 0.0], [0.0, 0.0, edge]]));
        structure.geometry.periodic = [true; 3];
        structure
    };
    let audit = audit(&[("crystals", false, &[crystal(5.0, 1), crystal(5.0, 3), crystal(5.1, 1)])]);
    assert_eq!(kinds(&audit), ["copies"]);
    assert_eq!(found(&audit, "copies").unwrap().frames, 1);
}

#[test]
fn copies_across_the_split_are_a_leak() {
    let training = molecules(60);
    let mut held_out: Vec<Structure> = molecules(90).split_off(60);
    held_out.extend(training[..4].iter().map(turned));
    let together = audit(&[("train", false, &training), ("test", true, &held_out)]);
    let leak = found(&together, "leakage").unwrap();
    assert_eq!((leak.severity, leak.frames, leak.of), (Severity::Error, 4, 34));
    assert_eq!(leak.worst[0].beside.as_deref(), Some("train.xyz: frame 0"));
    // As training divides one source.
    let mut auditor = Auditor::new(AuditOptions::default());
    let source = auditor.source("one", Units::default());
    let doubled: Vec<Structure> = training.iter().cloned().chain(training.iter().map(turned)).collect();
    auditor.read(source, "one.xyz", false, doubled.into_iter().map(Ok), &mut |_| {}).unwrap();
    auditor.split(&SplitBy::Frame, 0.1, 3).unwrap();
    let audit = Audit::of(auditor);
    let held_out = audit.sources[0].held_out;
    assert_eq!((held_out, audit.sources[0].training), (12, 108));
    assert!(found(&audit, "leakage").unwrap().frames >= 8);
}

#[test]
fn a_copy_is_found_among_many_that_are_nearly_the_same() {
    // Two hundred frames within a few hundredths of an angstrom, each once more.
    let frames: Vec<Structure> = (0..200)
        .map(|k| {
            let mut own = molecule(1, 6);
            own.geometry.positions.as_flattened_mut().iter_mut().enumerate().for_each(|(axis, x)| {
                *x += 0.01 * random(k, axis);
            });
            own
        })
        .collect();
    let again: Vec<Structure> = frames.iter().map(turned).collect();
    let audit = audit(&[("train", false, &frames), ("test", true, &again)]);
    assert_eq!(found(&audit, "leakage").unwrap().frames, 200);
}

#[test]
fn labels_that_contradict_those_of_copies_are_named() {
    let mut structures = molecules(200);
    for k in 0..6 {
        let mut other = turned(&structures[k]);
        other.energy = other.energy.map(|energy| energy + if k < 4 { 0.3 } else { 0.0 });
        if k >= 4 {
            other.forces.iter_mut().flatten().flatten().for_each(|force| *force *= 1.5);
        }
        structures.push(other);
    }
    let audit = audit(&[("odd", false, &structures)]);
    let energies = found(&audit, "contradicting_energies").unwrap();
    assert_eq!(energies.frames, 8);
    assert!(energies.worst[0].value.unwrap() > 0.03, "{energies:?}");
    assert_eq!(found(&audit, "contradicting_forces").unwrap().frames, 4);
    // Half of the copies differ by 0.3 eV, over five to eight atoms.
    let noise = audit.sources[0].label_noise.unwrap();
    assert!(noise > 0.3 / 8.0 / 1.5 && noise < 0.3 / 5.0 / 1.4, "{noise}");
    assert!(audit.leaves_out(0, 0) && audit.leaves_out(0, 205) && !audit.leaves_out(0, 6));
}

#[test]
fn energies_far_off_stale_constant_and_per_atom_are_told() {
    let mut structures = molecules(200);
    structures[31].energy = Some(-4000.0);
    let far = audit(&[("far", false, &structures)]);
    let finding = found(&far, "energy_outlier").unwrap();
    assert_eq!((finding.frames, finding.worst[0].place.as_str()), (1, "far.xyz: frame 31"));
    assert!(finding.worst[0].value.unwrap() < -100.0);
    let mut structures: Vec<Structure> = (0..100).map(|k| molecule(k, 5)).collect();
    for k in 50..60 {
        structures[k].energy = structures[49].energy;
    }
    let stale = audit(&[("stale", false, &structures)]);
    assert_eq!(found(&stale, "stale_energy").unwrap().frames, 10);
    structures.iter_mut().for_each(|own| own.energy = Some(-90.0));
    let constant = audit(&[("constant", false, &structures)]);
    assert!(found(&constant, "constant_energy").is_some(), "{:#?}", constant.findings);
    let mut structures = molecules(200);
    for (k, own) in structures.iter_mut().enumerate() {
        let oxygen = k / 4 % 4;
        own.elements[1..=oxygen].fill("O".parse().unwrap());
        own.energy = own.energy.map(|energy| (energy - 60.0 * oxygen as f64) / own.elements.len() as f64);
    }
    let per_atom = audit(&[("per atom", false, &structures)]);
    let finding = found(&per_atom, "energy_per_atom").unwrap();
    assert_eq!(finding.remedy.as_deref(), Some("units.energies_are_per_atom = true"));
}

#[test]
fn signs_and_units_of_forces_are_told_with_the_line_that_mends_them() {
    let scaled = |factor: f64| {
        let mut structures: Vec<Structure> = (0..60).map(|k| molecule(k, 4)).collect();
        let forces = structures.iter_mut().flat_map(|own| own.forces.iter_mut()).flatten().flatten();
        forces.for_each(|force| *force *= factor);
        let audit = audit(&[("forces", false, &structures)]);
        let finding = audit.findings.into_iter().find(|finding| finding.kind.starts_with("force_")).unwrap();
        (finding.kind, finding.remedy.unwrap())
    };
    assert_eq!(scaled(-1.0), ("force_sign", "units.forces_are_gradients = true".into()));
    assert_eq!(scaled(1.0 / 51.422), ("force_unit", "units.force = \"Hartree/bohr\"".into()));
    assert_eq!(scaled(23.06), ("force_unit", "units.force = \"kcal/mol/angstrom\"".into()));
    let mut structures: Vec<Structure> = (0..100).map(|k| molecule(k, 4)).collect();
    let others: Vec<_> = (0..100).map(|k| structures[(k * 37 + 11) % 100].forces.clone()).collect();
    structures.iter_mut().zip(others).for_each(|(own, forces)| own.forces = forces);
    assert!(found(&audit(&[("mixed", false, &structures)]), "forces_unrelated").is_some());
}

#[test]
fn faults_and_elements_without_training_are_told() {
    let training = molecules(60);
    let mut held_out: Vec<Structure> = molecules(80).split_off(60);
    held_out[2].elements[0] = "N".parse().unwrap();
    held_out[3].energy = Some(f64::NAN);
    held_out[5].geometry.positions[1] = held_out[5].geometry.positions[0];
    let audit = audit(&[("train", false, &training), ("test", true, &held_out)]);
    assert_eq!(found(&audit, "unseen_elements").unwrap().frames, 1);
    assert!(found(&audit, "unseen_elements").unwrap().says.starts_with("N are held out"));
    assert_eq!(found(&audit, "not_finite").unwrap().worst[0].place, "test.xyz: frame 3");
    assert_eq!(found(&audit, "overlap").unwrap().worst[0].place, "test.xyz: frame 5");
    assert!(audit.leaves_out(1, 3) && audit.leaves_out(1, 5) && audit.left_out == 2);
    assert_eq!(found(&audit, "unseen_compositions").unwrap().frames, 1);
}

#[test]
fn nothing_and_a_single_frame_are_no_trouble() {
    assert!(audit(&[("none", false, &[])]).findings.is_empty());
    assert!(audit(&[("one", false, &molecules(1))]).findings.is_empty());
    let bare = Source::default().read("1\n\nH 0 0 0\n".as_bytes(), "t").map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(kinds(&audit(&[("bare", false, &bare)])), ["no_labels"]);
}
