//! `isograd data convert`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use isograd::data::formats::extxyz::write_frame;
use isograd::data::formats::{Formats, Frame, Inputs, Value};
use isograd::data::{self, Output};
use isograd::train::{Error, Result};

use super::tables::grouped;

/// Frames between two looks at the progress bar.
const SHOWN_EVERY: u64 = 64;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd data convert ani1x.h5 -o ani1x.extxyz.xz
  isograd data convert OUTCAR runs/*/vasprun.xml -o all.extxyz
  isograd data convert s2ef_train_200K --reference adsorption -o oc20.extxyz.gz

Of formats with units of their own, energies are written in eV, lengths in angstrom, forces in eV/angstrom, stress in eV/angstrom^3 with
tension positive. Other files, such as extended XYZ, keep their units, keys and columns. Numbers are written without loss.")]
pub(crate) struct Args {
    /// Structure files in any format that is read, patterns, and folders
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Where to write them, as extended XYZ, compressed as the ending says (gz, xz, zst, bz2); `-` is the standard output
    #[arg(short, long)]
    output: PathBuf,
    /// Which energy of OC20 is written as `energy`
    #[arg(long)]
    reference: Option<Reference>,
}

/// What an energy of OC20 is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Reference {
    /// Separate electrons and ions, as the calculation has it.
    Total,
    /// The clean surface and the molecule in the gas.
    Adsorption,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let formats = Formats::default();
    let Inputs { found, ignored } = formats.inputs(&args.inputs)?;
    if let Some(first) = ignored.first() {
        eprintln!("warning: {} files hold no structures and are left out (first: {})", ignored.len(), first.display());
    }
    let mut out = Output::create(&args.output)?;
    let bar = bar();
    let mut frames = 0;
    for path in &found {
        bar.set_message(path.display().to_string());
        for frame in formats.open(path)? {
            let frame = counted_from(frame?, args.reference, &path.display().to_string())?;
            write_frame(&mut out, &frame).map_err(Error::io(&args.output, "write"))?;
            frames += 1;
            if frames % SHOWN_EVERY == 0 {
                bar.set_position(frames);
            }
        }
    }
    out.finish()?;
    bar.finish_and_clear();
    let files = if found.len() == 1 { "one input".into() } else { format!("{} inputs", found.len()) };
    eprintln!("{} frames of {files} written to {}", grouped(frames as usize), args.output.display());
    Ok(())
}

/// How many frames were read, and how fast.
pub(crate) fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} frames, {per_sec}, {elapsed}  {wide_msg}");
    let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(125));
    }
    bar
}

/// The frame with the energy that is asked for.
fn counted_from(mut frame: Frame, reference: Option<Reference>, file: &str) -> Result<Frame> {
    const ADSORPTION: &str = "adsorption_energy";
    if reference == Some(Reference::Adsorption) {
        let Some(energy) = frame.header.get(ADSORPTION).and_then(Value::number) else {
            let message = "has no adsorption energy: expected OC20's pairs of .extxyz.xz and .txt.xz".into();
            return Err(data::Error::frame(file, frame.line, frame.index)(message).into());
        };
        frame.header.set("energy", energy);
    }
    Ok(frame)
}
