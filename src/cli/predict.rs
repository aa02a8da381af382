//! `isograd predict`, and what `eval` shares with it: opening a run to use its potential.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isograd::backends::device::DeviceName;
use isograd::data::formats::extxyz::{Column, Frame, FrameReader, write_frame};
use isograd::data::{self, Source, open};
use isograd::models::Registry;
use isograd::structure::Structure;
use isograd::tasks::{Potential, PotentialTask};
use isograd::train::Backend;
use isograd::train::config::Config;
use isograd::train::run::{RunDirectory, load_potential};
use isograd::train::{Dataset, Predicted, Predictor, predict};
use isograd::train::{Error, Result};
use isograd::train::{RunOn, dispatch};

/// Structures that are held and predicted together.
const CHUNK: usize = 512;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  isograd predict runs/quickstart molecules.xyz -o predicted.extxyz

Energies are in eV, lengths in angstrom, forces in eV/angstrom, whatever the units of the input. Labels of the
input are kept under `reference_energy` and `reference_forces`; all other keys and columns stay as they are.")]
pub(crate) struct Args {
    /// Run directory
    run: PathBuf,
    /// Structures: extended or plain XYZ, plain or compressed
    input: PathBuf,
    /// Where to write energies and forces, as extended XYZ
    #[arg(short, long)]
    output: PathBuf,
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
    /// Source whose keys, units, reference energies and head are used; by default the first
    #[arg(long)]
    pub(crate) source: Option<String>,
}

/// A run that is ready to be used.
pub(crate) struct Opened {
    pub(crate) weights: PathBuf,
    pub(crate) config: Config,
    pub(crate) device: DeviceName,
}

impl DeviceOption {
    pub(crate) fn open(&self, root: &Path) -> Result<Opened> {
        let run = RunDirectory::open(root)?;
        let config = Config::load(&run.config_file(), &[])?;
        let device = self.device.clone().unwrap_or_else(|| config.train.device.clone());
        Ok(Opened { weights: run.trained()?, config, device })
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    let opened = args.options.device.open(&args.run)?;
    dispatch(&opened.device.clone(), Predict { args, opened })?
}

struct Predict {
    args: Args,
    opened: Opened,
}

impl RunOn for Predict {
    type Output = Result<(), Error>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let Self { args, opened } = self;
        let potential = load_potential::<B>(&opened.weights, &Registry::default(), &device)?;
        let (index, source) = potential.info.source(args.options.source.as_deref())?;
        let name = args.input.display().to_string();
        let mut frames = FrameReader::new(open(&args.input)?, name.as_str()).peekable();
        let temporary = args.output.with_extension("partial");
        let failed = |error| Error::io(&args.output, "write")(error);
        let mut out = BufWriter::new(File::create(&temporary).map_err(failed)?);
        let mut count = 0;
        let written = (|| {
            while frames.peek().is_some() {
                let chunk: Vec<Frame> = frames.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
                count += chunk.len();
                for frame in label(chunk, &potential, index, &source, &opened.config, &name, &device)? {
                    write_frame(&mut out, &frame).map_err(failed)?;
                }
            }
            out.flush().and_then(|()| std::fs::rename(&temporary, &args.output)).map_err(failed)
        })();
        if written.is_err() {
            // The half-written file goes; that this may fail too is no more news.
            let _ = std::fs::remove_file(&temporary);
        }
        written?;
        eprintln!("{count} structures written to {}", args.output.display());
        Ok(())
    }
}

/// Frames with predicted labels in them.
fn label<B: Backend>(
    mut frames: Vec<Frame>,
    potential: &Potential<B>,
    source_index: usize,
    source: &Source,
    config: &Config,
    file: &str,
    device: &B::Device,
) -> Result<Vec<Frame>> {
    let (mut structures, mut sizes) = (Vec::with_capacity(frames.len()), Vec::with_capacity(frames.len()));
    for frame in &frames {
        let structure = source.structure(frame, file)?;
        let wrong = |error: Error| data::Error::Frame {
            file: file.to_owned(),
            line: frame.line,
            frame: frame.index,
            message: error.to_string(),
        };
        if structure.is_empty() {
            return Err(wrong(Error::Structure("has no atoms, so there is nothing to predict".into())).into());
        }
        sizes.push(potential.info.sizes(&structure).map_err(|error| wrong(error.into()))?);
        structures.push(structure);
    }
    let dataset = {
        let task = Arc::new(PotentialTask { loss: config.loss.clone(), info: Some(potential.info.clone()) });
        Arc::new(Dataset::measured(structures, source_index, sizes, potential.info.clone(), task))
    };
    let train = &config.train;
    let all: Vec<usize> = (0..dataset.len()).collect();
    predict(&Predictor::of_potential(potential), &dataset, &all, train.budget(), train.workers, device, |predicted| {
        let structure = &dataset.structures[predicted.index];
        write_labels(&mut frames[predicted.index], source, structure, &predicted);
        Ok(())
    })?;
    Ok(frames)
}

/// Puts predictions where ASE looks for them, and moves labels of the input aside.
fn write_labels(frame: &mut Frame, source: &Source, structure: &Structure, predicted: &Predicted) {
    let keys = &source.keys;
    for key in [&keys.energy, &keys.stress, &keys.virial] {
        frame.comment.remove(key);
    }
    frame.comment.set("energy", format!("{:.8}", predicted.values[0][0]));
    if let Some(energy) = structure.energy {
        frame.comment.set("reference_energy", format!("{energy:.8}"));
    }
    if let Some(cell) = structure.geometry.cell {
        let numbers: Vec<String> = cell.0.as_flattened().iter().map(|v| format!("{v:.8}")).collect();
        frame.comment.set("Lattice", numbers.join(" "));
    }
    let taken = ["pos", "positions", "forces", keys.forces.as_str()];
    frame.columns.retain(|column| !taken.contains(&column.name.as_str()));
    frame.columns.push(Column::vectors("pos", &structure.geometry.positions));
    frame.columns.push(Column::vectors("forces", predicted.values[1].as_chunks::<3>().0));
    if let Some(forces) = &structure.forces {
        frame.columns.push(Column::vectors("reference_forces", forces));
    }
}
