//! What is held out: files of its own, a share, or nothing; and reference energies of isolated atoms.

use crate::common::{Workspace, clusters, metrics, summary};

const CONFIG: &str = "[model]
width = 8
layers = 1
cutoff = 3.0
[train]
epochs = 2
batch_graphs = 8
[run]
out = \"run\"
";

#[test]
fn files_are_held_out_as_they_are() {
    let space = Workspace::new(40, CONFIG);
    let own = clusters(52).lines().skip(clusters(40).lines().count()).collect::<Vec<_>>().join("\n");
    std::fs::write(space.path("own.xyz"), own).unwrap();
    let (code, _, said) = space.run(&["train", "config.toml", "--set", "data.validation_files=[\"own.xyz\"]"]);
    assert!(code == 0 && said.contains("training on 40 structures") && said.contains("validating on 12"), "{said}");
    // The errors are those of the file.
    let eval = space.succeed(&["eval", "run", "own.xyz", "--json"]);
    let eval: serde_json::Value = serde_json::from_str(&eval).unwrap();
    let best = &summary(&space.path("run"))["best"]["validation"];
    let [a, b] = [best, &eval["metrics"]].map(|own| own["force_mae_mev_per_angstrom"].as_f64().unwrap());
    assert!((a - b).abs() < 1e-4 * a, "{a} and {b}");
    // What is trained on too is a leak.
    let (code, _, said) =
        space.run(&["train", "config.toml", "--out", "leak", "--set", "data.validation_files=[\"data.xyz\"]"]);
    assert!(code == 2 && said.contains("40 of 40 structures that are held out are trained on too"), "{said}");
}

#[test]
fn nothing_is_held_out_if_asked() {
    let space = Workspace::new(1, CONFIG);
    let (code, _, said) = space.run(&["train", "config.toml"]);
    assert!(code == 2 && said.contains("data.validation_fraction = 0"), "{said}");
    let (code, stdout, said) = space.run(&["train", "config.toml", "--set", "data.validation_fraction=0"]);
    assert!(
        code == 0 && said.contains("training on 1 structure (") && said.contains("warning: nothing is held out"),
        "{said}"
    );
    let row = stdout.lines().find(|line| line.contains("force MAE")).unwrap();
    assert_eq!(row.matches('-').count(), 3, "{row}");
    let found = summary(&space.path("run"));
    assert!(
        found["best"]["score"].is_null() && found["best"]["validation"]["force_mae_mev_per_angstrom"].is_null(),
        "{found}"
    );
    assert_eq!(found["best"]["step"], found["train"]["steps"], "the last weights are kept");
    assert!(metrics(&space.path("run")).iter().all(|line| line["loss"].as_f64().unwrap() > 0.0));
    space.succeed(&[
        "train",
        "config.toml",
        "--resume",
        "--set",
        "data.validation_fraction=0",
        "--set",
        "train.epochs=4",
    ]);
    space.succeed(&["predict", "run", "data.xyz", "-o", "p.xyz"]);
    let early = ["--set", "data.validation_fraction=0", "--set", "train.early_stopping=3", "--out", "early"];
    let (code, _, said) = space.run(&[&["train", "config.toml"][..], &early].concat());
    assert!(code == 2 && said.contains("train.early_stopping needs structures that are held out"), "{said}");
}

#[test]
fn isolated_atoms_are_references() {
    let space = Workspace::new(40, CONFIG);
    let atom = |symbol: &str, energy: f64| {
        format!(
            "1\nProperties=species:S:1:pos:R:3:forces:R:3 energy={energy} config_type=IsolatedAtom\n{symbol} 0 0 0 0 0 0\n"
        )
    };
    let some = clusters(40) + &atom("H", -1.5) + &atom("C", -2.5);
    std::fs::write(space.path("data.xyz"), &some).unwrap();
    let train = ["train", "config.toml", "--set", "data.references=isolated_atoms"];
    let (code, _, said) = space.run(&train);
    assert!(code == 2 && said.contains("no structure of one O atom alone with its energy (there are: H, C)"), "{said}");
    // Of two states the ground state.
    std::fs::write(space.path("data.xyz"), some + &atom("O", -1.0) + &atom("O", -3.5)).unwrap();
    let (code, _, said) = space.run(&train);
    assert!(code == 0 && ["-1.5000", "-2.5000", "-3.5000", "given"].iter().all(|own| said.contains(own)), "{said}");
    assert!(said.contains("training on 36 structures"), "atoms are not trained on: {said}");
}

#[test]
fn forces_that_were_not_learned_are_not_written() {
    let space = Workspace::new(40, CONFIG);
    let set = ["--set", "model.forces=direct", "--set", "loss.force_weight=0"];
    let stdout = space.succeed(&[&["train", "config.toml"][..], &set].concat());
    let row = stdout.lines().find(|line| line.contains("force MAE")).unwrap();
    assert_eq!(row.matches('-').count(), 3, "{row}");
    let (code, _, said) = space.run(&["predict", "run", "data.xyz", "-o", "p.xyz"]);
    assert!(code == 0 && said.contains("warning: forces are not predicted: their weight in the loss was 0"), "{said}");
    let written = std::fs::read_to_string(space.path("p.xyz")).unwrap();
    assert!(
        written.contains(" energy=") && written.contains("Properties=species:S:1:forces:R:3"),
        "labels stay: {written}"
    );
    let (first, of_data) = (written.lines().nth(2).unwrap(), clusters(1));
    let force = of_data.lines().nth(2).unwrap().split(' ').next_back().unwrap();
    assert!(first.contains(&force[..8]), "{first} has the label {force}");
    assert!(isograd::Potential::load(space.path("run"), "cpu".parse().unwrap()).is_err());
}

#[test]
fn files_with_other_names_and_units_are_predicted() {
    let space = Workspace::new(40, CONFIG);
    space.succeed(&["train", "config.toml"]);
    let hartree = 27.211_386_245_988;
    let renamed: String = clusters(12)
        .lines()
        .map(|line| match line.split_once(" energy=") {
            Some((head, rest)) => {
                let (energy, rest) = rest.split_once(' ').unwrap();
                format!("{head} E={} {rest}\n", energy.parse::<f64>().unwrap() / hartree).replace("forces:R", "F:R")
            }
            None => format!("{line}\n"),
        })
        .collect();
    std::fs::write(space.path("other.xyz"), renamed).unwrap();
    std::fs::write(space.path("same.xyz"), clusters(12)).unwrap();
    let eval = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&space.succeed(&[&["eval", "run", "--json"], arguments].concat())).unwrap()
    };
    let expected = eval(&["same.xyz"]);
    let options =
        ["other.xyz", "--energy-key", "E", "--forces-key", "F", "--units", "energy=Hartree,force=eV/angstrom"];
    let found = eval(&options);
    for key in ["energy_mae_mev_per_atom", "force_mae_mev_per_angstrom"] {
        let [a, b] = [&expected, &found].map(|report| report["metrics"][key].as_f64().unwrap());
        assert!((a - b).abs() < 1e-6 * a, "{key}: {a} and {b}");
    }
    space.succeed(&[&["predict", "run"], &options[..], &["-o", "p.xyz"]].concat());
    let (code, _, said) = space.run(&["eval", "run", "same.xyz", "--units", "energy=calories"]);
    assert!(code == 2 && said.contains("--units") && said.contains("kcal/mol"), "{said}");
}

#[test]
fn atoms_on_top_of_each_other_are_told_of() {
    let space = Workspace::new(40, CONFIG);
    space.succeed(&["train", "config.toml"]);
    std::fs::write(space.path("close.xyz"), "2\n\nH 0 0 0\nC 1 0 0\n2\n\nH 0 0 0\nC 0.2 0 0\n").unwrap();
    let (code, _, said) = space.run(&["predict", "run", "close.xyz", "-o", "p.xyz"]);
    assert!(
        code == 0 && said.contains("warning: 1 structure with atoms closer than 0.4 angstrom (first: frame 1)"),
        "{said}"
    );
}
