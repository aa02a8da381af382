//! `isograd predict`, and what `eval` shares with it: opening a run to use its potential.

use std::path::{Path, PathBuf};

use isograd::data::audit::{Fault, Limits, inspect};
use isograd::data::formats::extxyz::write_frame;
use isograd::data::formats::{Column, Data, Formats, Frame};
use isograd::data::{self, Output, Source};
use isograd::ops::device::DeviceName;
use isograd::structure::Structure;
use isograd::tasks::{self, Kind, Label, Level, ModelInfo, Target};
use isograd::train::config::Config;
use isograd::train::run::RunDirectory;
use isograd::train::{Error, Result};
use isograd::{Committee, CommitteeValues, Model, Values};

use super::committee::{Beyond, CommitteeArgs};
use super::labels::LabelOptions;
use super::tables::counted;

/// Structures that are held and predicted together.
const CHUNK: usize = 512;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  isograd predict runs/quickstart molecules.xyz -o predicted.extxyz

Energies are in eV, lengths in angstrom, forces in eV/angstrom, stress in eV/angstrom^3 with tension positive, whatever the
units of the input. Stress is written of conservative potentials, where there is a cell. Labels of the
input are kept under `reference_energy` and `reference_forces`, and so are other results of a calculation, such as
`reference_free_energy`; all other keys and columns stay as they are. Models of other
tasks write each target under its name, and labels under `reference_` and the name.

Of several models, which are those of --with or those of a run with train.seeds, the mean is written, and the standard deviation
over them: the key `energy_std` in eV, the column `forces_std` in eV/angstrom (the root of the mean variance of an atom's three
components), and `NAME_std` of other targets. `beyond_validation` says whether it is larger than on any structure that was held
out when they were trained together.")]
pub(crate) struct Args {
    /// Run directory
    run: PathBuf,
    /// Structures, in any format that is read, plain or compressed
    input: PathBuf,
    /// Where to write predictions, as extended XYZ, compressed as the ending says; `-` is the standard output
    #[arg(short, long)]
    output: PathBuf,
    /// Take net force and torque out of direct forces; in a periodic cell the net force alone
    #[arg(long)]
    without_net_force: bool,
    /// Leave out structures with elements that the model was not trained on, instead of refusing them
    #[arg(long)]
    skip_unknown: bool,
    #[command(flatten)]
    committee: CommitteeArgs,
    #[command(flatten)]
    options: UseOptions,
}

/// Where a trained potential is used.
#[derive(clap::Args)]
pub(crate) struct DeviceOption {
    /// Device; by default the one of the run
    #[arg(long)]
    device: Option<DeviceName>,
}

/// Options of commands that use a trained potential on structures.
#[derive(clap::Args)]
pub(crate) struct UseOptions {
    #[command(flatten)]
    pub(crate) device: DeviceOption,
    /// Source whose keys, units, reference energies and head are used; needed where a run has several
    #[arg(long)]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    labels: LabelOptions,
}

impl UseOptions {
    /// The model of a run, and how files of the source that it predicts for are read.
    pub(crate) fn model(&self, run: &Path) -> Result<(Model, Source)> {
        let opened = self.device.open(run)?;
        let model = Model::load(opened.run.trained()?, opened.device)?;
        let (_, source) = self.source(model.info())?;
        let model = match &self.source {
            Some(name) => model.of_source(name)?,
            None => model,
        };
        Ok((model, source))
    }

    /// The source that is meant, by its position, and how its files are read.
    pub(crate) fn source(&self, info: &ModelInfo) -> Result<(usize, Source)> {
        let (place, source) = info.source(self.source.as_deref()).map_err(|error| match error {
            tasks::Error::AnySource { known } => Error::Config {
                place: "--source".into(),
                message: format!(
                    "is left out, and the run has several sources: {known}; name the one whose keys, units, reference energies \
                     and head are to be used"
                ),
            },
            other => other.into(),
        })?;
        Ok((place, self.labels.of(source)?))
    }
}

/// A run that is ready to be used.
pub(crate) struct Opened {
    pub(crate) run: RunDirectory,
    pub(crate) config: Config,
    pub(crate) device: DeviceName,
}

impl DeviceOption {
    pub(crate) fn open(&self, root: &Path) -> Result<Opened> {
        let run = RunDirectory::open(root)?;
        let config = Config::load(&run.config_file(), &[])?;
        let device = self.device.clone().unwrap_or_else(|| config.train.device.clone());
        Ok(Opened { run, config, device })
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    let (committee, source) = args.committee.load(&args.run, &args.options)?;
    let model = committee.first();
    let conservative = model.info().is_conservative();
    if args.without_net_force && (conservative || !model.info().task.targets.iter().any(is_force)) {
        let message = match conservative {
            true => {
                "is not needed: forces of this run are minus the gradient of the energy, which have no net force or torque"
            }
            false => "is of potentials; this run predicts no forces",
        };
        return Err(Error::Config { place: "--without-net-force".into(), message: message.into() });
    }
    let name = args.input.display().to_string();
    let mut frames = Formats::default().open(&args.input)?.peekable();
    let mut out = Output::create(&args.output)?;
    let (mut count, mut noted) = (0, Noted::default());
    let (place, _) = args.options.source(model.info())?;
    let how = How { source: &source, place, file: &name, options: &args };
    while frames.peek().is_some() {
        let chunk: Vec<Frame> = frames.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
        for frame in label(chunk, &committee, &how, &mut noted)? {
            count += 1;
            write_frame(&mut out, &frame).map_err(Error::io(&args.output, "write"))?;
        }
    }
    out.finish()?;
    eprintln!("{} written to {}", counted(count, "structure"), args.output.display());
    noted.show();
    noted.beyond.warn(count);
    if let Some(what) = model.info().forces_are() {
        eprintln!("forces are {what}");
    }
    if let Some(unlearned) = model.info().unlearned() {
        eprintln!("warning: {unlearned}");
    }
    if model.info().is_conservative() && !model.info().has_energies(place) {
        eprintln!(
            "warning: energies are relative: none was trained on, so only differences of the same atoms mean anything"
        );
    }
    Ok(())
}

/// Frames that are told of at the end, by their numbers.
#[derive(Default)]
struct Noted {
    /// Left out for their elements.
    skipped: Vec<usize>,
    /// With atoms that are closer than any that can be trained on.
    overlapping: Vec<usize>,
    /// On which models are farther apart than they should be.
    beyond: Beyond,
}

impl Noted {
    fn show(&self) {
        if let Some(first) = self.skipped.first() {
            eprintln!("warning: {} left out for their elements (first: frame {first})", self.skipped.len());
        }
        if let Some(first) = self.overlapping.first() {
            let count = counted(self.overlapping.len(), "structure");
            let limit = Limits::default().shortest_distance;
            eprintln!(
                "warning: {count} with atoms closer than {limit} angstrom (first: frame {first}): no potential knows what happens \
                 there"
            );
        }
    }
}

fn is_force(target: &Target) -> bool {
    target.label == Label::Forces
}

/// How frames are read and labelled.
struct How<'a> {
    source: &'a Source,
    /// The position of the source.
    place: usize,
    /// The name of their file.
    file: &'a str,
    options: &'a Args,
}

/// Frames with predicted labels in them.
fn label(frames: Vec<Frame>, committee: &Committee, how: &How<'_>, noted: &mut Noted) -> Result<Vec<Frame>> {
    let How { source, place, file, options } = how;
    let model = committee.first();
    let mut kept = Vec::with_capacity(frames.len());
    let mut structures = Vec::with_capacity(frames.len());
    for frame in frames {
        let structure = source.structure(&frame, file)?;
        // Here, where it can be said which frame it is.
        let at = data::Error::frame(*file, frame.line, frame.index);
        if let Err(error) = model.info().check_elements(&structure.elements, *place) {
            if !options.skip_unknown {
                return Err(at(format!("{error}; --skip-unknown leaves such structures out")).into());
            }
            noted.skipped.push(frame.index);
            continue;
        }
        model.check(&structure).map_err(|error| at(error.to_string()))?;
        if inspect(&structure, &Limits::default(), 1.0).fault == Some(Fault::Overlap) {
            noted.overlapping.push(frame.index);
        }
        kept.push(frame);
        structures.push(structure);
    }
    for ((frame, structure), found) in kept.iter_mut().zip(&structures).zip(committee.predict(&structures)?) {
        write_labels(frame, source, structure, model, &found.mean, options.without_net_force);
        write_spread(frame, model, &found);
        noted.beyond.count(&found, frame.index);
    }
    Ok(kept)
}

/// Puts beside predictions how far models are apart, where there are several.
fn write_spread(frame: &mut Frame, model: &Model, found: &CommitteeValues) {
    let Some(deviations) = &found.deviations else { return };
    for target in model.info().task.targets.iter().filter(|target| model.info().is_learned(target)) {
        let (name, own) = (format!("{}_std", target.name), &deviations[&target.name]);
        match target.level {
            _ if own.is_empty() => {}
            Level::Graph => frame.header.set(&name, words(own)),
            Level::Node => {
                frame.columns.retain(|column| column.name != name);
                let data = Data::Real(own.iter().copied().map(rounded).collect());
                frame.columns.push(Column { name, width: 1, data });
            }
            // Files have none.
            Level::Edge => {}
        }
    }
    if let Some(is_beyond) = found.is_beyond_validation {
        frame.header.set("beyond_validation", if is_beyond { "T" } else { "F" });
    }
}

/// Puts predictions where ASE looks for them, and moves labels of the input aside.
fn write_labels(
    frame: &mut Frame,
    source: &Source,
    structure: &Structure,
    model: &Model,
    values: &Values,
    without_net_force: bool,
) {
    let keys = &source.keys;
    let targets = &model.info().task.targets;
    if targets.iter().any(|target| target.label == Label::Energy) {
        for key in [&keys.energy, &keys.stress, &keys.virial] {
            frame.header.remove(key);
        }
    }
    if targets.iter().any(|target| target.label == Label::Energy) {
        put_results_aside(frame);
    }
    if let Some(cell) = structure.geometry.cell {
        frame.header.set("Lattice", words(cell.0.as_flattened()));
    }
    frame.columns.retain(|column| !["pos", "positions"].contains(&column.name.as_str()));
    frame.columns.push(Column::vectors("pos", &structure.geometry.positions));
    for target in targets.iter().filter(|target| model.info().is_learned(target)) {
        let (name, key) = match &target.label {
            Label::Energy => ("energy", keys.energy.as_str()),
            Label::Forces => ("forces", keys.forces.as_str()),
            Label::Stress => ("stress", keys.stress.as_str()),
            Label::Column(key) => (target.name.as_str(), key.as_str()),
        };
        let reference = format!("reference_{name}");
        let mut found = shown(target, &values[&target.name]);
        if without_net_force && is_force(target) {
            let mut forces = found.as_chunks().0.to_vec();
            let free = structure.geometry.cell.is_none() || structure.geometry.periodic == [false; 3];
            isograd::structure::without_net_force(&structure.geometry.positions, &mut forces, free);
            found = forces.into_flattened();
        }
        if found.is_empty() {
            continue;
        }
        // What was predicted before is no label: its own stay where they are.
        let mut label = target.label_of(structure);
        match target.level {
            Level::Graph => {
                frame.header.remove(key);
                frame.header.set(name, words(&found));
                label = label.filter(|_| frame.header.get(&reference).is_none());
                if let Some(label) = label {
                    frame.header.set(&reference, words(label));
                }
            }
            Level::Node => {
                frame.columns.retain(|column| column.name != name && column.name != key);
                label = label.filter(|_| frame.column(&reference).is_none());
                let mut put = |name: &str, numbers: &[f64]| {
                    let width = numbers.len() / structure.len();
                    let data = Data::Real(numbers.iter().copied().map(rounded).collect());
                    frame.columns.push(Column { name: name.into(), width, data });
                };
                put(name, &found);
                if let Some(label) = label {
                    put(&reference, label);
                }
            }
            // Files have none.
            Level::Edge => {}
        }
    }
}

/// What ASE takes for results of the calculation that the energy is of, beside energy, forces and stress.
const RESULTS: [&str; 15] = [
    "free_energy",
    "energies",
    "stresses",
    "dipole",
    "charges",
    "magmom",
    "magmoms",
    "dielectric_tensor",
    "born_effective_charges",
    "polarization",
    "polarizability",
    // Ours, of several models.
    "energy_std",
    "forces_std",
    "stress_std",
    "beyond_validation",
];

/// Keeps results of another calculation under names that nobody takes for those of this one.
fn put_results_aside(frame: &mut Frame) {
    for name in RESULTS {
        let aside = format!("reference_{name}");
        if frame.header.get(&aside).is_none()
            && let Some(value) = frame.header.remove(name)
        {
            frame.header.set(&aside, value);
        }
        if frame.column(&aside).is_none()
            && let Some(column) = frame.columns.iter_mut().find(|column| column.name == name)
        {
            column.name = aside;
        }
    }
}

/// What is written of a prediction: its numbers, or of a class the likeliest one.
fn shown(target: &Target, numbers: &[f64]) -> Vec<f64> {
    let Kind::Class(classes) = target.kind else { return numbers.to_vec() };
    let likeliest = |logits: &[f64]| {
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        best.unwrap_or_default() as f64
    };
    numbers.chunks_exact(classes).map(likeliest).collect()
}

/// A number with at most eight digits behind the point.
fn rounded(number: f64) -> f64 {
    (number * 1e8).round() / 1e8
}

/// Numbers with eight digits behind the point.
fn words(numbers: &[f64]) -> String {
    numbers.iter().map(|number| format!("{number:.8}")).collect::<Vec<_>>().join(" ")
}
