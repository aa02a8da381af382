//! Reading JSON: files of every layout, as pymatgen writes them, with values that are known; what is told apart, and
//! what is refused.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use isograd_data::formats::{Data, Format, Formats, Frame, Input, Json};
use isograd_data::{Result, Source};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FIXTURES: [&str; 6] =
    ["mptrj.json", "matpes.json", "matpes.jsonl", "alexandria.json", "alexandria_path.json", "mlearn.json"];

/// 1 kbar in eV/angstrom^3.
const KILOBAR: f64 = 6.241_509_074_460_763e-4;

/// The stress of two of the fixtures' atoms: 10, 20, -30 kbar of compression, and shears 1 (xy), 2 (xz), 3 (yz).
const STRESS: [[f64; 3]; 3] = [[-10.0, -1.0, -2.0], [-1.0, -20.0, -3.0], [-2.0, -3.0, 30.0]];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/json").join(name)
}

fn frames(name: &str) -> Vec<Frame> {
    Formats::default().open(&path(name)).unwrap().collect::<Result<_>>().unwrap()
}

fn read(text: &str) -> Result<Vec<Frame>> {
    Formats::default().read(Input::new(text.as_bytes(), "t.json"))?.collect()
}

fn message(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn text(frame: &Frame, key: &str) -> String {
    frame.header.get(key).unwrap_or_else(|| panic!("no `{key}`")).text().into_owned()
}

fn number(frame: &Frame, key: &str) -> f64 {
    frame.header.get(key).and_then(|value| value.number()).unwrap_or_else(|| panic!("no number `{key}`"))
}

fn numbers(frame: &Frame, column: &str) -> Vec<f64> {
    frame.column(column).and_then(|column| column.numbers()).unwrap_or_else(|| panic!("no column `{column}`"))
}

fn keys(frame: &Frame) -> Vec<&str> {
    frame.header.iter().map(|(key, _)| key).chain(frame.columns.iter().map(|column| column.name.as_str())).collect()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-3), "{found} {expected}");
    }
}

fn assert_stress(frame: &Frame, kilobar: [[f64; 3]; 3]) {
    let expected: Vec<f64> = kilobar.as_flattened().iter().map(|component| component * KILOBAR).collect();
    assert_close(&frame.header.get("stress").unwrap().numbers().unwrap(), &expected);
}

/// Na at the origin of an oblique cell, and Cl in its middle.
fn assert_salt(frame: &Frame) {
    assert_eq!(frame.atoms, 2);
    assert_eq!(frame.column("numbers").unwrap().data, Data::Integer(vec![11, 17]));
    assert_close(&numbers(frame, "pos"), &[0.0, 0.0, 0.0, 2.5, 1.75, 2.5]);
    assert_close(
        &frame.header.get("Lattice").unwrap().numbers().unwrap(),
        &[4.0, 0.0, 0.0, 1.0, 3.0, 0.0, 0.0, 0.5, 5.0],
    );
    assert_eq!(text(frame, "pbc"), "T T T");
    assert_eq!(frame.converted_from, Some("eV, angstrom and kbar"));
}

fn assert_forces(frame: &Frame) {
    assert_close(&numbers(frame, "forces"), &[0.1, -0.2, 0.3, -0.1, 0.2, -0.3]);
}

#[test]
fn mptrj() {
    let frames = frames("mptrj.json");
    assert_eq!(frames.len(), 3);
    assert_salt(&frames[0]);
    assert_forces(&frames[0]);
    assert_stress(&frames[0], STRESS);
    assert_close(&numbers(&frames[0], "magmoms"), &[0.5, -0.25]);
    for (key, expected) in [
        ("energy", -7.5),
        ("corrected_total_energy", -8.25),
        ("energy_per_atom", -4.125),
        ("ef_per_atom", -0.5),
        ("e_per_atom_relaxed", -4.25),
        ("ef_per_atom_relaxed", -0.625),
        ("bandgap", 1.5),
        ("charge", 0.0),
    ] {
        assert_eq!(number(&frames[0], key), expected, "{key}");
    }
    let ids = |key: &str| frames.iter().map(|frame| text(frame, key)).collect::<Vec<_>>();
    assert_eq!(ids("mp_id"), ["mp-1", "mp-1", "mp-2 \"é\""]);
    assert_eq!(ids("frame_id"), ["mp-1-0-0", "mp-1-0-1", "mp-2-1-0"]);
    assert!(frames.iter().enumerate().all(|(index, frame)| frame.index == index && frame.line == 1));

    // A null is no zero.
    assert!(frames[1].header.get("bandgap").is_none() && frames[1].column("magmoms").is_none());
    assert_close(&numbers(&frames[1], "pos")[3..], &[2.5, 1.875, 3.75]);
    // An ion is its element, and the sum of oxidation states no charge.
    assert!(frames[2].header.get("charge").is_none());
    assert_eq!(frames[2].column("numbers").unwrap().data, Data::Integer(vec![26]));
    assert_close(&numbers(&frames[2], "pos"), &[0.625, 1.25, 1.875]);
    assert_stress(&frames[2], [[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]]);
}

#[test]
fn matpes_as_a_list_and_a_line_each() {
    for (name, lines) in [("matpes.json", None), ("matpes.jsonl", Some([1, 2]))] {
        let frames = frames(name);
        assert_eq!(frames.len(), 2, "{name}");
        assert_salt(&frames[0]);
        assert_forces(&frames[0]);
        assert_stress(&frames[0], STRESS);
        assert_eq!(number(&frames[0], "energy"), -7.5);
        assert_eq!(number(&frames[0], "bandgap"), 5.0);
        assert_eq!(number(&frames[0], "cohesive_energy_per_atom"), -1.25);
        assert_eq!(text(&frames[0], "matpes_id"), "matpes-1");
        assert_eq!(text(&frames[0], "functional"), "PBE");
        assert_eq!(text(&frames[0], "original_mp_id"), "mp-22862");
        assert_close(&numbers(&frames[0], "magmoms"), &[0.125, -0.125]);
        assert_close(&numbers(&frames[0], "bader_charges"), &[10.25, 7.75]);
        assert_close(&numbers(&frames[0], "cm5_partial_charges"), &[0.5, -0.5]);
        assert_close(&numbers(&frames[0], "ddec6.partial_charges"), &[0.75, -0.75]);
        assert_close(&numbers(&frames[0], "ddec6.spin_moments"), &[0.0, 0.0]);
        for missing in ["formation_energy_per_atom", "bader_magmoms"] {
            assert!(!keys(&frames[0]).contains(&missing), "{missing}");
        }

        assert_stress(&frames[1], [[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]]);
        assert_eq!(number(&frames[1], "energy"), -8.0);
        // NaN is a number that is wrong, for the audit to find; null is none.
        assert!(number(&frames[1], "formation_energy_per_atom").is_nan());
        for missing in ["original_mp_id", "bader_charges", "ddec6.partial_charges", "magmoms"] {
            assert!(!keys(&frames[1]).contains(&missing), "{missing}");
        }
        if let Some(lines) = lines {
            assert_eq!([frames[0].line, frames[1].line], lines);
        }
    }
}

#[test]
fn alexandria() {
    let frames = frames("alexandria.json");
    assert_eq!(frames.len(), 2);
    assert_salt(&frames[0]);
    assert_forces(&frames[0]);
    assert_close(&numbers(&frames[0], "magmoms"), &[0.5, -0.25]);
    assert_close(&numbers(&frames[0], "charges"), &[10.25, 7.75]);
    for (key, expected) in [
        ("energy", -7.5),
        ("correction", -0.75),
        ("energy_corrected", -8.25),
        ("e_form", -0.5),
        ("e_above_hull", 0.125),
        ("band_gap_ind", 4.5),
        ("band_gap_dir", 5.0),
        ("total_mag", 0.25),
    ] {
        assert_eq!(number(&frames[0], key), expected, "{key}");
    }
    assert_eq!(text(&frames[0], "mat_id"), "agm000000001");
    // Its unit is not known.
    assert!(frames[0].header.get("stress").is_none() && frames[0].header.get("entry_energy").is_none());

    // The total without corrections counts, whatever the entry says.
    assert_eq!((number(&frames[1], "energy"), number(&frames[1], "entry_energy")), (-8.0, -8.5));
    assert_eq!((text(&frames[1], "mat_id"), text(&frames[1], "entry_id")), ("agm000000002".into(), "second".into()));
    assert_eq!(text(&frames[1], "pbc"), "T T F");
    assert!(frames[1].column("forces").is_none());
}

#[test]
fn relaxations_of_alexandria() {
    let frames = frames("alexandria_path.json");
    let ids = |key: &str| frames.iter().map(|frame| text(frame, key)).collect::<Vec<_>>();
    assert_eq!(ids("mat_id"), ["agm000000001", "agm000000001", "agm000000001", "agm000000002"]);
    assert_eq!(ids("calculation"), ["0", "0", "1", "0"]);
    assert_eq!(ids("step"), ["0", "1", "0", "0"]);
    let energies: Vec<f64> = frames.iter().map(|frame| number(frame, "energy")).collect();
    assert_eq!(energies, [-7.5, -7.25, -7.0, -8.0]);
    assert_salt(&frames[0]);
    assert_forces(&frames[0]);
    assert_stress(&frames[0], STRESS);
    // A component that is not there takes the others with it.
    assert!(frames[1].column("forces").is_none() && frames[1].header.get("stress").is_some());
    assert!(frames[3].column("forces").is_some() && frames[3].header.get("stress").is_none());
}

#[test]
fn mlearn() {
    let frames = frames("mlearn.json");
    assert_eq!(frames.len(), 2);
    assert_salt(&frames[0]);
    assert_forces(&frames[0]);
    assert_stress(&frames[0], STRESS);
    assert_eq!(number(&frames[0], "energy"), -7.5);
    assert_eq!(text(&frames[0], "group"), "Elastic");
    assert_eq!(text(&frames[0], "tag"), "train");
    assert_eq!(text(&frames[0], "element"), "NaCl");
    assert_eq!(text(&frames[0], "description"), "mode 4, strain -0.06");
    assert_eq!(text(&frames[1], "group"), "Surface");
    assert!(frames[1].header.get("description").is_none());
}

#[test]
fn structures_are_in_ev_and_angstrom() {
    let structures: Vec<_> = Source::default().read_file(&path("mptrj.json")).unwrap().collect::<Result<_>>().unwrap();
    let stress = structures[0].stress.unwrap();
    assert_close(stress.as_flattened(), &STRESS.as_flattened().iter().map(|s| s * KILOBAR).collect::<Vec<_>>());
    assert_eq!(structures[0].energy, Some(-7.5));
    // Other energies under their own names, and groups.
    let mut source = Source::default();
    source.keys.energy = "corrected_total_energy".into();
    source.keys.group = Some("mp_id".into());
    let structures: Vec<_> = source.read_file(&path("mptrj.json")).unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(structures[0].energy, Some(-8.25));
    assert_eq!(structures[2].group.as_deref(), Some("mp-2 \"é\""));
}

/// A molecule, which may stand where a crystal does.
const MOLECULE: &str = r#"{"@class": "Molecule", "charge": 1, "spin_multiplicity": 2,
    "sites": [{"name": "H", "species": [{"element": "H", "occu": 1}], "xyz": [0, 0, 0.5], "properties": {}}]}"#;

#[test]
fn molecules_do_not_repeat() {
    let frames =
        read(&format!(r#"[{{"structure": {MOLECULE}, "outputs": {{"energy": -1, "forces": [[0, 0, 1]]}}}}]"#)).unwrap();
    assert_eq!(keys(&frames[0]), ["charge", "spin", "energy", "numbers", "pos", "forces"]);
    assert_eq!((number(&frames[0], "charge"), number(&frames[0], "spin")), (1.0, 2.0));
}

#[test]
fn layouts_are_told_by_their_keys_in_any_order_and_place() {
    // MPtrj's frames in a list, with their ids as labels.
    let text = format!(
        r#"[{{"stress": [[1, 0, 0], [0, 2, 0], [0, 0, 3]], "uncorrected_total_energy": -1, "mp_id": "mp-7",
        "frame_id": 3, "structure": {MOLECULE}}}]"#
    );
    let frame = read(&text).unwrap().remove(0);
    assert_eq!((self::text(&frame, "mp_id"), self::text(&frame, "frame_id")), ("mp-7".into(), "3".into()));
    assert_stress(&frame, [[-1.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, -3.0]]);
    // Entries without the object around them.
    let entry = format!(
        r#"{{"data": {{"mat_id": "a"}}, "structure": {MOLECULE}, "energy": -3, "@class": "ComputedStructureEntry"}}"#
    );
    for text in [format!("[{entry}]"), entry.clone(), format!("{{\"entries\": [{entry}], \"more\": [{entry}]}}")] {
        let frames = read(&text).unwrap();
        assert_eq!((frames.len(), number(&frames[0], "energy")), (1, -3.0));
    }
    // Materials before which something else stands, or that have no frames.
    let text = format!(
        r#"{{"about": "x", "mp-0": {{}},
        "mp-1": {{"f": {{"structure": {MOLECULE}, "uncorrected_total_energy": null}}}}}}"#
    );
    let frames = read(&text).unwrap();
    assert_eq!((frames.len(), self::text(&frames[0], "mp_id")), (1, "mp-1".into()));
    assert!(frames[0].header.get("energy").is_none());
    assert!(read("[]").unwrap().is_empty());
}

#[test]
fn the_same_in_any_dress() {
    let plain = std::fs::read_to_string(path("mptrj.json")).unwrap();
    let expected = frames("mptrj.json");
    let marked = format!("\u{feff} \r\n{plain}");
    let read = read(&marked).unwrap();
    assert_eq!(read.len(), expected.len());
    assert!(read.iter().zip(&expected).all(|(one, other)| one.header == other.header && one.columns == other.columns));
    let folder = tempfile::tempdir().unwrap();
    for ending in ["gz", "bz2", "xz", "zst"] {
        let file = folder.path().join(format!("mptrj.{ending}"));
        let mut packed = isograd_data::Packed::new(std::fs::File::create(&file).unwrap(), &file).unwrap();
        io::Write::write_all(&mut packed, plain.as_bytes()).unwrap();
        packed.finish().unwrap();
        let frames: Vec<Frame> = Formats::default().open(&file).unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(frames, expected, "{ending}");
    }
}

#[test]
fn json_of_other_layouts_says_what_was_found_and_expected() {
    for (text, expected) in [
        ("{}", "found an object without keys at entry 0"),
        ("[{}]", "found an object without keys at entry 0"),
        ("[1, 2]", "found a number at entry 0"),
        (r#"{"a": 1, "b": [1, 2], "c": {"d": 1}}"#, "found an object with the keys `a`, `b`, `c` at entry 0"),
        (r#"{"a": {"b": {"c": 1}}}"#, "found an object with the keys `c` at material `a`, frame `b`"),
        (r#"{"a": [{"b": 1}]}"#, "found an object with the keys `b` in the list of `a`"),
        (r#"{"entries": [{"energy": 1}]}"#, "found an object with the keys `energy` at entry 0"),
        // Of unknown units.
        (
            r#"[{"structure": {"sites": [], "@class": "Molecule"}, "energy": 1, "forces": [], "stress": null}]"#,
            "found an object with the keys `structure`, `energy`, `forces`, `stress` at entry 0",
        ),
    ] {
        let message = message(text);
        assert!(message.starts_with("t.json: is JSON of no known layout: "), "{message}");
        assert!(
            message.contains(expected) && message.contains("expected MPtrj") && message.contains("or mlearn"),
            "{message}"
        );
    }
    // Not the first: a frame's fault.
    let text = std::fs::read_to_string(path("mlearn.json")).unwrap();
    let two = text.trim_end().strip_suffix(']').unwrap();
    let message = message(&format!("{two}, {{\"a\": 1}}]"));
    assert!(
        message
            .starts_with("t.json:1: frame 2: is JSON of no known layout: found an object with the keys `a` at entry 2"),
        "{message}"
    );
}

/// A fixture with one thing changed.
fn changed(name: &str, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(path(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    text.replacen(from, to, 1)
}

#[test]
fn errors_name_the_place_and_what_was_expected() {
    for (name, from, to, expected) in [
        (
            "mptrj.json",
            "-7.25",
            "\"-7.25\"",
            "frame 1: material `mp-1`, frame `mp-1-0-1`: `uncorrected_total_energy`: expected a number, found `-7.25`",
        ),
        (
            "mptrj.json",
            "[[10, 1, 2]",
            "[[10, 1]",
            "frame 0: material `mp-1`, frame `mp-1-0-0`: `stress`: row 1 has 3 numbers, the first has 2",
        ),
        (
            "mptrj.json",
            "[[10, 1, 2], [1, 20, 3], [2, 3, -30]]",
            "[10, 20, -30, 1, 2, 3]",
            "`stress`: expected three rows of three numbers, found 6 numbers",
        ),
        ("mptrj.json", "[0.5, -0.25]", "[0.5]", "`magmom`: expected a number for each of 2 atoms, found 1 numbers"),
        (
            "mptrj.json",
            "[[0.1, -0.2, 0.3], ",
            "[",
            "`force`: expected three numbers for each of 2 atoms, found 1 rows of together 3 numbers",
        ),
        (
            "mptrj.json",
            "\"Cl\", \"occu\": 1",
            "\"Cl\", \"occu\": 0.5",
            "frame 0: material `mp-1`, frame `mp-1-0-0`: `structure`: site 1: `Cl` occupies 0.5 of it",
        ),
        (
            "mptrj.json",
            "\"structure\": {",
            "\"structure\": 1, \"other\": {",
            "frame 0: material `mp-1`, frame `mp-1-0-0`: no `structure`",
        ),
        ("matpes.json", "\"matpes-2\"", "[2]", "frame 1: entry 1: `matpes_id`: expected text, found 1 numbers"),
        (
            "matpes.jsonl",
            "\"energy\": -8.0",
            "\"energy\": true",
            "t.json:2: frame 1: entry 1: `energy`: expected a number, found `true`",
        ),
        (
            "matpes.jsonl",
            "[10, 20, -30, 3, 2, 1]",
            "[10, 20, -30]",
            "frame 0: entry 0: `stress`: expected three rows of three numbers, or six numbers, found 3 numbers",
        ),
        (
            "alexandria.json",
            "\"agm000000002\"",
            "{}",
            "frame 1: entry 1: `data.mat_id`: expected a number, text or numbers, found an object",
        ),
        (
            "alexandria_path.json",
            "-7.0",
            "[]",
            "frame 2: material `agm000000001`, calculation 1, step 0: `energy`: expected a number, found 0 numbers",
        ),
        (
            "mlearn.json",
            "\"num_atoms\": 2",
            "\"num_atoms\": 3",
            "frame 0: entry 0: `num_atoms` is 3, and the structure has 2 sites",
        ),
        (
            "mlearn.json",
            "[-5, -5, -5, 0, 0, 0]",
            "[-5, -5, -5, 0, 0, 0, 0]",
            "frame 1: entry 1: `outputs.virial_stress`: expected three rows of three numbers, or six numbers",
        ),
    ] {
        let message = message(&changed(name, from, to));
        assert!(message.starts_with("t.json:") && message.contains(expected), "{name}, {to}: {message}");
    }
}

#[test]
fn after_an_error_nothing_follows() {
    let text = changed("mptrj.json", "-7.25", "oops");
    let mut frames = Formats::default().read(Input::new(text.as_bytes(), "t.json")).unwrap();
    assert!(frames.next().unwrap().is_ok());
    let message = frames.next().unwrap().unwrap_err().to_string();
    assert!(
        message.contains("frame `mp-1-0-1`: `uncorrected_total_energy`: is not JSON at line 1, column "),
        "{message}"
    );
    assert!(frames.next().is_none());
}

/// A file that is as long as one likes, and how much of it was read.
struct Endless {
    frame: Vec<u8>,
    at: usize,
    read: Arc<AtomicUsize>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.frame[self.at % self.frame.len()];
            self.at += 1;
        }
        self.read.fetch_add(buffer.len(), Ordering::Relaxed);
        Ok(buffer.len())
    }
}

#[test]
fn frames_are_there_before_the_next_are_read() {
    let read = Arc::new(AtomicUsize::new(0));
    let frame = format!(r#""f": {{"structure": {MOLECULE}, "uncorrected_total_energy": -1.5}},"#).into_bytes();
    let length = frame.len();
    let start = &b"{\"mp-1\": {"[..];
    let file = start.chain(BufReader::with_capacity(512, Endless { frame, at: 0, read: read.clone() }));
    let mut frames = Json.frames(Input::new(file, "endless")).unwrap();
    for index in 0..1000 {
        assert_eq!(number(&frames.next().unwrap().unwrap(), "energy"), -1.5);
        assert!(read.load(Ordering::Relaxed) < (index + 1) * length + 4096);
    }
}

/// All frames, or an error: no panic, and nothing after the error.
fn survives(bytes: &[u8]) -> bool {
    let mut frames = Json.frames(Input::new(bytes, "t")).unwrap();
    let complete = frames.by_ref().all(|frame| frame.map_err(|error| assert!(error.is_input(), "{error}")).is_ok());
    assert!(frames.next().is_none());
    complete
}

#[test]
fn a_file_that_ends_too_early_is_an_error() {
    for name in FIXTURES {
        let bytes = std::fs::read(path(name)).unwrap();
        let whole = bytes.trim_ascii_end().len();
        let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        for length in 0..whole {
            // A file of lines may end after any of them.
            let complete = name == "matpes.jsonl" && (first_line..=first_line + 1).contains(&length);
            assert_eq!(survives(&bytes[..length]), complete, "{name} cut to {length} of {whole}");
        }
        assert!(survives(&bytes[..whole]), "{name}");
    }
}

#[test]
fn damaged_bytes_are_no_panic() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for name in FIXTURES {
        let bytes = std::fs::read(path(name)).unwrap();
        for _ in 0..1000 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + rng.next_u32() % 3 {
                let at = rng.next_u64() as usize % damaged.len();
                damaged[at] ^= 1 << (rng.next_u32() % 8);
            }
            survives(&damaged);
        }
    }
}

#[test]
fn shuffled_pieces_are_no_panic() {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"structure\"",
        "\"sites\"",
        "\"energy\"",
        "\"steps\"",
        "\"entries\"",
        "\"a\"",
        "1",
        "-2.5e3",
        "null",
        "NaN",
        "Infinity",
        "true",
        "\"",
        "\\",
        " ",
        "\n",
        "\"outputs\"",
        "\"matpes_id\"",
        "\"lattice\"",
        "[[1,2,3]]",
        MOLECULE,
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..20_000 {
        let text: String =
            (0..2 + rng.next_u32() % 30).map(|_| pieces[rng.next_u32() as usize % pieces.len()]).collect();
        survives(text.as_bytes());
    }
}

#[test]
fn hostile_sizes_and_depths_end_in_errors() {
    let deep = |open: &str, times: usize| open.repeat(times);
    for text in [
        deep("[", 1_000_000),
        deep("{\"a\":", 1_000_000),
        format!("[{{\"outputs\": {{\"forces\": {}", deep("[", 100_000)),
        format!("[{{\"structure\": {{\"sites\": {}", deep("[", 100_000)),
        format!("[{{\"other\": {}", deep("[{\"a\":", 100_000)),
        format!("[{{\"energy\": {}", "9".repeat(1_000_000)),
        format!("[{{\"energy\": {}}}]", "9".repeat(1_000_000)),
        format!("{{\"{}\": ", "a".repeat(1_000_000)),
        format!("[{{\"outputs\": {{\"forces\": [{}", "[],".repeat(1_000_000)),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.len() < 2000, "{error}");
    }
    assert!(message(&deep("[", 1000)).contains("found a list at entry 0"));
    assert!(
        message(&format!("[{{\"a\": {}", deep("[", 1000)))
            .contains("more than 128 objects and lists within one another")
    );
}

#[test]
fn bytes_that_are_no_text_and_streams_that_break() {
    let error = Json.frames(Input::new(&b"[{\"\xff\": 1}]"[..], "t")).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("invalid UTF-8"), "{error}");
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let whole = std::fs::read(path("mptrj.json")).unwrap();
    let broken = io::Cursor::new(whole[..2000].to_vec()).chain(BufReader::new(Broken));
    let frames: Vec<_> = Formats::default().read(Input::new(broken, "t")).unwrap().collect();
    let error = frames.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(error.contains("cannot read on: the disk is gone"), "{error}");
}

/// Lists that other formats have as text are not taken from them.
#[test]
fn extended_xyz_is_not_json() {
    let text = "1\nforces=[[1, 2, 3]] {\"a\": 1}\nH 0 0 0\n";
    assert!(!Json.recognises(text.as_bytes()));
    assert_eq!(read(text).unwrap().len(), 1);
    let mut lines = text.as_bytes().lines();
    assert!(lines.all(|line| !Json.recognises(line.unwrap().as_bytes())));
}
