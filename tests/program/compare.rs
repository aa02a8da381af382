//! `isograd compare`, on runs that the program has made.

use crate::common::{Workspace, summary};
use serde_json::{Value, json};

const CONFIG: &str = "[model]
width = 8
layers = 1
cutoff = 3.0
[train]
epochs = 3
batch_graphs = 8
learning_rate = 5e-3
[run]
log_every = 2
";

/// The cells of the row that begins with a name.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let rows = table.lines().map(|line| line.split(['│', '┆']).map(str::trim).collect::<Vec<_>>());
    let found = rows.into_iter().find(|cells| cells.get(1) == Some(&name));
    found.map_or_else(|| panic!("{name}: {table}"), |cells| cells[2..cells.len() - 1].to_vec())
}

/// All lines of a table are equally wide.
#[track_caller]
fn assert_aligned(table: &str) {
    let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
    let tables = table.matches('┌').count();
    let different = widths.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(different < tables, "{table}");
}

#[test]
fn runs_are_compared_with_what_differs_and_what_is_unfair() {
    let space = Workspace::new(100, CONFIG);
    let train = |out: &str, more: &[&str]| space.succeed(&[&["train", "config.toml", "--out", out], more].concat());
    train("a", &[]);
    train("wide", &["--set", "model.width=16", "--set", "data.fraction=0.5"]);
    train("a-run-with-a-name-that-is-as-long-as-those-that-sweeps-give-their-runs", &["--set", "train.seed=1"]);
    let long = "a-run-with-a-name-that-is-as-long-as-those-that-sweeps-give-their-runs";

    let (code, table, said) = space.run(&["compare", "a", "wide"]);
    assert_eq!(code, 0, "{said}");
    assert_aligned(&table);
    let (a, wide) = (summary(&space.path("a")), summary(&space.path("wide")));
    let parameters = |run: &Value| run["parameters"].as_u64().unwrap();
    let counts = |name: &str| row(&table, name).iter().map(|cell| cell.replace(',', "")).collect::<Vec<_>>();
    assert_eq!(counts("parameters"), [parameters(&a).to_string(), parameters(&wide).to_string()]);
    assert_eq!(row(&table, "kind"), ["egnn", "egnn"]);
    assert_eq!(row(&table, "training structures"), ["90", "45"]);
    assert_eq!(row(&table, "held-out structures"), ["10", "10"]);
    assert_eq!(row(&table, "epochs"), ["3", "3"]);
    assert_eq!(row(&table, "state"), ["finished", "finished"]);
    let force = |run: &Value, part: &str| run.pointer(part).unwrap()["force_mae_mev_per_angstrom"].as_f64().unwrap();
    let share = 100.0 * force(&a, "/best/validation") / force(&a, "/baseline");
    assert!(row(&table, "force MAE, meV/Å")[0].ends_with(&format!("({share:.1} %)")), "{table}");
    assert_eq!(row(&table, "model.width"), ["8", "16"]);
    assert_eq!(row(&table, "data.fraction"), ["1.0", "0.5"]);
    assert!(!table.contains("model.layers") && !table.contains("run.out"), "{table}");
    assert!(said.contains("runs are trained on different structures or labels: a on 90; wide on 45"), "{said}");
    assert!(!said.contains("errors do not compare"), "{said}");

    // Another split: errors are of other structures.
    let (_, table, said) = space.run(&["compare", "a", "wide", long]);
    assert_aligned(&table);
    assert!(
        said.contains(&format!("validated on different structures or labels: a, wide on 10; {long} on 10")),
        "{said}"
    );
    assert_eq!(row(&table, "train.seed"), ["0", "0", "1"]);

    // A run that was killed before its end, as its log tells of it.
    let copy = |name: &str| {
        std::fs::create_dir_all(space.path("killed").join(name)).unwrap();
        for entry in std::fs::read_dir(space.path("wide").join(name)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() && entry.file_name() != "summary.json" {
                std::fs::copy(entry.path(), space.path("killed").join(name).join(entry.file_name())).unwrap();
            }
        }
    };
    copy("");
    let snapshots = std::fs::read_dir(space.path("wide/snapshots")).unwrap();
    snapshots.for_each(|entry| copy(&format!("snapshots/{}", entry.unwrap().file_name().display())));
    let (code, table, said) = space.run(&["compare", "wide", "killed"]);
    assert!(code == 0 && said.contains("killed is not finished"), "{said}");
    assert_eq!(row(&table, "state"), ["finished", "unfinished"]);
    for same in ["parameters", "steps", "best at step", "training structures"] {
        let cells = row(&table, same);
        assert_eq!(cells[0], cells[1], "{same}");
    }
    let cells = row(&table, "force MAE, meV/Å");
    assert_eq!(cells[0].split(' ').next(), Some(cells[1]), "without a baseline there is no share");
    assert!(table.contains("the configs differ nowhere"), "{table}");
    // One that has begun and come to nothing yet.
    std::fs::create_dir(space.path("begun")).unwrap();
    std::fs::copy(space.path("a/config.toml"), space.path("begun/config.toml")).unwrap();
    let (_, table, said) = space.run(&["compare", "a", "begun"]);
    assert_eq!(
        (row(&table, "steps")[1], row(&table, "parameters")[1], row(&table, "force MAE, meV/Å")[1]),
        ("-", "-", "-")
    );
    assert!(!said.contains("may not compare"), "settings are the same: {said}");
    let (_, _, said) = space.run(&["compare", "begun", long]);
    assert!(said.contains("errors may not compare: begun does not say") && said.contains("train.seed"), "{said}");

    // The same as one JSON object, and as a page.
    let report: Value =
        serde_json::from_str(&space.succeed(&["compare", "a", "killed", "--json", "-o", "page.html"])).unwrap();
    assert_eq!(report["runs"][0]["errors"], a["best"]["validation"]);
    assert_eq!(report["runs"][0]["baseline"], a["baseline"]);
    assert_eq!(report["runs"][1]["state"], "unfinished");
    assert_eq!(report["runs"][1]["training"]["structures"], 45);
    assert_eq!(
        report["metrics"][0],
        json!({ "key": "energy_mae_mev_per_atom", "name": "energy MAE", "unit": "meV/atom" })
    );
    let width = json!({ "key": "model.width", "values": [8, 16] });
    assert!(report["differences"].as_array().unwrap().contains(&width), "{report}");
    let page = std::fs::read_to_string(space.path("page.html")).unwrap();
    // Loss, two errors and the cosine, each by epoch and by time.
    assert_eq!(page.matches("<svg").count(), 8);
    for expected in
        ["model.width", "Training loss, by time", "Force MAE, by epoch", "background:#1f5fa8", "not finished"]
    {
        assert!(page.contains(expected), "{expected}");
    }
}

#[test]
fn runs_of_different_tasks_share_what_they_share() {
    let space = Workspace::new(40, CONFIG);
    let short = ["train", "config.toml", "--set", "train.epochs=1", "--out"];
    space.succeed(&[&short[..], &["potential"]].concat());
    let properties =
        "task={ kind = \"properties\", targets = [{ name = \"energy\", extensive = true, unit = \"eV\" }] }";
    space.succeed(&[&short[..], &["properties", "--set", properties]].concat());
    let (code, table, said) = space.run(&["compare", "potential", "properties"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(row(&table, "task"), ["potential", "properties"]);
    let force = row(&table, "force MAE, meV/Å");
    assert!(force[0] != "-" && force[1] == "-", "{table}");
    assert!(said.contains("training losses do not compare: task.kind"), "{said}");
    assert!(!said.contains("validated on different"), "{said}");
}

#[test]
fn what_is_no_run_is_named() {
    let space = Workspace::new(12, CONFIG);
    space.succeed(&["train", "config.toml", "--set", "train.epochs=1", "--out", "run"]);
    std::fs::create_dir(space.path("empty")).unwrap();
    std::fs::create_dir(space.path("other")).unwrap();
    std::fs::write(space.path("other/config.toml"), "[server]\nport = 80\n").unwrap();
    for (name, expected) in [
        ("empty", "empty: is not a run directory"),
        ("nowhere", "nowhere: is not a run directory"),
        ("data.xyz", "data.xyz: is not a run directory"),
        ("other", "other/config.toml: is no config of a run"),
    ] {
        let (code, table, said) = space.run(&["compare", "run", name]);
        assert!(code == 2 && said.contains(expected) && table.is_empty(), "{name}: {said}");
    }
    std::fs::write(space.path("run/summary.json"), "{").unwrap();
    let (code, _, said) = space.run(&["compare", "run", "run"]);
    assert!(code == 2 && said.contains("run/summary.json: cannot be read"), "{said}");
    assert_eq!(space.run(&["compare", "run"]).0, 2);
}
