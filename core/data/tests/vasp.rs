//! VASP's OUTCAR and vasprun.xml, through what the crate offers. What is expected of the fixtures is what ASE reads of
//! them (`fixtures/vasp/make.py --check`), in which `energy` is our `energy_sigma_0` and `free_energy` our `energy`.

use std::path::PathBuf;

use approx::assert_relative_eq;
use isograd_data::Source;
use isograd_data::formats::{Data, Formats, Frame, Input};
use isograd_structure::{StressUnit, Units};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FILES: [&str; 5] = ["v5.OUTCAR", "v6.OUTCAR", "ml.OUTCAR", "v5.vasprun.xml", "v6.vasprun.xml"];

/// eV/angstrom^3 per kbar.
const KILOBAR: f64 = 6.241_509_1e-4;

const FORCES: [[f64; 3]; 3] = [[0.1, 0.2, 0.3], [-0.4, 0.5, 0.6], [0.7, -0.8, -0.9]];
const SMALL: [[f64; 3]; 3] = [[0.01, 0.02, 0.03], [-0.04, 0.05, 0.06], [0.07, -0.08, -0.09]];
const CELL: [[f64; 3]; 3] = [[4.0, 0.0, 0.0], [0.5, 5.0, 0.0], [1.0, -0.25, 6.0]];
const LAST_OF_FIRST_STEP: &str = "  energy  without entropy=      -14.25000000  energy(sigma->0) =      -14.37500000\n";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vasp").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap()
}

/// The frames up to an error, and the error.
fn read(bytes: &[u8]) -> (Vec<Frame>, Option<String>) {
    let mut frames = Vec::new();
    let mut items = match Formats::default().read(Input::new(bytes, "run")) {
        Ok(items) => items,
        Err(error) => return (frames, Some(error.to_string())),
    };
    while let Some(item) = items.next() {
        match item {
            Ok(frame) => frames.push(frame),
            Err(error) => {
                assert!(items.next().is_none(), "goes on after {error}");
                return (frames, Some(error.to_string()));
            }
        }
    }
    (frames, None)
}

fn frames(name: &str) -> Vec<Frame> {
    let frames: Vec<Frame> = Formats::default().open(&path(name)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(frames.iter().enumerate().all(|(index, frame)| frame.index == index));
    frames
}

fn number(frame: &Frame, key: &str) -> f64 {
    frame.header.get(key).unwrap_or_else(|| panic!("no {key}")).number().unwrap()
}

fn vectors(frame: &Frame, name: &str) -> Vec<[f64; 3]> {
    frame.column(name).unwrap_or_else(|| panic!("no {name}")).as_vectors().unwrap()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).for_each(|(&found, &expected)| {
        assert_relative_eq!(found, expected, max_relative = tolerance, epsilon = 1e-12);
    });
}

/// Energy, without entropy, extrapolated.
fn assert_energies(frame: &Frame, expected: [f64; 3], tolerance: f64) {
    let found = ["energy", "energy_without_entropy", "energy_sigma_0"].map(|key| number(frame, key));
    assert_close(&found, &expected, tolerance);
}

/// XX YY ZZ XY YZ ZX in kbar, compression positive.
fn assert_stress(frame: &Frame, [xx, yy, zz, xy, yz, zx]: [f64; 6]) {
    let expected = [xx, xy, zx, xy, yy, yz, zx, yz, zz].map(|component| -component * KILOBAR);
    assert_close(&frame.header.get("stress").unwrap().numbers().unwrap(), &expected, 1e-7);
}

fn assert_vectors(frame: &Frame, name: &str, expected: &[[f64; 3]]) {
    assert_close(vectors(frame, name).as_flattened(), expected.as_flattened(), 1e-12);
}

fn assert_cell(frame: &Frame, expected: [[f64; 3]; 3]) {
    assert_close(&frame.header.get("Lattice").unwrap().numbers().unwrap(), expected.as_flattened(), 1e-12);
    assert_eq!(frame.header.get("pbc").unwrap().booleans().unwrap(), [true; 3]);
}

/// Electronic steps, and whether they are converged.
fn loops(frame: &Frame) -> (f64, bool) {
    (number(frame, "electronic_steps"), frame.header.get("converged").unwrap().booleans().unwrap() == [true])
}

fn elements(frame: &Frame) -> &Data {
    &frame.column("numbers").unwrap().data
}

#[test]
fn outcar_of_version_5() {
    let frames = frames("v5.OUTCAR");
    assert_eq!(frames.len(), 2);
    assert_energies(&frames[0], [-14.5, -14.25, -14.375], 1e-12);
    assert_energies(&frames[1], [-15.5, -15.25, -15.375], 1e-12);
    assert_vectors(&frames[0], "pos", &[[0.1, 0.2, 0.3], [1.1, 1.2, -1.3], [2.1, 2.2, 2.3]]);
    assert_vectors(&frames[1], "pos", &[[0.125, 0.2, 0.3], [1.1, 1.225, -1.3], [2.1, 2.2, 2.325]]);
    assert_vectors(&frames[0], "forces", &FORCES);
    assert_vectors(&frames[1], "forces", &SMALL);
    assert_stress(&frames[0], [10.0, 20.0, 30.0, 4.0, 5.0, 6.0]);
    assert_stress(&frames[1], [-10.0, -20.0, -30.0, -4.0, -5.0, -6.0]);
    assert_eq!(frames.iter().map(loops).collect::<Vec<_>>(), [(2.0, true), (1.0, true)]);
    for frame in &frames {
        assert_eq!(elements(frame), &Data::Integer(vec![1, 1, 8]));
        assert_cell(frame, CELL);
        assert!(frame.column("magmoms").is_none() && frame.column("move_mask").is_none());
    }
    let lines: Vec<String> = text("v5.OUTCAR").lines().map(str::to_owned).collect();
    assert!(lines[frames[1].line - 1].contains("Iteration      2(   1)"));
    assert!(lines[frames[1].header_line - 1].contains("FREE ENERGIE"));
}

#[test]
fn outcar_of_version_6_with_spins() {
    let frames = frames("v6.OUTCAR");
    assert_eq!(frames.len(), 2);
    assert_eq!(elements(&frames[0]), &Data::Integer(vec![26, 26, 8]));
    // PSTRESS is in no energy that is read.
    assert_energies(&frames[0], [-24.5, -24.25, -24.375], 1e-12);
    assert_energies(&frames[1], [-25.5, -25.25, -25.375], 1e-12);
    assert_cell(&frames[0], [[120.5, -110.25, 0.0], [0.0, 99.5, 10.0], [0.0, 0.0, 12.0]]);
    assert_cell(&frames[1], [[121.0, -110.25, 0.0], [0.0, 99.75, 10.0], [0.0, 0.0, 12.5]]);
    assert_vectors(&frames[0], "pos", &[[0.0, 0.0, 0.0], [60.25, 0.5, 5.5], [1.0, 2.0, 3.0]]);
    assert_vectors(&frames[1], "pos", &[[0.0, 0.0, 0.25], [60.5, 0.75, 5.5], [1.5, 2.0, 3.0]]);
    assert_stress(&frames[0], [1000.5, -12000.25, 30.0, 40.0, 50.0, 60.0]);
    // Not those of the table that is repeated at the end.
    assert_eq!(frames[0].column("magmoms").unwrap().data, Data::Real(vec![3.5, -3.25, 0.125]));
    assert_eq!(frames[1].column("magmoms").unwrap().data, Data::Real(vec![3.75, -3.5, 0.25]));
    assert_eq!(frames.iter().map(loops).collect::<Vec<_>>(), [(1.0, true), (2.0, false)]);
}

#[test]
fn magnetic_moments_in_three_directions() {
    let text = text("v6.OUTCAR");
    let start = text.find(" magnetization (x)").unwrap();
    let end = start + text[start..].find("  FORCE on cell").unwrap();
    let table = &text[start..end];
    let others =
        table.replace("(x)", "(y)").replace("3.500", "1.500") + &table.replace("(x)", "(z)").replace("3.500", "2.500");
    let (frames, error) = read([&text[..end], others.as_str(), &text[end..]].concat().as_bytes());
    assert_eq!(error, None);
    assert_vectors(&frames[0], "magmoms", &[[3.5, 1.5, 2.5], [-3.25; 3], [0.125; 3]]);
    assert_eq!(frames[1].column("magmoms").unwrap().data, Data::Real(vec![3.75, -3.5, 0.25]));
}

#[test]
fn steps_of_a_force_field_are_left_out() {
    let found = frames("ml.OUTCAR");
    assert_eq!(found.len(), 1);
    assert_energies(&found[0], [-14.5, -14.25, -14.375], 1e-12);
    assert_vectors(&found[0], "forces", &FORCES);
    assert_stress(&found[0], [10.0, 20.0, 30.0, 4.0, 5.0, 6.0]);
    // Neither does the stress of a force field stand in for one that was not computed.
    let text = text("ml.OUTCAR");
    let computed = text.find("  FORCE on cell").unwrap()..text.find(" VOLUME and BASIS").unwrap();
    let (found, error) = read(text.replace(&text[computed], "  ML FORCE on cell\n  in kB 7 7 7 7 7 7\n").as_bytes());
    assert!(error.is_none() && found.len() == 1 && found[0].header.get("stress").is_none());
    // What is all predicted is said.
    let computed = text.find("------- Iteration").unwrap()..text.rfind("  ML FORCE on cell").unwrap();
    let (found, error) = read(text.replace(&text[computed], "").as_bytes());
    assert!(found.is_empty());
    assert!(error.unwrap().contains("all 2 ionic steps were predicted by a machine-learned force field (ML_FF)"));
}

#[test]
fn vasprun_of_version_5() {
    let frames = frames("v5.vasprun.xml");
    assert_eq!(frames.len(), 2);
    // The free energy has a correction that electronic steps lack, and the other two of the whole are wrong.
    assert_energies(&frames[0], [-14.5, -14.25, -14.375], 1e-12);
    assert_energies(&frames[1], [-15.5, -15.25, -15.375], 1e-12);
    assert_vectors(&frames[0], "pos", &[[2.0, 2.3125, 4.5], [-0.1875, 0.6875, -1.5], [2.75, 2.375, 3.0]]);
    assert_vectors(&frames[1], "pos", &[[1.75, 2.375, 3.0], [-0.1875, 0.6875, -1.5], [2.75, 2.375, 3.0]]);
    assert_vectors(&frames[0], "forces", &FORCES);
    assert_vectors(&frames[1], "forces", &SMALL);
    assert_stress(&frames[0], [10.0, 20.0, 30.0, 4.0, 5.0, 6.0]);
    assert_stress(&frames[1], [-10.0, -20.0, -30.0, -4.0, -5.0, -6.0]);
    assert_eq!(frames.iter().map(loops).collect::<Vec<_>>(), [(2.0, true), (3.0, true)]);
    for frame in &frames {
        assert_eq!(elements(frame), &Data::Integer(vec![1, 1, 8]));
        assert_cell(frame, CELL);
        assert_eq!(frame.column("move_mask").unwrap().data, Data::Logical(vec![true, false, true]));
    }
    assert_eq!(text("v5.vasprun.xml").lines().nth(frames[1].line - 1), Some(" <calculation>"));
}

#[test]
fn vasprun_of_version_6_under_pressure() {
    let frames = frames("v6.vasprun.xml");
    assert_eq!(frames.len(), 2);
    // VASP and we differ in the seventh digit of an electronvolt in joule, and so of pressure times volume.
    assert_energies(&frames[0], [-24.5, -24.25, -24.375], 2e-7);
    assert_energies(&frames[1], [-25.5, -25.25, -25.375], 2e-7);
    assert_vectors(&frames[0], "forces", &FORCES[..2]);
    assert_vectors(&frames[1], "forces", &FORCES[1..]);
    assert_eq!(frames.iter().map(loops).collect::<Vec<_>>(), [(1.0, true), (2.0, false)]);
    assert_eq!(elements(&frames[0]), &Data::Integer(vec![40, 8]));
    assert!(frames[0].column("move_mask").is_none());
}

#[test]
fn what_a_vasprun_lacks_is_left_out() {
    let text = text("v6.vasprun.xml");
    let without = |start: &str, end: &str| {
        let mut rest = text.clone();
        while let Some(place) = rest.find(start) {
            rest.replace_range(place..place + rest[place..].find(end).unwrap() + end.len(), "");
        }
        let (frames, error) = read(rest.as_bytes());
        assert_eq!((frames.len(), error), (2, None), "{start}");
        frames
    };
    assert!(without("<varray name=\"forces\"", "</varray>")[0].column("forces").is_none());
    assert!(without("<varray name=\"stress\"", "</varray>")[0].header.get("stress").is_none());
    assert!(without("<i type=\"int\" name=\"NELM\"", "</i>")[0].header.get("converged").is_none());
    // Without electronic steps, only the free energy is known.
    let frame = &without("<scstep>", "</scstep>")[0];
    assert_relative_eq!(number(frame, "energy"), -24.5, max_relative = 2e-7);
    for key in ["energy_without_entropy", "energy_sigma_0", "electronic_steps", "converged"] {
        assert!(frame.header.get(key).is_none(), "{key}");
    }
}

#[test]
fn names_in_any_encoding_and_elements_that_old_potentials_misspell() {
    let strange = text("v6.vasprun.xml").replace("<c>Zr</c>", "<c>r </c>").replace("one &amp; two", "A & B \u{fc}");
    let latin: Vec<u8> = strange.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    for bytes in [strange.as_bytes(), &latin] {
        let (frames, error) = read(bytes);
        assert_eq!((frames.len(), error), (2, None));
        assert_eq!(elements(&frames[0]), &Data::Integer(vec![40, 8]));
    }
    let mut latin = bytes("v5.OUTCAR");
    latin[30] = 0xfc;
    assert_eq!(read(&latin).1, None);
}

#[test]
fn entities_are_inert() {
    let types: String = (1..30).map(|k| format!("<!ENTITY e{k} \"&e{};&e{};\">", k - 1, k - 1)).collect();
    let text = text("v5.vasprun.xml");
    let bomb = text.replace("<modeling>", &format!("<!DOCTYPE modeling [<!ENTITY e0 \"x\">{types}]>\n<modeling>"));
    let bomb = bomb.replace("one &amp; two", "&e29;");
    assert_eq!((read(bomb.as_bytes()).0.len(), read(bomb.as_bytes()).1), (2, None));
    let (_, error) = read(bomb.replace("    -14.50000000 ", "&e29;").as_bytes());
    assert!(error.unwrap().contains("e_fr_energy: expected 1 number, found `&e29;`"));
}

#[test]
fn structures_are_in_electronvolt_and_angstrom_and_units_are_refused() {
    for name in ["v5.OUTCAR", "v5.vasprun.xml"] {
        let structures: Vec<_> = Source::default().read_file(&path(name)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(structures[0].energy, Some(-14.5));
        let stress = structures[0].stress.unwrap();
        assert_relative_eq!(stress[0][0], -10.0 * KILOBAR, max_relative = 1e-7);
        assert_relative_eq!(stress[1][2], -5.0 * KILOBAR, max_relative = 1e-7);
        assert_eq!(structures[0].geometry.periodic, [true; 3]);
        let mut source = Source::default();
        source.keys.energy = "energy_sigma_0".into();
        assert_eq!(source.read_file(&path(name)).unwrap().next().unwrap().unwrap().energy, Some(-14.375));
        source.units = Units { stress: StressUnit::Kilobar, ..Units::default() };
        let message = source.read_file(&path(name)).unwrap().next().unwrap().unwrap_err().to_string();
        assert!(message.contains("in eV, angstrom and kbar, which is known without `units`"), "{message}");
    }
}

#[test]
fn compressed_files_and_runs_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let packed = folder.path().join(name);
        std::fs::write(&packed, zstd::encode_all(&bytes(name)[..], 3).unwrap()).unwrap();
        let read: Vec<Frame> = Formats::default().open(&packed).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(read, frames(name));
    }
    let (frames, error) = read([bytes("v5.OUTCAR"), bytes("v6.OUTCAR")].concat().as_slice());
    assert_eq!((frames.len(), error), (4, None));
    assert_eq!(elements(&frames[1]), &Data::Integer(vec![1, 1, 8]));
    assert_eq!(elements(&frames[2]), &Data::Integer(vec![26, 26, 8]));
}

#[test]
fn a_killed_run_is_read_up_to_its_last_complete_step() {
    for name in FILES {
        let (bytes, whole) = (bytes(name), frames(name));
        for length in 0..bytes.len() {
            let (frames, error) = read(&bytes[..length]);
            assert_eq!(frames, whole[..frames.len()], "{name} at {length}");
            let before = String::from_utf8_lossy(&bytes[..length]);
            if name.ends_with("xml") {
                let ends = before.trim_end().ends_with("</modeling>");
                assert_eq!(error.is_none(), ends || length == 0, "{name} at {length}: {error:?}");
                assert_eq!(frames.len(), before.matches("</calculation>").count());
            } else {
                // A step is complete with the end of the line of its last energies.
                let complete = before
                    .split_inclusive('\n')
                    .filter(|line| line.starts_with("  energy  without") && line.ends_with('\n'));
                assert_eq!(frames.len(), complete.count());
                let begun =
                    before.rsplit_once(" without entropy=").map_or(&*before, |(_, rest)| rest).contains("Iteration");
                let is_cut = begun && before.rfind("Iteration").is_some_and(|place| before[place..].contains('\n'));
                assert!(!is_cut || error.is_some(), "{name} at {length}");
                assert!(!frames.is_empty() || error.is_some() || length < 2, "{name} at {length}");
            }
        }
    }
}

#[test]
fn what_to_keep_of_a_killed_run_is_said() {
    for (name, cut, step, last) in [
        ("v5.OUTCAR", "POSITION  ", "within ionic step 2", LAST_OF_FIRST_STEP),
        ("v5.OUTCAR", "energy(sigma->0)", "within ionic step 2", LAST_OF_FIRST_STEP),
        ("v5.vasprun.xml", "<varray name=\"stress\"", "after ionic step 1", " </calculation>\n"),
    ] {
        let text = text(name);
        let killed = &text[..text.rfind(cut).unwrap() + 20];
        let (frames, error) = read(killed.as_bytes());
        let message = error.unwrap();
        assert!(frames.len() == 1 && message.contains(step) && message.contains("killed"), "{message}");
        assert!(message.starts_with("run:") && message.contains(": frame 1: "), "{message}");
        let lines: usize = message.split("keep the first ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let mut kept: String = killed.split_inclusive('\n').take(lines).collect();
        assert!(kept.ends_with(last), "{kept}");
        if name.ends_with("xml") {
            kept += "</modeling>";
        }
        assert_eq!(read(kept.as_bytes()), (frames, None));
    }
    for name in FILES {
        let first = text(name).find("------- Iteration").or(text(name).find("<calculation>")).unwrap();
        let (frames, error) = read(&bytes(name)[..first + 300]);
        assert!(frames.is_empty());
        let message = error.unwrap();
        assert!(
            message.contains("no complete step before it") || message.contains("before its first ionic step"),
            "{message}"
        );
    }
}

#[test]
fn errors_name_the_place_and_what_was_expected() {
    let rule = " -----------------------------------------------------------------------------------\n";
    for (name, from, to, frame, expected) in [
        (
            "v5.OUTCAR",
            "      1.10000      1.20000",
            "      1.10000   ******",
            0,
            "POSITION and TOTAL-FORCE: expected 6 numbers, found",
        ),
        ("v5.OUTCAR", "       -0.400000", "       -0.400000 0.1", 0, "POSITION and TOTAL-FORCE: expected 6 numbers"),
        (
            "v5.OUTCAR",
            "      2.10000      2.20000      2.30000",
            rule,
            0,
            "ends after 2 rows, expected one for each of 3 ions",
        ),
        ("v5.OUTCAR", "NIONS =      3", "NIONS =      4", 0, "does not add up to NIONS = 4"),
        (
            "v5.OUTCAR",
            "   ions per type =               2   1",
            "   ions per type =               2",
            0,
            "does not add up",
        ),
        ("v5.OUTCAR", "   4.00000     5.00000     6.00000", "   4.00000 ", 0, "stress in kB: expected 6 numbers"),
        ("v5.OUTCAR", "  in kB       -10.00000", "  in kB    ************", 1, "where VASP had no room for one"),
        ("v5.OUTCAR", " POSITION   ", " DISPLACED  ", 0, "ionic step 1 has no table of positions and forces"),
        ("v5.OUTCAR", "direct lattice vectors   ", "direct lattice  ", 0, "ionic step 1 has no lattice vectors"),
        ("v5.OUTCAR", "  free  energy   TOTEN", "  free  energy   TOTAL", 0, "expected `free  energy   TOTEN  =`"),
        ("v5.OUTCAR", "-14.25000000", "******", 0, "expected 1 number, found `******`"),
        ("v5.OUTCAR", LAST_OF_FIRST_STEP, "\n", 0, "expected `energy  without entropy=`, found"),
        ("v5.OUTCAR", "  FREE ENERGIE OF", "  FREE ENTROPIE OF", 0, "ionic step 2 begins where step 1 has no energies"),
        ("v6.OUTCAR", "    2        0.111", "    3        0.111", 0, "magnetization: expected the row of ion 2"),
        ("v5.vasprun.xml", "<modeling>", "<modeling><b/></modeling><modeling>", 0, "has no ionic step"),
        ("v5.vasprun.xml", "<c>O </c><c>   2", "<c>Q </c><c>   3", 0, "`Q` is not the symbol of an element"),
        ("v5.vasprun.xml", "       0.10000000 ", "       0.1 0.2 ", 0, "row 1 of `forces`: expected 3 numbers"),
        ("v5.vasprun.xml", "e_fr_energy\">    -14", "e_energy\">    -14", 0, "has no <energy> with an e_fr_energy"),
        ("v5.vasprun.xml", "   T   F   F", "   T   F   x", 0, "row 3 of `selective`: expected three of T or F"),
        ("v5.vasprun.xml", "name=\"NELM\">     4", "name=\"NELM\">     *", 0, "NELM: expected a whole number"),
        ("v5.vasprun.xml", " </scstep>", " </sstep>", 0, "is no XML"),
        (
            "v5.vasprun.xml",
            "<i type=\"string\" name=\"SYSTEM\">",
            "<i name=\"IMAGES\">3</i><i>",
            0,
            "nudged elastic band",
        ),
        ("v5.vasprun.xml", "<atominfo>", "<other>", 0, "is no XML"),
    ] {
        let text = text(name);
        assert!(text.contains(from), "{name}: {from}");
        let (frames, error) = read(text.replace(from, to).as_bytes());
        let message = error.unwrap_or_else(|| panic!("no error: {from}"));
        assert!(message.starts_with("run:") && message.contains(&format!(": frame {frame}: ")), "{message}");
        assert!(message.contains(expected), "{message}");
        assert_eq!(frames.len(), frame, "{message}");
    }
}

#[test]
fn damaged_files_are_errors_or_frames() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for name in FILES {
        let whole = bytes(name);
        for _ in 0..3000 {
            let mut damaged = whole.clone();
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..damaged.len());
                damaged[place] ^= 1 << random.random_range(0..8);
            }
            let (frames, _) = read(&damaged);
            assert!(frames.len() <= 3, "{name}");
        }
        // And with any bytes in it.
        for _ in 0..300 {
            let (start, length) = (random.random_range(0..whole.len()), random.random_range(0..200));
            let mut noise = vec![0; length];
            random.fill_bytes(&mut noise);
            let mut damaged = whole.clone();
            drop(damaged.splice(start..(start + length).min(whole.len()), noise));
            read(&damaged);
        }
    }
}

#[test]
fn absurd_sizes_take_no_memory() {
    let text = text("v5.OUTCAR");
    for count in ["999999999999999", "18446744073709551615", "99999999999999999999999"] {
        let absurd =
            text.replace("NIONS =      3", &format!("NIONS = {count}")).replace("   2   1\n", &format!("   {count}\n"));
        let absurd =
            absurd.replace("   TITEL  = PAW_PBE O", "").replace("   VRHFIN =O", "").replace("POTCAR:    PAW_PBE O", "");
        assert!(read(absurd.as_bytes()).1.is_some(), "{count}");
    }
}

#[test]
fn a_folder_with_both_files_of_a_run_has_each_step_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::copy(path("v6.OUTCAR"), run.join("OUTCAR")).unwrap();
    let inputs = || Formats::default().inputs(&[folder.path()]).unwrap().found;
    assert_eq!(inputs(), [run.join("OUTCAR")]);
    std::fs::copy(path("v6.vasprun.xml"), run.join("vasprun.xml")).unwrap();
    assert_eq!(inputs(), std::slice::from_ref(&run));
    let count = |path: PathBuf| Formats::default().open(&path).unwrap().map(Result::unwrap).count();
    assert_eq!(count(run), count(path("v6.vasprun.xml")));
}
