//! Several models that answer together: what they predict, how they are trained, and what is refused.

use std::process::Stdio;
use std::time::Duration;

use crate::common::{Workspace, clusters, metrics, summary};
use isograd::data::Source;
use isograd::data::formats::{Formats, Frame};
use isograd::prelude::*;
use isograd::train::config::Config;
use serde_json::Value;

const CONFIG: &str = "validation_fraction = 0.3
[model]
width = 8
layers = 2
cutoff = 3.0
[train]
epochs = 6
batch_graphs = 8
learning_rate = 5e-3
seeds = 2
[run]
out = \"run\"
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn frames(space: &Workspace, name: &str) -> Vec<Frame> {
    Formats::default().open(&space.path(name)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn number(frame: &Frame, key: &str) -> f64 {
    frame.header.get(key).and_then(|value| value.number()).unwrap_or_else(|| panic!("no {key}: {:?}", frame.header))
}

fn column(frame: &Frame, name: &str) -> Vec<f64> {
    frame.column(name).and_then(|column| column.numbers()).unwrap_or_else(|| panic!("no column {name}"))
}

#[track_caller]
fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} and {expected}");
}

/// What two numbers are together.
fn mean_and_deviation(a: f64, b: f64) -> (f64, f64) {
    ((a + b) / 2.0, (a - b).abs() / 2f64.sqrt())
}

/// Checks predictions of two models as one against those of each.
fn assert_together(together: &[Frame], [first, second]: [&[Frame]; 2]) {
    assert_eq!([together.len(), first.len()], [second.len(); 2]);
    let mut apart = 0.0;
    for ((own, a), b) in together.iter().zip(first).zip(second) {
        let (mean, deviation) = mean_and_deviation(number(a, "energy"), number(b, "energy"));
        assert_near(number(own, "energy"), mean);
        assert_near(number(own, "energy_std"), deviation);
        apart += deviation;
        let [forces, a, b] = [own, a, b].map(|frame| column(frame, "forces"));
        let deviations = column(own, "forces_std");
        for (atom, found) in deviations.iter().enumerate() {
            let mut variance = 0.0;
            for k in 3 * atom..3 * atom + 3 {
                let (mean, deviation) = mean_and_deviation(a[k], b[k]);
                assert_near(forces[k], mean);
                variance += deviation * deviation / 3.0;
            }
            assert_near(*found, variance.sqrt());
        }
        assert_eq!(3 * deviations.len(), forces.len());
    }
    assert!(apart > 1e-3, "members say the same");
}

#[test]
fn models_of_several_seeds_answer_with_their_mean_and_spread() {
    let space = Workspace::new(60, CONFIG);
    let table = space.succeed(&["train", "config.toml"]);
    assert!(table.contains("seed 1") && table.contains("spread of a structure"), "{table}");
    let predict = |run: &str, out: &str, others: &[&str]| {
        let (code, _, said) = space.run(&[&["predict", run, "data.xyz", "-o", out][..], others].concat());
        assert_eq!(code, 0, "{said}");
        frames(&space, out)
    };
    let [first, second] = ["1", "2"].map(|own| predict(&format!("run/members/{own}"), &format!("{own}.xyz"), &[]));
    assert!(first[0].header.get("energy_std").is_none());
    let together = predict("run", "both.xyz", &[]);
    assert_together(&together, [&first, &second]);
    let with = predict("run/members/1", "with.xyz", &["--with", "run/members/2"]);
    assert_together(&with, [&first, &second]);

    // Whoever was held out is not beyond what was held out, and few others are.
    let text = |frame: &Frame| frame.header.get("beyond_validation").map(|value| value.text().into_owned());
    assert!(with.iter().all(|frame| text(frame).is_none()));
    let beyond = together.iter().filter(|frame| text(frame).unwrap() == "T").count();
    assert!(beyond < 20, "{beyond} of 60");
    // Predicted again by one model, nothing is left that looks like its own spread.
    let (code, again, said) = space.run(&["predict", "run/members/1", "both.xyz", "-o", "-"]);
    assert!(code == 0 && !again.contains(" energy_std=") && !again.contains(":forces_std"), "{said}");

    // All members have the same structures held out.
    let held_out = |member: &str| {
        let config = Config::load(&space.path(&format!("run/members/{member}/config.toml")), &[]).unwrap();
        (config.split_seed(), config.train.seed)
    };
    assert_eq!(["1", "2"].map(held_out), [(0, 0), (0, 1)]);
    let baselines = ["1", "2"].map(|own| summary(&space.path(&format!("run/members/{own}")))["baseline"].clone());
    assert_eq!(baselines[0], baselines[1]);

    // The errors of each are those that it has alone.
    let report = json(&space.succeed(&["eval", "run", "data.xyz", "--json", "-o", "page.html"]));
    for (place, member) in ["run/members/1", "run/members/2"].into_iter().enumerate() {
        let alone = json(&space.succeed(&["eval", member, "data.xyz", "--json"]));
        assert_eq!(alone.get("calibration"), None);
        for (key, value) in alone["metrics"].as_object().unwrap() {
            let own = report["members"][place]["metrics"][key].as_f64().unwrap();
            assert!((own / value.as_f64().unwrap() - 1.0).abs() < 1e-4, "{key}: {own} and {value}");
        }
        assert_eq!(alone["baseline"], report["baseline"]);
    }
    let of = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {report}"));
    assert_near(of("/calibration/energy/rmse"), of("/metrics/energy_rmse_mev_per_atom"));
    assert_near(of("/calibration/forces/rmse"), of("/metrics/force_rmse_mev_per_angstrom"));
    assert_near(of("/calibration/forces/factor"), of("/calibration/forces/rmse") / of("/calibration/forces/spread"));
    assert_eq!(of("/calibration/energy/points"), 60.0);
    assert_eq!(report["calibration"]["forces"]["bins"].as_array().unwrap().len(), 10);
    assert_eq!(report["beyond_validation"], beyond);
    let page = std::fs::read_to_string(space.path("page.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 2);
    let table = space.succeed(&["eval", "run", "data.xyz"]);
    assert!(table.contains("RMSE / spread") && table.contains("forces, by spread"), "{table}");
    let (code, _, said) = space.run(&["eval", "run/members/1", "data.xyz", "-o", "page.html"]);
    assert!(code == 2 && said.contains("--with"), "{said}");

    // Each is checked, and the worst of them counts.
    let rows = |run: &str| json(&space.run(&["check", run, "--cases", "3", "--only", "rotation", "--json"]).1);
    let [all, first, second] = ["run", "run/members/1", "run/members/2"].map(rows);
    for (place, row) in all["rows"].as_array().unwrap().iter().enumerate() {
        let error = |report: &Value| {
            report["rows"][place]["error"].as_f64().unwrap() / report["rows"][place]["tolerance"].as_f64().unwrap()
        };
        assert_eq!(error(&all), error(&first).max(error(&second)), "{row}");
    }
    let (code, _, said) = space.run(&["vibrations", "run", "data.xyz"]);
    assert!(code == 2 && said.contains("run/members/1"), "{said}");
}

#[test]
fn a_structure_unlike_all_others_is_flagged() {
    let space = Workspace::new(60, CONFIG);
    space.succeed(&["train", "config.toml"]);
    // Far denser than any cluster that was trained on.
    let dense =
        |k: usize| format!("{} {} {} {}\n", ["H", "C", "O"][k % 3], 0.6 * (k % 3) as f64, 0.6 * (k / 3) as f64, 0.1);
    let dense: String = (0..12).map(dense).collect();
    std::fs::write(space.path("new.xyz"), clusters(1) + "12\nProperties=species:S:1:pos:R:3\n" + &dense).unwrap();
    let (code, text, said) = space.run(&["predict", "run", "new.xyz", "-o", "-"]);
    assert_eq!(code, 0, "{said}");
    let flags: Vec<&str> = text.lines().filter_map(|line| line.split("beyond_validation=").nth(1)?.get(..1)).collect();
    assert_eq!(flags, ["F", "T"], "{text}");
    assert!(said.contains("1 of 2 structures are beyond validation") && said.contains("(frames 1)"), "{said}");
}

#[test]
fn a_committee_goes_on_at_the_member_that_was_not_finished() {
    let space = Workspace::new(60, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "whole"]);
    let mut child = space
        .command(&["train", "config.toml", "--out", "killed"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !space.path("killed/members/1/summary.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "training is over");
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!space.path("killed/committee.json").exists(), "training is over");
    let best = |run: &str, member: usize| {
        std::fs::read(space.path(&format!("{run}/members/{member}/best/model.safetensors"))).unwrap()
    };
    let first = best("killed", 1);
    let (code, _, said) = space.run(&["train", "config.toml", "--out", "killed"]);
    assert!(code == 2 && said.contains("--resume"), "{said}");
    space.succeed(&["train", "config.toml", "--out", "killed", "--resume"]);
    assert_eq!(best("killed", 1), first);
    for member in [1, 2] {
        assert_eq!(best("killed", member), best("whole", member), "member {member}");
        let [killed, whole] = ["killed", "whole"].map(|run| metrics(&space.path(&format!("{run}/members/{member}"))));
        assert_eq!(killed, whole);
    }
    assert_ne!(best("whole", 1), best("whole", 2));
    let known = |run: &str| std::fs::read_to_string(space.path(run).join("committee.json")).unwrap();
    assert_eq!(known("killed"), known("whole"));

    // More members later; fewer than there are is another committee, and one model is none.
    space.succeed(&["train", "config.toml", "--out", "whole", "--resume", "--set", "train.seeds=3"]);
    assert_eq!(best("whole", 1), first);
    assert!(known("whole").contains("\"seed\": 2"));
    let (code, _, said) = space.run(&["train", "config.toml", "--out", "whole", "--resume", "--set", "train.seeds=1"]);
    assert!(code == 2 && said.contains("holds a committee"), "{said}");
    std::fs::remove_dir_all(space.path("whole/members/3")).unwrap();
    let (code, _, said) = space.run(&["predict", "whole", "data.xyz", "-o", "-"]);
    assert!(code == 2 && said.contains("weights of 2 of 3 members"), "{said}");
}

#[test]
fn ranks_train_the_same_committee() {
    let space = Workspace::new(40, CONFIG);
    let known = |out: &str, more: &[&str]| {
        space.succeed(&[&["train", "config.toml", "--out", out, "--set", "train.epochs=2"][..], more].concat());
        json(&std::fs::read_to_string(space.path(out).join("committee.json")).unwrap())
    };
    let (one, two) = (known("one", &[]), known("two", &["--ranks", "2", "--zero", "2"]));
    for path in ["/validation/force_mae_mev_per_angstrom", "/spread/forces/maximum", "/members/1/best/score"] {
        let [one, two] = [&one, &two].map(|own| own.pointer(path).and_then(Value::as_f64).unwrap());
        assert!((one / two - 1.0).abs() < 1e-3, "{path}: {one} and {two}");
    }
}

#[test]
fn models_that_do_not_fit_together_are_refused() {
    let space = Workspace::new(40, CONFIG);
    let train = |out: &str, set: &[&str]| {
        let alone = ["train", "config.toml", "--set", "train.seeds=1", "--set", "train.epochs=1", "--out", out];
        space.succeed(&[&alone[..], set].concat());
    };
    train("first", &[]);
    train("elements", &["--set", "model.elements=[\"H\", \"C\", \"O\", \"N\"]"]);
    train("units", &["--set", "data.units={ energy = \"kcal/mol\" }"]);
    for (other, expected) in
        [("elements", &["elements: H C O;", "they are H C N O"][..]), ("units", &["sources:", "kcal/mol"][..])]
    {
        for command in [&["predict", "first", "data.xyz", "-o", "never.xyz"][..], &["eval", "first", "data.xyz"]] {
            let (code, _, said) = space.run(&[command, &["--with", other]].concat());
            assert!(code == 2 && said.contains(other) && said.contains("committee with first"), "{said}");
            assert!(expected.iter().all(|own| said.contains(own)), "{said}");
        }
    }
    assert!(!space.path("never.xyz").exists());
    // Another architecture is no hindrance.
    train("other", &["--set", "model.kind=schnet"]);
    space.succeed(&["predict", "first", "data.xyz", "-o", "mean.xyz", "--with", "other"]);
    let classes = ["--set", "task={ kind = \"graphs\", key = \"k\", classes = 2 }", "--set", "model.forces=direct"];
    let (code, _, said) = space.run(&[&["train", "config.toml"][..], &classes].concat());
    assert!(code == 2 && said.contains("train.seeds is 2, but classes have no mean"), "{said}");
}

#[test]
fn a_committee_is_trained_from_rust() {
    let structures: Vec<Structure> =
        Source::default().read(clusters(40).as_bytes(), "clusters").collect::<Result<_, _>>().unwrap();
    let data = Data::from(structures).split(Split::by_frame(0.1)).unwrap();
    let trainer = || {
        let model = Egnn { width: 8, layers: 2, cutoff: 3.0, ..Egnn::default() };
        Trainer::new(model, PotentialTask::default()).epochs(1)
    };
    let error = trainer().config(|config| config.train.seeds = 2).fit(&data).unwrap_err();
    assert!(error.to_string().contains("fit_committee"), "{error}");
    let committee: Committee = trainer().fit_committee(&data, 3).unwrap();
    assert_eq!(committee.members().len(), 3);
    let summary = committee.summary().unwrap();
    assert_eq!(summary.members.iter().map(|own| own.seed).collect::<Vec<_>>(), [0, 1, 2]);
    let found = &committee.predict(&data.validation()[..1]).unwrap()[0];
    assert_eq!(found.members.len(), 3);
    assert_eq!(found.deviations.as_ref().unwrap()["forces"].len(), data.validation()[0].len());
    assert_eq!(found.is_beyond_validation, Some(false));
}
