//! `isograd data audit`.

use std::io::Write;
use std::path::{Path, PathBuf};

use comfy_table::Table;
use isograd::data::audit::{Audit, AuditOptions, Auditor, Copies, Finding, Slope};
use isograd::data::formats::extxyz::write_frame;
use isograd::data::formats::{Formats, Inputs};
use isograd::data::{Output, Source};
use isograd::train::config::Config;
use isograd::train::{Error, Result};

use super::tables::{grouped, table};
use super::{convert, print_json};

/// Frames of a finding that are named on the terminal.
const NAMED: usize = 3;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd data audit molecules.extxyz
  isograd data audit train.extxyz --test test.extxyz -o audit.html
  isograd data audit --config my.toml --write clean.extxyz

Looks for copies (turned, renumbered, in other lattice vectors), labels of near copies that contradict each other, held-out frames that are
trained on, energies far off, energies per atom, signs and units of forces and stresses, and elements that are not trained on. Each name
is a source of its own.")]
pub(crate) struct Args {
    /// Structure files in any format that is read, patterns, and folders
    #[arg(required_unless_present = "config")]
    inputs: Vec<PathBuf>,
    /// Structure files that are held out; may be given several times
    #[arg(long = "test", value_name = "FILES", conflicts_with = "config")]
    held_out: Vec<PathBuf>,
    /// Look at the sources of this config instead, with their keys and units, divided as training divides them
    #[arg(long, conflicts_with = "inputs")]
    config: Option<PathBuf>,
    /// Comment key of the energy
    #[arg(long, default_value = "energy")]
    energy_key: String,
    /// Column of the forces
    #[arg(long, default_value = "forces")]
    forces_key: String,
    /// How far apart two structures are that are called near copies, in angstrom, all atoms together
    #[arg(long, value_name = "ANGSTROM", default_value_t = AuditOptions::default().near)]
    near: f64,
    /// How many robust deviations an energy is from what its elements contribute, to be reported
    #[arg(long, value_name = "NUMBER", default_value_t = AuditOptions::default().deviations)]
    deviations: f64,
    /// Write a page with plots
    #[arg(short, long, value_name = "PAGE.html")]
    output: Option<PathBuf>,
    /// Write all frames but those that are better left out, as extended XYZ
    #[arg(long, value_name = "CLEAN")]
    write: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A source as it is asked for.
struct Asked {
    name: String,
    source: Source,
    files: Vec<PathBuf>,
    held_out: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for (option, value) in [("--near", args.near), ("--deviations", args.deviations)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(Error::Config { place: option.into(), message: format!("is {value}, expected more than 0") });
        }
    }
    let config = args.config.as_deref().map(|path| Config::load(path, &[])).transpose()?;
    let asked = asked(args, config.as_ref())?;
    let mut options = AuditOptions { near: args.near, deviations: args.deviations, ..AuditOptions::default() };
    if let Some(config) = &config {
        options.limits = config.data.limits();
    }
    let formats = Formats::default();
    let mut auditor = Auditor::new(options);
    let mut paths = Vec::new();
    let bar = convert::bar();
    for Asked { name, source, files, held_out } in &asked {
        let number = auditor.source(name, source.units);
        for (files, is_held_out) in
            [(files, false), (held_out, true)].into_iter().filter(|(files, _)| !files.is_empty())
        {
            let Inputs { found, ignored } = formats.inputs(files)?;
            if let Some(first) = ignored.first() {
                let count = ignored.len();
                eprintln!("warning: {count} files hold no structures and are left out (first: {})", first.display());
            }
            for path in found {
                not_an_input(args, &path)?;
                let file = path.display().to_string();
                bar.set_message(file.clone());
                let structures = source.read_file_with(&formats, &path)?;
                auditor.read(number, &file, is_held_out, structures, &mut |frames| bar.inc(frames as u64))?;
                paths.push(path);
            }
        }
    }
    if let Some(config) = config.as_ref().filter(|config| config.data.validation_fraction > 0.0) {
        let (by, share) = (&config.data.split_by, config.data.validation_fraction);
        auditor
            .split(by, share, config.split_seed())
            .map_err(|message| Error::Config { place: "data".into(), message })?;
    }
    bar.set_message("comparing");
    let audit = Audit::of(auditor);
    bar.finish_and_clear();
    if let Some(path) = &args.output {
        let name = asked.iter().map(|own| own.name.as_str()).collect::<Vec<_>>().join(", ");
        let mut out = Output::create(path)?;
        let page = isograd::report::render_audit(&name, &audit)?;
        out.write_all(page.as_bytes()).map_err(Error::io(path, "write"))?;
        out.finish()?;
    }
    if let Some(path) = &args.write {
        let written = write(&formats, &audit, &paths, path)?;
        eprintln!("{} of {} frames written to {}", grouped(written), grouped(audit.frames), path.display());
    }
    if args.json {
        return print_json(&audit);
    }
    show(&audit);
    Ok(())
}

/// The sources that are named.
fn asked(args: &Args, config: Option<&Config>) -> Result<Vec<Asked>> {
    if let Some(config) = config {
        let task = config.task()?;
        let one = |own: &isograd::train::config::SourceConfig| Asked {
            name: own.name.clone(),
            source: own.source(&config.data.split_by, task.columns()),
            files: own.files.clone(),
            held_out: own.validation_files.clone(),
        };
        return Ok(config.data.sources.iter().map(one).collect());
    }
    let mut source = Source::default();
    (source.keys.energy, source.keys.forces) = (args.energy_key.clone(), args.forces_key.clone());
    let one = |path: &PathBuf, files: &[&PathBuf], held_out: &[&PathBuf]| {
        let [files, held_out] = [files, held_out].map(|all| all.iter().map(|&path| path.clone()).collect());
        Asked { name: path.display().to_string(), source: source.clone(), files, held_out }
    };
    let inputs = args.inputs.iter().map(|path| one(path, &[path], &[]));
    Ok(inputs.chain(args.held_out.iter().map(|path| one(path, &[], &[path]))).collect())
}

/// Refuses to write over what is read.
fn not_an_input(args: &Args, input: &Path) -> Result<()> {
    let is_input =
        |path: &&PathBuf| path.canonicalize().is_ok_and(|path| input.canonicalize().is_ok_and(|input| input == path));
    match args.write.iter().chain(&args.output).find(is_input) {
        Some(path) => Err(Error::Config {
            place: path.display().to_string(),
            message: "is one of the files that are read; name another one to write to".into(),
        }),
        None => Ok(()),
    }
}

/// Writes the frames that are not better left out, as their files have them. Returns how many.
fn write(formats: &Formats, audit: &Audit, paths: &[PathBuf], to: &Path) -> Result<usize> {
    let mut out = Output::create(to)?;
    let mut written = 0;
    for (file, path) in paths.iter().enumerate() {
        for (place, frame) in formats.open(path)?.enumerate() {
            let frame = frame?;
            if !audit.leaves_out(file, place) {
                write_frame(&mut out, &frame).map_err(Error::io(to, "write"))?;
                written += 1;
            }
        }
    }
    out.finish()?;
    Ok(written)
}

fn show(audit: &Audit) {
    println!("{}", sources(audit));
    if !audit.copies.is_empty() {
        let row = |own: &Copies| vec![own.of.clone(), own.within.clone(), grouped(own.same), grouped(own.near)];
        let rows = audit.copies.iter().map(row).collect();
        println!("{}", table(&["frames of", "with a copy in", "the same", "nearly the same"], rows));
    }
    audit.findings.iter().for_each(show_finding);
    match audit.findings.len() {
        0 => println!("nothing was found"),
        _ => println!("{} of {} frames are better left out", grouped(audit.left_out), grouped(audit.frames)),
    }
}

fn sources(audit: &Audit) -> Table {
    let number = |value: Option<f64>, digits: usize| value.map_or("-".into(), |value| format!("{value:.digits$}"));
    let rows = audit.sources.iter().map(|own| {
        let summary = &own.summary;
        vec![
            own.name.clone(),
            grouped(summary.frames),
            grouped(summary.atoms),
            summary.elements.len().to_string(),
            number(own.energy_deviation.map(|own| 1e3 * own), 1),
            number(summary.force_rms, 3),
            slope(own.forces),
            slope(own.stresses),
            number(own.label_noise.map(|own| 1e3 * own), 3),
        ]
    });
    table(
        &[
            "source",
            "frames",
            "atoms",
            "elements",
            "spread of energies, meV/atom",
            "force RMS, eV/Å",
            "energies over forces",
            "over stresses",
            "label noise, meV/atom",
        ],
        rows.collect(),
    )
}

/// A slope that is followed; others say nothing.
fn slope(slope: Option<Slope>) -> String {
    slope.filter(|own| own.agreement.abs() > 0.5).map_or("-".into(), |own| format!("{:.3}", own.slope))
}

fn show_finding(finding: &Finding) {
    let source = finding.source.as_ref().map_or(String::new(), |source| format!("{source}: "));
    println!("{:7}  {source}{}", finding.severity, finding.says);
    for worst in finding.worst.iter().take(NAMED) {
        let beside = worst.beside.as_ref().map_or(String::new(), |other| format!(" beside {other}"));
        let value = worst.value.map_or(String::new(), |value| format!(", {value:.4} {}", worst.unit));
        println!("           {}{beside}{value}", worst.place);
    }
    if finding.worst.len() > NAMED {
        println!("           ...");
    }
    if let Some(remedy) = &finding.remedy {
        println!("         remedy: {remedy}");
    }
}
