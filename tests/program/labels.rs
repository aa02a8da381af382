//! Which labels count, and how much: masks of forces, weights of frames, errors by kinds of frames.

use crate::common::{Workspace, clusters, metrics, summary};

const CONFIG: &str = "[data.keys]
force_mask = \"move_mask\"
[model]
width = 8
layers = 1
cutoff = 3.0
[train]
epochs = 2
batch_graphs = 8
[run]
out = \"run\"
";

/// Frames of clusters, as lines: the number of atoms, the comment, and the atoms.
fn frames(count: usize) -> Vec<Vec<String>> {
    let text = clusters(count);
    let mut lines = text.lines();
    let mut frames = Vec::new();
    while let Some(first) = lines.next() {
        let rest = lines.by_ref().take(1 + first.parse::<usize>().unwrap());
        frames.push(std::iter::once(first).chain(rest).map(str::to_owned).collect());
    }
    frames
}

/// The first atom of each frame is held in place, and `force` is what the file says is the force on it.
fn held(force: &str) -> String {
    let mut text = String::new();
    for mut frame in frames(40) {
        frame[1] = frame[1].replace("forces:R:3", "forces:R:3:move_mask:L:1");
        for (place, atom) in frame[2..].iter_mut().enumerate() {
            if place == 0 {
                let words: Vec<&str> = atom.split(' ').take(4).collect();
                *atom = format!("{} {force} F", words.join(" "));
            } else {
                atom.push_str(" T");
            }
        }
        text += &(frame.join("\n") + "\n");
    }
    text
}

#[test]
fn forces_that_are_masked_change_nothing() {
    let space = Workspace::new(1, CONFIG);
    let mut logs = Vec::new();
    for (name, force) in [("zero", "0 0 0"), ("other", "3 -2 7.5")] {
        std::fs::write(space.path("data.xyz"), held(force)).unwrap();
        space.succeed(&["train", "config.toml", "--out", name]);
        space.succeed(&[
            "data",
            "pack",
            "data.xyz",
            "-o",
            &format!("{name}.store"),
            "--cutoff",
            "3",
            "--force-mask",
            "move_mask",
        ]);
        logs.push(metrics(&space.path(name)));
    }
    assert_eq!(logs[0], logs[1]);
    // What a store's index knows is the same.
    let stored = CONFIG.replace("[data.keys]\nforce_mask = \"move_mask\"\n", "");
    std::fs::write(space.path("stored.toml"), format!("[data]\nfiles = [\"other.store\"]\n{stored}")).unwrap();
    space.succeed(&["train", "stored.toml", "--out", "stored"]);
    assert_eq!(metrics(&space.path("stored")), logs[0]);
    for (config, name) in [("config.toml", "two"), ("stored.toml", "stored-two")] {
        space.succeed(&["train", config, "--out", name, "--ranks", "2"]);
    }
    assert_eq!(metrics(&space.path("two")), metrics(&space.path("stored-two")));
    // Errors are those of the others too: of one atom less in each frame.
    let eval = |more: &[&str]| space.succeed(&[&["eval", "zero", "data.xyz", "--json"], more].concat());
    let force = |text: &str| {
        serde_json::from_str::<serde_json::Value>(text).unwrap()["metrics"]["force_mae_mev_per_angstrom"]
            .as_f64()
            .unwrap()
    };
    let masked = force(&eval(&[]));
    assert!(force(&eval(&["--force-mask", "none"])) > 1.5 * masked, "{masked}");
    let said = |arguments: &[&str]| space.run(arguments).2;
    let eval = said(&["eval", "zero", "data.xyz", "--force-mask", "none"]);
    assert!(eval.contains("no frame has the column `none`: all forces are labels"), "{eval}");
    let pack = said(&["data", "pack", "data.xyz", "-o", "no.store", "--force-mask", "none", "--weight-key", "w"]);
    assert!(pack.contains("column `none` in which an atom is F") && pack.contains("under the key `w`"), "{pack}");
    // What is held out may do without.
    let plain = clusters(52).lines().skip(clusters(40).lines().count()).collect::<Vec<_>>().join("\n");
    std::fs::write(space.path("own.xyz"), plain).unwrap();
    space.succeed(&["train", "config.toml", "--out", "own", "--set", "data.validation_files=[\"own.xyz\"]"]);
    // Without the key it is said that there is one.
    let (code, _, said) = space.run(&["train", "config.toml", "--out", "all", "--set", "data.keys={}"]);
    assert!(code == 0 && said.contains("set keys.force_mask = \"move_mask\""), "{said}");
    assert_ne!(metrics(&space.path("all")), logs[1]);
    let (code, _, said) =
        space.run(&["train", "config.toml", "--out", "no", "--set", "data.keys={force_mask=\"free\"}"]);
    assert!(code == 2 && said.contains("no frame has the column `free` of keys.force_mask"), "{said}");
}

/// Every fourth frame is of another kind, and has this energy.
fn kinds(energy: &str) -> String {
    let mut text = String::new();
    for (place, mut frame) in frames(40).into_iter().enumerate() {
        let kind = if place % 4 == 3 { "odd" } else { "plain" };
        if kind == "odd" {
            let end = frame[1].find(" energy=").unwrap();
            frame[1] = format!("{} energy={energy}", &frame[1][..end]);
        }
        frame[1] += &format!(" config_type={kind}");
        text += &(frame.join("\n") + "\n");
    }
    text
}

#[test]
fn frames_count_what_their_kind_counts() {
    let space = Workspace::new(1, &CONFIG.replace("force_mask = \"move_mask\"", "weight = \"config_type\""));
    let train = |name: &str, weights: &str| {
        space.run(&["train", "config.toml", "--out", name, "--set", &format!("data.frame_weights={weights}")])
    };
    let mut logs = Vec::new();
    for (name, energy) in [("first", "-3"), ("second", "-9")] {
        std::fs::write(space.path("data.xyz"), kinds(energy)).unwrap();
        let (code, _, said) = train(name, "{ odd = 0, default = 1 }");
        assert!(code == 0 && said.contains("10 of 40 frames have the weight 0 and are left out"), "{said}");
        logs.push(metrics(&space.path(name)));
    }
    assert_eq!(logs[0], logs[1]);
    let losses = |name: &str| -> Vec<f64> {
        metrics(&space.path(name)).iter().map(|line| line["loss"].as_f64().unwrap()).collect()
    };
    // Twice the weight of all is twice the loss, before the first step has made a difference.
    for (name, weights) in
        [("one", "{ default = 1 }"), ("two", "{ odd = 2.0, plain = 2.0 }"), ("half", "{ odd = 0.5, default = 1 }")]
    {
        assert_eq!(train(name, weights).0, 0);
    }
    let [one, two, half] = ["one", "two", "half"].map(|name| losses(name)[0]);
    assert!((two / one - 2.0).abs() < 0.2 && half < one, "{one} {two} {half}");
    // A store knows the weights.
    let text = std::fs::read_to_string(space.path("config.toml")).unwrap();
    std::fs::write(space.path("half.toml"), text.clone() + "[data.frame_weights]\nodd = 0.5\ndefault = 1\n").unwrap();
    space.succeed(&["data", "pack", "--config", "half.toml", "-o", "kinds.store", "--cutoff", "3"]);
    let stored = text.replace("data.xyz", "kinds.store").replace("[data.keys]\nweight = \"config_type\"\n", "");
    std::fs::write(space.path("stored.toml"), stored).unwrap();
    space.succeed(&["train", "stored.toml", "--out", "stored"]);
    assert_eq!(metrics(&space.path("stored")), metrics(&space.path("half")));
    let message = |weights: &str, words: &str| {
        let (code, _, said) = train("no", weights);
        assert!(code == 2 && said.contains(words), "{said}");
    };
    message("{ odd = 1 }", "`config_type=plain`: frame_weights has `odd`; add `plain`, or `default`");
    message("{ odd = -1, default = 1 }", "has -1 for `odd`, expected 0 or more");
    message("{}", "`config_type=plain`: expected a number that is not negative");
    message("{ default = 0 }", "all its frames have the weight 0");
    let plain: serde_json::Value =
        serde_json::from_str(&space.succeed(&["eval", "one", "data.xyz", "--by", "config_type", "--json"])).unwrap();
    let of = |own: &serde_json::Value| own["metrics"]["energy_mae_mev_per_atom"].as_f64().unwrap();
    let [odd, most] = ["odd", "plain"].map(|kind| of(&plain["by"][kind]));
    assert_eq!((&plain["by"]["odd"]["structures"], &plain["by"]["plain"]["structures"]), (&10.into(), &30.into()));
    assert!((0.25 * odd + 0.75 * most - of(&plain)).abs() < 1e-6 * odd, "{plain}");
    let (code, _, said) = space.run(&["eval", "one", "data.xyz", "--by", "kind"]);
    assert!(code == 2 && said.contains("--by: is `kind`, which no frame has"), "{said}");
    let table = space.succeed(&["eval", "one", "data.xyz", "--by", "config_type"]);
    assert!(
        table.contains("config_type") && table.lines().any(|line| line.contains("plain") && line.contains("30")),
        "{table}"
    );
}

#[test]
fn what_a_reader_leaves_out_is_said() {
    let config = CONFIG.replace("[data.keys]\nforce_mask = \"move_mask\"\n", "");
    let space = Workspace::new(1, &config);
    let mut text = String::new();
    for (place, mut frame) in frames(24).into_iter().enumerate() {
        if place == 5 {
            frame[2] += " 0.25 fixed";
        }
        if place % 8 == 7 {
            frame[1] += " free_energy=-100.5";
        }
        text += &(frame.join("\n") + "\n");
    }
    std::fs::write(space.path("data.xyz"), text).unwrap();
    let (code, _, said) = space.run(&["train", "config.toml"]);
    assert!(code == 0 && said.contains("what is left over is not read (1 frame, first: "), "{said}");
    assert!(said.contains("data.xyz: frame 5)") && said.contains("keys.energy = \"free_energy\" (3 frames"), "{said}");
    let kept = &summary(&space.path("run"))["warnings"];
    assert!(kept.as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains("left over")), "{kept}");
}
