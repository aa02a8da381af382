//! `isograd data audit`, and what training says of structures that are held out and trained on.

use crate::common::{Workspace, clusters};
use serde_json::Value;

const CONFIG: &str = "
[model]
width = 8
layers = 1
cutoff = 3.0
[train]
epochs = 1
batch_graphs = 8
[run]
out = \"run\"
";

/// The lines of frames, one by one.
fn frames(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut frames = Vec::new();
    let mut rest = lines.as_slice();
    while let Some(first) = rest.first() {
        let (own, others) = rest.split_at(2 + first.parse::<usize>().unwrap());
        frames.push(own.join("\n") + "\n");
        rest = others;
    }
    frames
}

/// The frame with its x and y axes exchanged, and atoms moved.
fn turned(frame: &str) -> String {
    let line = |line: &str| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [symbol, x, y, z, a, b, c] => {
            let moved = |value: &str, by: f64| value.parse::<f64>().unwrap() + by;
            format!("{symbol} {} {} {} {b} {a} {c}\n", moved(y, 1.0), moved(x, -2.0), moved(z, 0.5))
        }
        _ => format!("{line}\n"),
    };
    frame.lines().map(line).collect()
}

fn json(space: &Workspace, arguments: &[&str]) -> Value {
    serde_json::from_str(&space.succeed(&[&["data", "audit", "--json"], arguments].concat())).unwrap()
}

fn kinds(audit: &Value) -> Vec<&str> {
    audit["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

fn finding<'a>(audit: &'a Value, kind: &str) -> &'a Value {
    let found = audit["findings"].as_array().unwrap().iter().find(|finding| finding["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {audit}"))
}

#[test]
fn what_is_wrong_is_found_shown_and_left_out() {
    let space = Workspace::new(200, CONFIG);
    let good = frames(&clusters(200));
    let mut all = good.clone();
    all.push(turned(&good[7]));
    all.push(good[8].clone());
    all[31] = all[31].replacen("energy=-", "energy=-9000", 1);
    let lines: Vec<&str> = good[40].lines().collect();
    all.push(
        [lines[0], lines[1], lines[2], lines[2]].map(|line| format!("{line}\n")).concat()
            + &lines[4..].join("\n")
            + "\n",
    );
    std::fs::write(space.path("bad.xyz"), all.concat()).unwrap();
    let audit = json(&space, &["bad.xyz", "-o", "page.html", "--write", "clean.extxyz.gz"]);
    assert_eq!(finding(&audit, "copies")["frames"], 2);
    assert_eq!(finding(&audit, "copies")["worst"][0]["beside"], "bad.xyz: frame 7");
    assert_eq!(finding(&audit, "energy_outlier")["worst"][0]["place"], "bad.xyz: frame 31");
    assert_eq!(finding(&audit, "overlap")["worst"][0]["place"], "bad.xyz: frame 202");
    assert_eq!((&audit["frames"], &audit["left_out"]), (&203.into(), &4.into()));
    let slope = audit["sources"][0]["forces"]["slope"].as_f64().unwrap();
    assert!((slope - 1.0).abs() < 0.1, "{slope}");
    let page = std::fs::read_to_string(space.path("page.html")).unwrap();
    for expected in ["bad.xyz", "copies", "energy outlier", "<svg", "better left out"] {
        assert!(page.to_lowercase().contains(expected), "{expected}");
    }
    let clean = json(&space, &["clean.extxyz.gz"]);
    assert_eq!(clean["frames"], 199);
    assert!(kinds(&clean).iter().all(|kind| *kind == "near_copies"), "{clean}");
    let shown = space.succeed(&["data", "audit", "bad.xyz"]);
    for expected in [
        "error    bad.xyz: 1 of 203 frames with overlapping atoms",
        "remedy: data.suspicious = \"filter\"",
        "4 of 203 frames are better left out",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[test]
fn held_out_files_and_signs_are_looked_at() {
    let space = Workspace::new(120, CONFIG);
    let all = frames(&clusters(200));
    let test: String = all[120..160].iter().cloned().chain(all[..3].iter().map(|frame| turned(frame))).collect();
    std::fs::write(space.path("test.xyz"), test).unwrap();
    let audit = json(&space, &["data.xyz", "--test", "test.xyz"]);
    let leak = finding(&audit, "leakage");
    assert_eq!((&leak["frames"], &leak["of"], &leak["severity"]), (&3.into(), &43.into(), &"error".into()));
    assert_eq!(audit["sources"][1]["held_out"], 43);
    let gradients = format!("[data]\nfiles = [\"data.xyz\"]\nunits = {{ forces_are_gradients = true }}\n{CONFIG}");
    std::fs::write(space.path("gradients.toml"), gradients).unwrap();
    let audit = json(&space, &["--config", "gradients.toml"]);
    assert_eq!(finding(&audit, "force_sign")["remedy"], "units.forces_are_gradients = false");
    assert_eq!(audit["sources"][0]["held_out"], 12);
}

#[test]
fn names_that_cannot_be_written_and_files_that_are_damaged_are_errors() {
    let space = Workspace::new(20, CONFIG);
    let refused = |arguments: &[&str], expected: &str| {
        let (code, _, said) = space.run(&[&["data", "audit"], arguments].concat());
        assert!(code == 2 && said.contains(expected), "{code}: {said}");
    };
    refused(&["data.xyz", "--write", "data.xyz"], "data.xyz: is one of the files that are read");
    refused(&["none.xyz"], "none.xyz");
    refused(&["data.xyz", "--near", "0"], "--near: is 0, expected more than 0");
    let text = std::fs::read_to_string(space.path("data.xyz")).unwrap();
    std::fs::write(space.path("cut.xyz"), &text[..text.len() - 40]).unwrap();
    refused(&["cut.xyz", "--write", "clean.xyz"], "cut.xyz");
    assert!(!space.path("clean.xyz").exists());
}

#[test]
fn training_refuses_structures_that_are_held_out_too() {
    let space = Workspace::new(40, CONFIG);
    let all = frames(&clusters(40));
    let doubled: String = all.iter().cloned().chain(all.iter().map(|frame| turned(frame))).collect();
    std::fs::write(space.path("data.xyz"), doubled).unwrap();
    let (code, _, said) = space.run(&["train", "config.toml"]);
    assert_eq!(code, 2, "{said}");
    for expected in ["structures that are held out are trained on too", "data.xyz: frame", "data.leakage = \"allow\""] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!space.path("run").exists());
    // Copies are of one system: together they are on one side.
    space.succeed(&["train", "config.toml", "--set", "data.split_by=\"system\""]);
    let (code, _, said) = space.run(&["train", "config.toml", "--set", "data.leakage=\"allow\"", "--out", "allowed"]);
    assert!(code == 0 && said.contains("warning: ") && said.contains("errors are smaller than those of new"), "{said}");
    // Of a store, copies are told by their hashes.
    std::fs::write(space.path("data.xyz"), all.concat() + &all.concat()).unwrap();
    space.succeed(&["data", "pack", "data.xyz", "-o", "store", "--cutoff", "3"]);
    let said = space.run(&["train", "config.toml", "--set", "data.files=[\"store\"]", "--out", "stored"]);
    assert!(
        said.0 == 2 && said.2.contains("are trained on too (first: ") && said.2.contains("data.xyz: frame"),
        "{}",
        said.2
    );
}
