//! Training on several sources: how often each is drawn from, what it counts, and its own errors.

use crate::common::{Workspace, clusters, metrics, summary};
use serde_json::Value;

const CONFIG: &str = "
[model]
width = 16
layers = 2
cutoff = 3.0
[train]
epochs = 2
batch_graphs = 8
learning_rate = 5e-3
[run]
out = \"run\"
log_every = 5
";

/// Two sources, of which the second has a quarter of the structures, and no forces.
fn space(more: &str, of_second: &str) -> Workspace {
    let space = Workspace::new(120, CONFIG);
    let bare = clusters(160).lines().skip(clusters(120).lines().count()).map(bare_line).collect::<Vec<_>>().join("\n");
    std::fs::write(space.path("second.xyz"), bare).unwrap();
    let config = format!(
        "[data]\nsplit_by = \"system\"\n{more}\n[[data.sources]]\nname = \"first\"\nfiles = [\"data.xyz\"]\n\
         [[data.sources]]\nname = \"second\"\nfiles = [\"second.xyz\"]\n{of_second}\n{CONFIG}"
    );
    std::fs::write(space.path("config.toml"), config).unwrap();
    space
}

/// The line without forces.
fn bare_line(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.len() {
        7 => words[..4].join(" "),
        _ => line.replace(":forces:R:3", ""),
    }
}

fn by_source(run: &Value) -> &Value {
    &run["best"]["validation_by_source"]
}

#[test]
fn each_source_has_its_own_errors() {
    let space = space("", "");
    let said = space.run(&["train", "config.toml"]).2;
    assert!(said.contains("\n  first   force MAE") && said.contains("\n  second  force MAE       - meV"), "{said}");
    let found = summary(&space.path("run"));
    let number = |source: &str, key: &str| by_source(&found)[source][key].as_f64();
    assert!(number("first", "force_mae_mev_per_angstrom").unwrap() > 0.0);
    assert_eq!(number("second", "force_mae_mev_per_angstrom"), None);
    // All errors of forces are those of the first; of energies a mean.
    let all = |key: &str| found["best"]["validation"][key].as_f64().unwrap();
    assert_eq!(number("first", "force_mae_mev_per_angstrom"), Some(all("force_mae_mev_per_angstrom")));
    let key = "energy_mae_mev_per_atom";
    let (first, second) = (number("first", key).unwrap(), number("second", key).unwrap());
    assert!(first.min(second) <= all(key) && all(key) <= first.max(second), "{found}");
    assert!(metrics(&space.path("run")).iter().any(|line| line["validation_by_source"]["second"][key].is_f64()));
    let page = std::fs::read_to_string(space.path("run/report.html")).unwrap();
    assert!(page.contains("Errors by source"));
}

#[test]
fn sources_are_drawn_from_as_often_as_is_asked_for_and_count_what_is_asked_for() {
    // The second is never drawn from.
    let space = space("sampling = \"weights\"", "weight = 0.0");
    space.succeed(&["train", "config.toml"]);
    let first = metrics(&space.path("run"));
    // It is, and counts nothing in the loss: batches are others, and so is the course.
    let text = std::fs::read_to_string(space.path("config.toml")).unwrap();
    let unweighted = text.replace("sampling = \"weights\"", "").replace("weight = 0.0", "loss_weight = 0.0");
    std::fs::write(space.path("other.toml"), unweighted).unwrap();
    space.succeed(&["train", "other.toml", "--out", "other"]);
    assert_ne!(metrics(&space.path("other")), first);
    let said = space.run(&["train", "config.toml", "--set", "data.sampling=\"size\"", "--out", "none"]);
    assert!(said.0 == 2 && said.2.contains("is of no use without data.sampling = \"weights\""), "{}", said.2);
    let said = space.run(&["train", "other.toml", "--set", "data.sampling={temperature=0}", "--out", "none"]);
    assert!(said.0 == 2 && said.2.contains("data.sampling.temperature is 0"), "{}", said.2);
}

#[test]
fn a_fraction_is_trained_on_and_all_held_out_are_predicted() {
    let space = space("", "");
    let (code, _, said) = space.run(&["train", "config.toml", "--set", "data.fraction=0.25", "--out", "quarter"]);
    assert_eq!(code, 0, "{said}");
    let counts = |said: &str| {
        let line = said.lines().find(|line| line.contains("training on")).unwrap().to_owned();
        let numbers: Vec<usize> =
            line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        (numbers[0], *numbers.last().unwrap())
    };
    let all = counts(&space.run(&["train", "config.toml", "--out", "all"]).2);
    let (quarter, held_out) = counts(&said);
    assert!((4 * quarter).abs_diff(all.0) <= 4 && held_out == all.1, "{quarter} of {}, {held_out}: {said}", all.0);
}
