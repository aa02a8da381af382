//! Tasks other than potentials, by the program: properties, classes of nodes, classes of graphs.

use std::fmt::Write as _;

use crate::common::{Workspace, clusters};
use isograd::data::formats::extxyz::FrameReader;
use isograd::data::{ColumnKey, Source};
use isograd::prelude::*;
use isograd::structure::Structure;
use serde_json::Value;

const MODEL: &str = "[model]
width = 16
layers = 2
cutoff = 3.0
[train]
batch_graphs = 10
learning_rate = 5e-3
ema_decay = 0.9
";

/// The small clusters, each with numbers of its own: `size`, one for each atom and another for each carbon; `spread`, the mean
/// squared distance from the centre; `dipole`, with charges of +1 of hydrogen and -1 of oxygen; of atoms `near`, how many
/// others are within 1.6 angstrom; `crowded`, whether that is more than 2; and of the whole `large`, whether there are more
/// than 4 atoms. Every fifth frame is without `spread`.
fn labelled(frames: usize) -> String {
    let clusters = clusters(frames);
    let structures = Source::default().read(clusters.as_bytes(), "clusters").map(Result::unwrap);
    let mut text = String::new();
    for (frame, Structure { geometry, elements, .. }) in structures.enumerate() {
        let (atoms, positions) = (elements.len(), &geometry.positions);
        let centre: [f64; 3] = std::array::from_fn(|k| positions.iter().map(|p| p[k]).sum::<f64>() / atoms as f64);
        let distance = |a: &[f64; 3], b: &[f64; 3]| (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt();
        let charge = |element: &Element| match element.symbol() {
            "H" => 1.0,
            "O" => -1.0,
            _ => 0.0,
        };
        let net = elements.iter().map(charge).sum::<f64>() / atoms as f64;
        let dipole: [f64; 3] =
            std::array::from_fn(|k| positions.iter().zip(elements.iter()).map(|(p, e)| (charge(e) - net) * p[k]).sum());
        let spread = positions.iter().map(|p| distance(p, &centre).powi(2)).sum::<f64>() / atoms as f64;
        let carbons = elements.iter().filter(|element| element.symbol() == "C").count();
        let _ = write!(
            text,
            "{atoms}\nProperties=species:S:1:pos:R:3:near:R:1:crowded:I:1 size={} dipole=\"{} {} {}\" large={}",
            atoms + carbons,
            dipole[0],
            dipole[1],
            dipole[2],
            usize::from(atoms > 4)
        );
        if frame % 5 > 0 {
            let _ = write!(text, " spread={spread}");
        }
        text.push('\n');
        for (element, p) in elements.iter().zip(positions) {
            let near = positions.iter().filter(|other| distance(p, other) < 1.6).count() - 1;
            let crowded = u8::from(near > 2);
            let _ = writeln!(text, "{element} {} {} {} {near} {crowded}", p[0], p[1], p[2]);
        }
    }
    text
}

fn workspace(task: &str) -> Workspace {
    let space = Workspace::new(1, &format!("{MODEL}{task}"));
    std::fs::write(space.path("data.xyz"), labelled(80)).unwrap();
    space
}

fn read(space: &Workspace, name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(space.path(name)).unwrap()).unwrap()
}

const PROPERTIES: &str = "[task]
kind = \"properties\"
[[task.targets]]
name = \"size\"
extensive = true
[[task.targets]]
name = \"mean spread\"
key = \"spread\"
unit = \"Å^2\"
[[task.targets]]
name = \"dipole\"
shape = \"vector\"
unit = \"e Å\"
[[task.targets]]
name = \"near\"
level = \"node\"
";

#[test]
fn properties_are_trained_evaluated_predicted_and_checked() {
    let space = workspace(PROPERTIES);
    let (code, table, progress) = space.run(&["train", "config.toml", "--out", "run", "--set", "train.epochs=100"]);
    assert_eq!(code, 0, "{progress}");
    assert!(progress.contains("with dipole") && progress.contains("reference size"), "{progress}");
    assert!(table.contains("dipole MAE") && table.contains("mean spread RMSE"), "{table}");
    let summary = read(&space, "run/summary.json");
    let number = |part: &Value, key: &str| part[key].as_f64().unwrap_or_else(|| panic!("{key} of {part}"));
    let best = &summary["best"]["validation"];
    // Each atom and each carbon count one: least squares on compositions find that, and the model has nothing to add.
    assert!(number(best, "size_mae_1_per_atom") < 0.02, "{best}");
    for key in ["mean_spread_mae_angstrom_2", "dipole_mae_e_angstrom", "near_mae"] {
        let (found, baseline) = (number(best, key), number(&summary["baseline"], key));
        assert!(found < 0.7 * baseline, "{key}: {found}, {baseline} of the baseline");
    }
    assert_eq!(summary["equivariance"]["passed"], true, "{summary}");
    let page = std::fs::read_to_string(space.path("run/report.html")).unwrap();
    assert!(page.contains("Dipole MAE") && page.contains("Reference size"), "the report");

    // Without a label there is no number.
    let bare: String = labelled(80).replace(" spread=", " other=");
    std::fs::write(space.path("bare.xyz"), bare).unwrap();
    let report: Value = serde_json::from_str(&space.succeed(&["eval", "run", "bare.xyz", "--json"])).unwrap();
    assert!(report["metrics"]["mean_spread_mae_angstrom_2"].is_null(), "{report}");
    assert!(number(&report["metrics"], "near_mae").is_finite());

    space.succeed(&["predict", "run", "data.xyz", "-o", "out.extxyz"]);
    let columns = ["size", "mean spread", "dipole"].map(|key| ColumnKey { key: key.into(), of_nodes: false });
    let source = Source { columns: columns.to_vec(), ..Source::default() };
    let written: Vec<Structure> =
        source.read_file(&space.path("out.extxyz")).unwrap().collect::<Result<_, _>>().unwrap();
    let model = Model::load(space.path("run"), DeviceName::Cpu).unwrap();
    for (found, written) in model.predict(&written).unwrap().iter().zip(&written) {
        for key in ["size", "mean spread", "dipole"] {
            let pairs = found[key].iter().zip(&written.columns[key]);
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5), "{key}: {pairs:?}");
        }
        assert_eq!((found["dipole"].len(), found["near"].len()), (3, written.len()));
    }
    let file = std::fs::read(space.path("out.extxyz")).unwrap();
    for frame in FrameReader::new(&file[..], "out").map(Result::unwrap) {
        // What was taken off labels is in predictions again.
        let of = |key: &str| frame.header.get(key).unwrap().numbers().unwrap()[0];
        let (found, label) = (of("size"), of("reference_size"));
        assert!((found - label).abs() < 0.3, "{found} predicted, {label} in truth");
    }
    let frame = FrameReader::new(&file[..], "out").nth(1).unwrap().unwrap();
    assert!(frame.header.get("reference_dipole").is_some() && frame.column("reference_near").is_some());
    assert!(Potential::load(space.path("run"), DeviceName::Cpu).unwrap_err().to_string().contains("`properties`"));
}

#[test]
fn classes_of_atoms_and_of_structures_are_learned() {
    for (task, key, accuracy) in [("nodes", "crowded", 0.9), ("graphs", "large", 0.9)] {
        let space = workspace(&format!("[task]\nkind = \"{task}\"\nkey = \"{key}\"\nclasses = 2\n"));
        let table = space.succeed(&["train", "config.toml", "--out", "run", "--set", "train.epochs=30"]);
        assert!(table.contains(&format!("{key} accuracy")), "{table}");
        let summary = read(&space, "run/summary.json");
        let best = &summary["best"]["validation"];
        let found = best[format!("{key}_accuracy")].as_f64().unwrap();
        assert!(found > accuracy, "{task}: {best}");
        let entropy = |part: &str| summary[part][format!("{key}_cross_entropy")].as_f64();
        assert!((entropy("baseline").unwrap() - 2f64.ln()).abs() < 1e-9, "{summary}");
        space.succeed(&["predict", "run", "data.xyz", "-o", "out.extxyz"]);
        let text = std::fs::read(space.path("out.extxyz")).unwrap();
        let frames = FrameReader::new(&text[..], "out").map(Result::unwrap);
        let (mut right, mut all) = (0, 0);
        for frame in frames {
            let of = |name: &str| match task {
                "nodes" => frame.column(name).unwrap().numbers().unwrap(),
                _ => frame.header.get(name).unwrap().numbers().unwrap(),
            };
            let pairs = of(key).into_iter().zip(of(&format!("reference_{key}")));
            pairs.for_each(|(found, label)| (right, all) = (right + usize::from(found == label), all + 1));
        }
        assert!(f64::from(right as u32) > 0.9 * f64::from(all as u32), "{task}: {right} of {all} are right");
    }
}

#[test]
fn labels_that_do_not_fit_are_named() {
    let target = |rest: &str| format!("[task]\nkind = \"properties\"\n[[task.targets]]\n{rest}\n");
    for (task, expected) in [
        (target("name = \"gap\""), "no frame has `gap`"),
        (target("name = \"dipole\""), "has 3 numbers of `dipole`, expected 1"),
        (target("name = \"dipole\"\nextensive = true"), "has 3 numbers of `dipole`, expected 1"),
        (target("name = \"near\"\nlevel = \"node\"\nextensive = true"), "`near` is not of whole graphs"),
        ("[task]\nkind = \"properties\"\ntargets = []\n".into(), "task targets is empty"),
        ("[task]\nkind = \"nodes\"\nkey = \"near\"\nclasses = 2\n".into(), "expected whole numbers from 0 to 1"),
        ("[task]\nkind = \"graphs\"\nkey = \"large\"\nclasses = 1\n".into(), "expected 2 to"),
        ("[task]\nkind = \"gaphs\"\n".into(), "unknown variant `gaphs`"),
    ] {
        let space = workspace(&task);
        let (code, _, message) = space.run(&["train", "config.toml", "--out", "run"]);
        assert_eq!(code, 2, "{task}: {message}");
        assert!(message.contains(expected), "{task}: {message}");
        assert!(!space.path("run").exists(), "{task} left a run directory");
    }
}

/// Nodes of two kinds on a line, each joined to the next ones: which edges join different kinds, and how long they are.
#[test]
fn edges_are_told_apart_and_measured() {
    use isograd::data::{HostEdges, HostGraph};
    use isograd::tasks::{Level, Objective};
    let graph = |k: usize| {
        let nodes = 3 + k % 4;
        let species: Vec<u32> = (0..nodes).map(|i| u32::from((k >> i) & 1 == 1)).collect();
        let place: Vec<f64> = (0..nodes).map(|i| i as f64 + 0.4 * ((k * 7 + i * 5) % 11) as f64 / 11.0).collect();
        let neighbours = |i: usize| (0..nodes).filter(move |&j| i.abs_diff(j) == 1);
        let pairs: Vec<(usize, usize)> = (0..nodes).flat_map(|i| neighbours(i).map(move |j| (i, j))).collect();
        let edges = HostEdges {
            offsets: (0..=nodes).map(|end| pairs.iter().filter(|(i, _)| *i < end).count() as u32).collect(),
            senders: pairs.iter().map(|&(_, j)| j as u32).collect(),
            vectors: pairs.iter().map(|&(i, j)| place[j] - place[i]).collect(),
        };
        let differs = |&(i, j): &(usize, usize)| f64::from(u8::from(species[i] != species[j]));
        let lengths: Vec<f64> = edges.vectors.iter().map(|vector| vector.abs()).collect();
        let labels = [pairs.iter().map(differs).collect(), lengths];
        (HostGraph { dims: 1, species: species.clone(), edges, ..HostGraph::default() }, labels)
    };
    let fitted = |task: Objective, label: usize| {
        let own = |k: usize| {
            let (graph, labels) = graph(k);
            (graph, vec![Some(labels[label].clone())])
        };
        // One without edges is a batch of its own.
        let edges = HostEdges { offsets: vec![0, 0], ..HostEdges::default() };
        let alone = HostGraph { dims: 1, species: vec![0], edges, ..HostGraph::default() };
        let training = (0..60).map(own).chain([(alone, vec![Some(Vec::new())])]).collect();
        let graphs = Graphs::new(2, training, (60..80).map(own).collect());
        Trainer::new(Egnn { width: 16, layers: 2, ..Egnn::default() }, task)
            .epochs(20)
            .config(|config| (config.train.learning_rate, config.train.ema_decay) = (2e-3, 0.99))
            .config(|config| config.train.batch_graphs = 1)
            .fit_graphs(&graphs)
            .unwrap()
    };
    let classes = fitted(TaskConfig::Edges(Classes { key: "differs".into(), classes: 2 }).into(), 0);
    assert_eq!(classes.best().validation.get("differs_accuracy"), Some(1.0), "{}", classes.best().validation);
    let (own, labels) = graph(77);
    let found = &classes.model().predict_graphs(std::slice::from_ref(&own)).unwrap()[0];
    assert_eq!(found["differs"].len(), 2 * labels[0].len());
    for (logits, label) in found["differs"].chunks(2).zip(&labels[0]) {
        assert_eq!(logits[1] > logits[0], *label == 1.0);
    }
    let length = Property { level: Level::Edge, ..Property::new("length") };
    let lengths = fitted(vec![length].into(), 1);
    let (found, baseline) = (lengths.best().validation.get("length_mae"), lengths.summary().baseline.get("length_mae"));
    assert!(found.unwrap() < 0.2 * baseline.unwrap(), "{found:?} of {baseline:?}");

    // Structures are given without edges.
    let task = "[task]\nkind = \"edges\"\nclasses = 2\n";
    let (code, _, message) = workspace(task).run(&["train", "config.toml"]);
    assert!(code == 2 && message.contains("`class` is of edges"), "{message}");
}

/// Rings and chains as graphs without space: which is which, from given edges alone.
#[test]
fn graphs_with_given_edges_are_told_apart() {
    use isograd::data::{HostEdges, HostGraph};
    let graph = |k: usize| {
        let (nodes, ring) = (4 + k / 2 % 5, k.is_multiple_of(2));
        let joined = |i: usize, j: usize| i.abs_diff(j) == 1 || (ring && i.abs_diff(j) == nodes - 1);
        let neighbours = |i: usize| (0..nodes).filter(move |&j| joined(i, j)).map(|j| j as u32);
        let senders: Vec<u32> = (0..nodes).flat_map(neighbours).collect();
        let offsets = (0..=nodes).map(|end| (0..end).map(|i| neighbours(i).count() as u32).sum()).collect();
        let edges = HostEdges { offsets, vectors: vec![0.0; senders.len()], senders };
        (
            HostGraph { dims: 1, species: vec![0; nodes], edges, ..HostGraph::default() },
            vec![Some(vec![f64::from(u8::from(ring))])],
        )
    };
    let (training, validation): (Vec<_>, Vec<_>) = ((0..40).map(graph).collect(), (0..10).map(graph).collect());
    let graphs = Graphs::new(1, training, validation.clone());
    let task = TaskConfig::Graphs(Classes { key: "ring".into(), classes: 2 });
    let fitted = Trainer::new(PaiNN { width: 16, layers: 3, ..PaiNN::default() }, task)
        .epochs(60)
        .config(|config| (config.train.learning_rate, config.train.ema_decay) = (1e-2, 0.9))
        .fit_graphs(&graphs)
        .unwrap();
    assert_eq!(fitted.best().validation.get("ring_accuracy"), Some(1.0), "{}", fitted.best().validation);
    let (graphs, labels): (Vec<_>, Vec<_>) = validation.into_iter().unzip();
    for (found, label) in fitted.model().predict_graphs(&graphs).unwrap().iter().zip(&labels) {
        let [chain, ring] = found["ring"] else { panic!("two classes") };
        assert_eq!(ring > chain, label[0].as_ref().unwrap()[0] == 1.0);
    }
    // Numbers of graphs are scaled as those of structures are.
    let sized = |k: usize| (graph(k).0, vec![Some(vec![1000.0])]);
    let graphs = Graphs::new(1, (0..8).map(sized).collect(), (0..2).map(sized).collect());
    let fitted = Trainer::new(Gcn::default(), vec![Property::new("size")]).epochs(1).fit_graphs(&graphs).unwrap();
    assert_eq!(fitted.model().info().task.targets[0].scale, 1000.0);
    let wrong = vec![(HostGraph { species: vec![0], dims: 1, ..HostGraph::default() }, vec![Some(vec![2.0])])];
    let task = TaskConfig::Graphs(Classes { key: "ring".into(), classes: 2 });
    let message = Trainer::new(Gcn::default(), task).fit_graphs(&Graphs::new(1, wrong.clone(), wrong)).unwrap_err();
    assert!(message.to_string().contains("graph 0 (from 0) has the class 2"), "{message}");
}
