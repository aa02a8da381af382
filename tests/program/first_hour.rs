//! The first hour with data of one's own: what `data info` shows, the config that `init` writes, training without a config, and
//! mistakes in a config.

use crate::common::{Workspace, clusters, summary};
use serde_json::Value;

/// A quick run of whatever config there is.
const QUICK: [&str; 6] = ["--set", "train.epochs=1", "--set", "train.seconds=4", "--set", "model.width=8"];

fn space(text: &str) -> Workspace {
    let space = Workspace::new(4, "");
    std::fs::write(space.path("mine.extxyz"), text).unwrap();
    space
}

/// Labels under the names that another program gives them.
fn other_names(text: &str) -> String {
    text.replace(":forces:R:3", ":REF_forces:R:3").replace(" energy=", " REF_energy=")
}

/// The same frames with forces turned around.
fn gradients(text: &str) -> String {
    let turned = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        if words.len() != 7 {
            return line.to_owned();
        }
        let minus = |word: &&str| format!("{}", -word.parse::<f64>().unwrap());
        format!("{} {}", words[..4].join(" "), words[4..].iter().map(minus).collect::<Vec<_>>().join(" "))
    };
    text.lines().map(turned).collect::<Vec<_>>().join("\n") + "\n"
}

/// A crystal of one element under strain, whose energy and stress belong together.
fn crystals(frames: usize) -> String {
    let one = |k: usize| {
        let edge = 3.8 + 0.02 * k as f64;
        let rest = edge.powi(3) - 64.0;
        let (energy, pressure) = (0.4 * rest * rest / 64.0 - 6.0, 0.8 * rest / 64.0);
        let (middle, force) = (0.5 * edge, 1e-2 * (1.0 + k as f64));
        format!(
            "2\nLattice=\"{edge} 0 0 0 {edge} 0 0 0 {edge}\" Properties=species:S:1:pos:R:3:forces:R:3 energy={energy} \
             stress=\"{pressure} 0 0 0 {pressure} 0 0 0 {pressure}\" pbc=\"T T T\"\nCu 0 0 0 0.0 0.0 {force}\n\
             Cu {middle} {middle} {middle} 0.0 0.0 {}\n",
            -force
        )
    };
    (0..frames).map(one).collect()
}

/// Energies alone.
fn energies(text: &str) -> String {
    let bare = |line: &str| match line.split(' ').collect::<Vec<_>>() {
        words if words.len() == 7 => words[..4].join(" "),
        _ => line.replace(":forces:R:3", ""),
    };
    text.lines().map(bare).collect::<Vec<_>>().join("\n") + "\n"
}

fn config(space: &Workspace, name: &str) -> String {
    std::fs::read_to_string(space.path(name)).unwrap()
}

#[test]
fn info_shows_what_a_person_looks_at_first() {
    let space = space(&other_names(&clusters(200)));
    let shown = space.succeed(&["data", "info", "mine.extxyz"]);
    for part in [
        "REF_energy",
        "not used; looks like energy",
        "not used; looks like forces",
        "200 of 200",
        "keys = { energy = \"REF_energy\", forces = \"REF_forces\" }",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = space.succeed(&["data", "info", "data.xyz", "--energy-key", "energy"]);
    let lines = |name: &str| shown.lines().find(|line| line.starts_with(name)).map(|line| line.to_owned());
    let forces = lines("force on an atom").unwrap();
    assert!(forces.contains('█') && forces.ends_with("eV/Å"), "{shown}");
    assert!(lines("energy beside references").is_some_and(|line| line.ends_with("meV/atom")), "{shown}");
}

#[test]
fn info_tells_signs_copies_and_energies_left_behind() {
    let text = gradients(&clusters(200));
    let first: String = text.lines().take(5).map(|line| format!("{line}\n")).collect();
    let space = space(&(text + &first));
    let report: Value = serde_json::from_str(&space.succeed(&["data", "info", "mine.extxyz", "--json"])).unwrap();
    let source = &report["sources"][0];
    // What was there before is where it was.
    assert_eq!((&source["summary"]["frames"], &source["name"]), (&201.into(), &"mine.extxyz".into()));
    let kinds: Vec<&str> =
        source["findings"].as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["force_sign", "copies"], "{source}");
    assert_eq!(source["config"], serde_json::json!(["units = { forces_are_gradients = true }"]));
    assert_eq!(source["copies"], 1);
    let fields = source["fields"].as_array().unwrap();
    let of =
        |name: &str| fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("{name}: {source}"));
    assert_eq!((&of("system")["different"], &of("system")["used_as"]), (&50.into(), &Value::Null));
    assert_eq!((&of("energy")["used_as"], &of("forces")["of_atoms"]), (&"energy".into(), &true.into()));
    let counts = source["distributions"].as_array().unwrap().iter().map(|own| {
        let bars = own["histogram"].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
        (own["count"].as_u64().unwrap(), bars)
    });
    assert!(counts.clone().count() > 4 && counts.clone().all(|(count, bars)| bars == count.min(8192)), "{source}");
    // Said in a config, it is no longer found.
    std::fs::write(
        space.path("c.toml"),
        "[data]\nfiles = [\"mine.extxyz\"]\nunits = { forces_are_gradients = true }\n",
    )
    .unwrap();
    let shown = space.succeed(&["data", "info", "--config", "c.toml"]);
    assert!(!shown.contains("gradients") && shown.contains("positions of an earlier one"), "{shown}");
}

#[test]
fn a_store_shows_what_its_index_knows() {
    let space = space(&clusters(60));
    space.succeed(&["data", "pack", "mine.extxyz", "-o", "store", "--cutoff", "5"]);
    let shown = space.succeed(&["data", "info", "store"]);
    assert!(shown.contains("force RMS of a frame") && shown.contains("energy beside references"), "{shown}");
    let said = space.succeed(&["init", "store"]);
    assert!(said.contains("60 frames of 3 to 6 atoms (H, C, O), not periodic, with energies, forces"), "{said}");
    assert!(config(&space, "store.toml").contains("files = [\"store\"]"));
}

#[test]
fn init_writes_a_config_that_trains_whatever_the_data_are() {
    let crystals = crystals(24);
    let ten = clusters(10);
    let cases: [(&str, String, &[&str]); 5] = [
        (
            "names",
            other_names(&clusters(60)),
            &["keys = { energy = \"REF_energy\", forces = \"REF_forces\" }", "\"system\" (15 values)"],
        ),
        ("signs", gradients(&clusters(200)), &["units = { forces_are_gradients = true }", "validation_fraction = 0.1"]),
        (
            "stress",
            crystals,
            &["stress_weight = ", "periodic, with energies, forces, stresses", "validation_fraction = 0.2"],
        ),
        ("tiny", ten, &["validation_fraction = 0.2", "batch_graphs = 5"]),
        ("energies", energies(&clusters(60)), &["force_weight = 0.0", "There are no forces"]),
    ];
    for (name, text, expected) in cases {
        let space = space(&text);
        std::fs::create_dir(space.path("deep")).unwrap();
        let said = space.succeed(&["init", "mine.extxyz", "-o", "deep/own.toml", "--seconds", "3"]);
        assert!(said.contains("isograd train deep/own.toml"), "{said}");
        let text = config(&space, "deep/own.toml");
        for part in expected.iter().chain(&["files = [\"../mine.extxyz\"]", "seconds = 3\n", "preset = \"fast\""]) {
            assert!(text.contains(part), "{name}, {part}: {text}");
        }
        let (code, _, said) = space.run(&[&["train", "deep/own.toml", "--out", "run"], &QUICK[..]].concat());
        assert_eq!(code, 0, "{name}: {said}");
        assert!(summary(&space.path("run"))["train"]["steps"].as_u64() > Some(0), "{name}");
        // What is there stays.
        let (code, _, said) = space.run(&["init", "mine.extxyz", "-o", "deep/own.toml"]);
        assert!(code == 2 && said.contains("is there already") && config(&space, "deep/own.toml") == text, "{said}");
    }
}

#[test]
fn init_chooses_by_the_time_and_says_what_it_cannot_make_a_config_of() {
    let space = space(&clusters(200));
    space.succeed(&["init", "mine.extxyz", "--hours", "2"]);
    let text = config(&space, "mine.toml");
    assert!(text.contains("preset = \"accurate\"") && text.contains("seconds = 7200\n"), "{text}");
    let write = |name: &str, text: &str| std::fs::write(space.path(name), text).unwrap();
    write("bare.xyz", "2\nProperties=species:S:1:pos:R:3:tag:R:1 note=a\nH 0 0 0 1\nH 0 0 1 2\n");
    write("zero.xyz", &"2\nenergy=0.0\nH 0 0 0\nH 0 0 1\n".repeat(3));
    write("one.xyz", "2\nenergy=-1.0\nH 0 0 0\nH 0 0 1\n");
    write("bad.xyz", &(clusters(40) + "2\nenergy=-1\nH 0 0 0\nH 0 0 0.1\n"));
    for (file, expected) in [
        (
            "bare.xyz",
            "no frame has an energy or forces, and nothing looks like them (other keys of frames: `note`; other columns of atoms: `tag`)",
        ),
        ("zero.xyz", "every energy is exactly zero"),
        ("one.xyz", "there is one frame"),
        ("none.xyz", "none.xyz"),
    ] {
        for command in ["init", "train"] {
            let (code, _, said) = space.run(&[command, file]);
            assert!(code == 2 && said.contains(expected), "{command} {file}: {said}");
        }
        assert!(!space.path(file).with_extension("toml").exists() && !space.path("runs").exists());
    }
    let (code, _, said) = space.run(&["init", "mine.extxyz", "--seconds=-1", "-o", "never.toml"]);
    assert!(code == 2 && said.contains("--seconds"), "{said}");
    space.succeed(&["init", "bad.xyz"]);
    assert!(config(&space, "bad.toml").contains("suspicious = \"filter\""));
}

#[test]
fn files_are_trained_on_without_a_config() {
    let space = space(&other_names(&clusters(60)));
    let (code, table, said) = space.run(&[&["train", "mine.extxyz", "--seconds", "4"], &QUICK[..]].concat());
    assert!(code == 0 && table.contains("force MAE") && said.contains("REF_energy"), "{said}");
    let text = config(&space, "runs/mine/config.toml");
    assert!(text.contains("energy = \"REF_energy\"") && text.contains("width = 8"), "{text}");
    let (code, _, said) = space.run(&["train", "mine.extxyz"]);
    assert!(code == 2 && said.contains("runs/mine") && said.contains("--resume"), "{said}");
    // It goes on, with what was chosen when it began.
    let on = ["train", "mine.extxyz", "--resume", "--set", "train.epochs=2", "--set", "train.seconds=8"];
    let (code, _, said) = space.run(&on);
    assert_eq!(code, 0, "{said}");
    assert_eq!(summary(&space.path("runs/mine"))["train"]["epochs"].as_f64(), Some(2.0));
    // Other data are not those of the run.
    std::fs::write(space.path("others.extxyz"), other_names(&clusters(50))).unwrap();
    let (code, _, said) = space.run(&["train", "others.extxyz", "--out", "runs/mine", "--resume"]);
    assert!(code == 2, "{said}");
    // Several files, and a config beside them.
    let two = ["train", "mine.extxyz", "data.xyz", "--out", "two", "--set", "nothing=1"];
    let (code, _, said) = space.run(&two);
    assert!(code == 2 && said.contains("--set nothing=1"), "{said}");
    let (code, _, said) = space.run(&["train", "mine.extxyz", "config.toml"]);
    assert!(code == 2 && said.contains("config.toml: is a config beside other files"), "{said}");
}

#[test]
fn a_mistake_in_a_config_is_shown_in_its_line() {
    let space = Workspace::new(4, "");
    let cases: [(&str, &[&str]); 6] = [
        ("[train]\nepochs == 3\n", &["c.toml:4:9: ", "  4 | epochs == 3\n    |         ^"]),
        ("[train]\nepoch = 3\n", &["c.toml:4:1: ", "  4 | epoch = 3\n    | ^^^^^\n", "did you mean `epochs`?"]),
        ("[train]\nepochs = \"3\"\n", &["c.toml:4:10: invalid type", "    |          ^^^\nexpected"]),
        (
            "[train]\nlearning_rate = 20.0\n",
            &["c.toml:4:17: train.learning_rate is 20\n", "    |                 ^^^^\nexpected"],
        ),
        ("[model]\nkind = \"painm\"\n", &["c.toml:4:8: model.kind is `painm`", "^^^^^^^\n", "painn"]),
        (
            "[model]\nlayers = 2\nwidht = 8\n",
            &["c.toml:5:1: ", "  5 | widht = 8\n    | ^^^^^\n", "did you mean `width`?"],
        ),
    ];
    for (lines, expected) in cases {
        std::fs::write(space.path("c.toml"), format!("[data]\nfiles = [\"data.xyz\"]\n{lines}")).unwrap();
        let (code, _, said) = space.run(&["train", "c.toml"]);
        assert_eq!(code, 2, "{said}");
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    }
    std::fs::write(space.path("c.toml"), "[data]\nfiles = [\"data.xyz\"]\n[train]\nepochs = 3\n").unwrap();
    let (code, _, said) = space.run(&["train", "c.toml", "--set", "train.epochs=0"]);
    assert!(
        code == 2 && said.starts_with("error: --set train.epochs=0: train.epochs is 0") && !said.contains('|'),
        "{said}"
    );
}
