//! The library and the program agree: what one has trained, the other uses.

mod common;

use std::io::BufRead;

use common::{Workspace, clusters};
use isograd::data::Source;
use isograd::data::formats::{ExtXyz, Format, Formats, Frames, Input};
use isograd::models::nn::Envelope;
use isograd::network::*;
use isograd::prelude::*;
use isograd::train::{config::Config, prepare, train};
use isograd::{Error, Result};

const CONFIG: &str = r#"
[model]
width = 8
layers = 2
cutoff = 3.0
[train]
epochs = 2
batch_graphs = 8
"#;

fn structures(frames: usize) -> Vec<Structure> {
    Source::default().read(clusters(frames).as_bytes(), "clusters").collect::<Result<_, _>>().unwrap()
}

fn trainer() -> Trainer {
    let model = Egnn { width: 8, layers: 2, cutoff: 3.0, ..Egnn::default() };
    Trainer::new(model, PotentialTask::default()).epochs(2).config(|config| config.train.batch_graphs = 8)
}

#[test]
fn the_library_predicts_what_the_program_predicts() {
    let space = Workspace::new(40, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "run"]);
    space.succeed(&["predict", "run", "data.xyz", "-o", "out.extxyz"]);
    let written: Vec<Structure> =
        Source::default().read_file(&space.path("out.extxyz")).unwrap().collect::<Result<_, _>>().unwrap();
    let potential = Potential::load(space.path("run"), DeviceName::Cpu).unwrap();
    let found = potential.predict(&structures(40)).unwrap();
    assert_eq!(found.len(), 40);
    let mut calculator = potential.calculator();
    for ((own, written), structure) in found.iter().zip(&written).zip(&structures(40)) {
        assert!((own.energy - written.energy.unwrap()).abs() < 1e-6);
        let pairs = own.forces.as_flattened().iter().zip(written.forces.as_ref().unwrap().as_flattened());
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6));
        // Sums over a batch go in an order of their own.
        let alone = calculator.evaluate(structure).unwrap();
        assert!((own.energy - alone.energy).abs() < 1e-5 * own.energy.abs());
        let pairs = own.forces.as_flattened().iter().zip(alone.forces.as_flattened());
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5 * a.abs().max(1.0)));
    }
}

/// One atom walks through a crystal, seen by a model without an envelope, which answers otherwise where an edge is too many.
#[test]
fn a_calculator_that_keeps_its_neighbours_answers_as_one_that_does_not() {
    let data = Data::from(structures(40)).split(Split::by_frame(0.1)).unwrap();
    let model = Egnn { width: 8, layers: 2, cutoff: 3.0, envelope: Envelope::None, ..Egnn::default() };
    let fitted = Trainer::new(model, PotentialTask::default()).epochs(1).fit(&data).unwrap();
    let potential = fitted.potential();
    let mut calculator = potential.calculator();
    let mut structure = structures(4).remove(3);
    let edge = |length: f64| Some(Cell([[length, 0.0, 0.0], [0.3, length, 0.0], [0.0, 0.0, length]]));
    structure.geometry = Geometry { cell: edge(5.0), periodic: [true; 3], ..structure.geometry };
    for step in 0..200 {
        let walker = &mut structure.geometry.positions[step / 70];
        (0..3).for_each(|k| walker[k] += 0.08 * f64::sin((7 * step + 3 * k) as f64) + 0.02);
        if step == 120 {
            structure.geometry.cell = edge(4.8);
        }
        let new = &potential.predict(std::slice::from_ref(&structure)).unwrap()[0];
        let kept = calculator.evaluate(&structure).unwrap();
        assert!((new.energy - kept.energy).abs() < 1e-5 * new.energy.abs(), "step {step}: {new:?} {kept:?}");
        for (a, b) in new.forces.as_flattened().iter().zip(kept.forces.as_flattened()) {
            assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "step {step}: {new:?} {kept:?}");
        }
    }
}

#[test]
fn the_program_predicts_with_what_the_library_has_trained() {
    let space = Workspace::new(40, CONFIG);
    let data = Data::from(structures(40)).split(Split::by_formula(0.2)).unwrap();
    let fitted = trainer().out(space.path("run")).fit(&data).unwrap();
    space.succeed(&["predict", "run", "data.xyz", "-o", "out.extxyz"]);
    let mut written = Source::default().read_file(&space.path("out.extxyz")).unwrap();
    let first = written.next().unwrap().unwrap();
    let own = fitted.potential().predict(&structures(1)).unwrap();
    assert!((own[0].energy - first.energy.unwrap()).abs() < 1e-6);
    assert!(fitted.best().validation.get("energy_mae_mev_per_atom").is_some_and(f64::is_finite));

    let taken = trainer().out(space.path("run")).fit(&data).unwrap_err();
    assert!(matches!(taken, Error::Run { .. }), "{taken}");
}

#[test]
fn the_same_config_trains_alike_from_memory_and_from_files() {
    let space = Workspace::new(40, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "run"]);
    let filed = Potential::load(space.path("run"), DeviceName::Cpu).unwrap();
    let data = Data::from(structures(40)).split(Split::by_frame(0.1)).unwrap();
    let held = trainer().fit(&data).unwrap();
    assert_eq!(filed.predict(data.validation()).unwrap(), held.potential().predict(data.validation()).unwrap());
}

#[test]
fn two_ranks_of_a_trainer_learn_what_one_learns() {
    let data = Data::from(structures(40)).split(Split::by_frame(0.1)).unwrap();
    let [one, two] = [1, 2].map(|ranks| trainer().ranks(ranks).fit(&data).unwrap());
    assert_eq!(two.summary().train.ranks.len(), 2);
    for ((key, a), (_, b)) in one.best().validation.iter().zip(two.best().validation.iter()) {
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!((a - b).abs() < 2e-5 * a.abs(), "{key}: {a} of one rank, {b} of two");
    }
}

#[test]
fn each_source_has_its_reference_energies() {
    let space = Workspace::new(40, CONFIG);
    let sources = "[data]
leakage = \"allow\"
[[data.sources]]
name = \"first\"
files = [\"data.xyz\"]
references = { H = -1.0, C = -2.0, O = -3.0 }
[[data.sources]]
name = \"second\"
files = [\"data.xyz\"]
references = { H = -2.0, C = -2.0, O = -3.0 }
";
    std::fs::write(space.path("two.toml"), format!("{sources}{CONFIG}")).unwrap();
    space.succeed(&["train", "two.toml", "--out", "run"]);
    let energy = |source: &str| {
        let potential = Potential::load(space.path("run"), DeviceName::Cpu).unwrap().of_source(source).unwrap();
        let found = potential.predict(&structures(1)).unwrap()[0].energy;
        let alone = potential.calculator().evaluate(&structures(1)[0]).unwrap().energy;
        assert!((found - alone).abs() < 1e-5);
        found
    };
    let hydrogens = structures(1)[0].elements.iter().filter(|element| element.symbol() == "H").count();
    assert!((energy("first") - energy("second") - hydrogens as f64).abs() < 1e-9);
}

/// Extended XYZ below a line of its own.
struct Marked;

impl Format for Marked {
    fn name(&self) -> &'static str {
        "marked"
    }
    fn recognises(&self, start: &[u8]) -> bool {
        start.starts_with(b"# marked\n")
    }
    fn frames<'a>(&self, input: Input<'a>) -> isograd::data::Result<Frames<'a>> {
        let name = input.name().to_owned();
        let mut bytes = input.into_bytes();
        bytes.skip_until(b'\n').map_err(isograd::data::Error::io(&name, "read"))?;
        ExtXyz.frames(Input::new(bytes, name))
    }
}

/// A GCN under another name.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Renamed(Gcn);

impl Architecture for Renamed {
    const KIND: &'static str = "renamed";
    fn validate(&self, inputs: &Inputs) -> std::result::Result<(), Invalid> {
        self.0.validate(inputs)
    }
    fn needs(&self) -> GraphNeeds {
        self.0.needs()
    }
    fn width(&self) -> usize {
        self.0.width
    }
    fn blocks<B: MessageBackend>(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<B> {
        self.0.blocks(inputs, declare)
    }
}

#[test]
fn a_config_reaches_kinds_and_formats_that_are_not_ours() {
    let space = Workspace::new(1, CONFIG);
    std::fs::write(space.path("data.marked"), format!("# marked\n{}", clusters(40))).unwrap();
    let (data, run) = (space.path("data.marked"), space.path("run"));
    let text = format!(
        "data.files = [{data:?}]\nrun.out = {run:?}\nmodel = {{ kind = \"renamed\", width = 8, layers = 1, cutoff = 3.0 }}\n\
         train.epochs = 1\n"
    );
    let (registry, formats) = (Registry::default().with::<Renamed>(), Formats::default().with(Marked));
    let config = Config::parse_with(&registry, &text, &[], "text").unwrap();
    let ours = prepare(&config, &registry, &Formats::default()).err().unwrap().to_string();
    assert!(ours.ends_with("data.marked:1: frame 0: expected the number of atoms, found `# marked`"), "{ours}");
    let finished = train::<CpuBackend>(&config, &registry, &formats, false, &Default::default(), &mut ()).unwrap();
    assert_eq!(finished.details.unwrap().info.model.kind, "renamed");
    assert!(Model::load(&run, DeviceName::Cpu).unwrap_err().to_string().contains("renamed"));
    assert_eq!(Model::load_with(&registry, &run, DeviceName::Cpu).unwrap().predict(&structures(2)).unwrap().len(), 2);
    let read = Data::open_with(&formats, &data, &Source::default()).unwrap();
    assert_eq!(read.structures(), structures(40));
}

#[test]
fn what_cannot_be_predicted_or_trained_on_is_said() {
    let data = Data::from(structures(12)).split(Split::by_frame(0.2)).unwrap();
    let space = Workspace::new(1, CONFIG);
    let fitted = trainer().epochs(1).out(space.path("run")).fit(&data).unwrap();
    let said = |change: fn(&mut Structure)| {
        let mut structures = structures(2);
        change(&mut structures[1]);
        fitted.potential().predict(&structures).unwrap_err().to_string()
    };
    let unknown = said(|structure| structure.elements[0] = "Xe".parse().unwrap());
    assert!(unknown.contains("structure 1") && unknown.contains("Xe"), "{unknown}");
    assert!(said(|structure| *structure = Structure::default()).contains("no atoms"));
    assert!(said(|structure| structure.geometry.positions[2][1] = f64::NAN).contains("of atom 2"));
    assert!(said(|structure| structure.elements.truncate(1)).contains("1 elements and 4 positions"));

    let other =
        Potential::load(space.path("run"), DeviceName::Cpu).unwrap().of_source("other").unwrap_err().to_string();
    assert!(other.contains("other") && other.contains("data"), "{other}");

    let folder = tempfile::tempdir().unwrap();
    let missing = Potential::load(folder.path(), DeviceName::Cpu).unwrap_err();
    assert!(missing.to_string().contains("is not a run directory"), "{missing}");

    let mut broken = structures(8);
    broken[3].forces.as_mut().unwrap()[0][0] = f64::INFINITY;
    let refused = trainer().fit(&SplitData::new(broken, structures(2))).unwrap_err().to_string();
    assert!(refused.contains("training structures: frame 3"), "{refused}");
    let refused = trainer().fit(&SplitData::new(Vec::new(), structures(4))).unwrap_err().to_string();
    assert!(refused.contains("not a single structure to train on"), "{refused}");
    // Without anything held out there is no score.
    let fitted = trainer().fit(&SplitData::new(structures(4), Vec::new())).unwrap();
    assert_eq!(fitted.best().score, None);
    let refused = trainer().config(|config| config.train.learning_rate = f64::NAN).fit(&data).unwrap_err().to_string();
    assert!(refused.contains("train.learning_rate"), "{refused}");
    let refused = Data::from(structures(4)).split(Split::by_frame(1.5)).unwrap_err().to_string();
    assert!(refused.contains("1.5"), "{refused}");
}
