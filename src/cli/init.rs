//! `isograd init`, and the config that `isograd train` makes where it is given structure files.

use std::io::Write;
use std::path::{Path, PathBuf};

use isograd::data::Output;
use isograd::data::formats::Formats;
use isograd::ops::device::DeviceName;
use isograd::train::{Draft, DraftOptions, Error, Result, draft, name_of};

use super::convert;
use super::plan::host_memory;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd init mine.extxyz
  isograd init 'runs/*/OUTCAR' -o slabs.toml --hours 2

Finds labels and their names, tells units and signs where energies and forces say them, and chooses split, loss, batches and time by
what there is. Every line that one may want to change has a sentence.")]
pub(crate) struct Args {
    /// Structure files in any format that is read, patterns, and folders
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The config to write; by default it is called like the first file
    #[arg(short, long, value_name = "CONFIG.toml")]
    output: Option<PathBuf>,
    #[command(flatten)]
    time: Time,
    /// Device to train on: cpu, wgpu, vulkan, metal or cuda, with an optional index as in cuda:1
    #[arg(long)]
    device: Option<DeviceName>,
}

/// How long training may take.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(crate) struct Time {
    /// Hours of training
    #[arg(long, value_name = "T")]
    hours: Option<f64>,
    /// Seconds of training
    #[arg(long, value_name = "T")]
    seconds: Option<f64>,
}

impl Time {
    /// Seconds of training, where they are given.
    ///
    /// # Errors
    /// [`Error::Config`] of what is no time.
    pub(crate) fn seconds(&self) -> Result<Option<f64>> {
        let (option, given, seconds) = match (self.hours, self.seconds) {
            (Some(hours), _) => ("--hours", hours, 3600.0 * hours),
            (None, Some(seconds)) => ("--seconds", seconds, seconds),
            (None, None) => return Ok(None),
        };
        if !(1e-3..=1e9).contains(&seconds) {
            let message = format!("is {given}, expected a time above 0");
            return Err(Error::Config { place: option.into(), message });
        }
        Ok(Some(seconds))
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    let path = args.output.unwrap_or_else(|| PathBuf::from(name_of(&args.files)).with_added_extension("toml"));
    let taken = || Error::Config {
        place: path.display().to_string(),
        message: "is there already; choose another name with -o, or remove it".into(),
    };
    if path.exists() {
        return Err(taken());
    }
    let options = DraftOptions {
        seconds: args.time.seconds()?,
        memory: memory(args.device.as_ref()),
        device: args.device,
        folder: Some(path.parent().map(Path::to_owned).unwrap_or_default()),
    };
    let Draft { text, said, .. } = look(&args.files, &options)?;
    let mut out = Output::create(&path)?;
    out.write_all(text.as_bytes()).map_err(Error::io(&path, "write"))?;
    out.finish()?;
    said.iter().for_each(|line| println!("{line}"));
    println!("{} is written. Next:\n    isograd train {}", path.display(), path.display());
    Ok(())
}

/// The config for files, with how far it is on the terminal.
pub(crate) fn look(files: &[PathBuf], options: &DraftOptions) -> Result<Draft> {
    let bar = convert::bar();
    let made = draft(&Formats::default(), files, options, &mut |frames| bar.inc(frames as u64));
    bar.finish_and_clear();
    made
}

/// What is known of the memory of a device.
pub(crate) fn memory(device: Option<&DeviceName>) -> Option<u64> {
    device.is_none_or(|device| *device == DeviceName::Cpu).then(host_memory).flatten()
}
