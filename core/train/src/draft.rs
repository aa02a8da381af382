//! A config that fits data which nobody has described: the labels are found, their names and units told, the split, the loss and
//! the batches chosen by what there is.

mod text;

use std::path::{Component, Path, PathBuf};

use isograd_data::audit::{Limits, Needs, Suspicious};
use isograd_data::formats::Formats;
use isograd_data::{Keys, Overview, Source, overview};
use isograd_engine::Recompute;
use isograd_models::{GraphSizes, Registry};
use isograd_ops::device::{DeviceName, profile};
use isograd_ops::profile::Profile;
use isograd_structure::Units;

use self::text::Choices;
use crate::config::Config;
use crate::data::model_of;
use crate::{Error, MemoryWorkload, Result};

/// Looks at the data until names and units fit: names are found, then that energies are per atom, then what forces say.
const LOOKS: usize = 4;

/// The length within which atoms see each other, in angstrom.
const CUTOFF: f64 = 5.0;

/// Seconds of training where nothing is said: of few frames and of many.
const SECONDS: (f64, f64) = (600.0, 3600.0);

/// Frames that are many.
const MANY: usize = 5000;

/// From how many seconds on the smallest errors are trained for, and of how many frames.
const ACCURATE: (f64, std::ops::RangeInclusive<usize>) = (3600.0, 100..=20_000);

/// The share of the memory that batches may take.
const SHARE: f64 = 0.5;

/// Steps between two validations, about.
const VALIDATED: usize = 500;

/// What the terms of the loss of both recipes count.
const ENERGY_WEIGHT: f64 = 2.0;
const FORCE_WEIGHT: f64 = 6.0;

/// The share of the loss of forces that stresses count.
const STRESS_SHARE: f64 = 0.1;

/// What a config is to be made for, beside the data.
#[derive(Debug, Clone, Default)]
pub struct DraftOptions {
    /// Seconds of training; chosen by the number of frames where not given.
    pub seconds: Option<f64>,
    /// Bytes of memory of the device, as far as they are known, of which batches get one half.
    pub memory: Option<u64>,
    /// The device to train on; the CPU where not given.
    pub device: Option<DeviceName>,
    /// The folder of the config, that files are named relative to; as they are where not given.
    pub folder: Option<PathBuf>,
}

/// A config that was made for data.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The config, with a sentence on each line that one may want to change.
    pub text: String,
    /// What the data hold, read as the config reads them.
    pub overview: Overview,
    /// What was found, in sentences.
    pub said: Vec<String>,
}

/// What a run on these files is called: the name of the first file, or of its folder, without endings.
pub fn name_of(files: &[PathBuf]) -> String {
    let is_pattern = |name: &str| name.contains(['*', '?', '[']);
    let names = files.first().into_iter().flat_map(|first| first.iter().rev()).map(|part| part.to_string_lossy());
    let name =
        names.map(|name| name.into_owned()).find(|name| !is_pattern(name) && Path::new(name).file_name().is_some());
    let name = name.unwrap_or_else(|| "run".into());
    let packed = ["gz", "xz", "zst", "zstd", "bz2", "zip"].iter().find_map(|end| name.strip_suffix(&format!(".{end}")));
    let stem = Path::new(packed.unwrap_or(&name)).file_stem();
    stem.map_or("run".into(), |stem| stem.to_string_lossy().into_owned())
}

/// Makes a config for files, patterns and folders. `progress` is told how many frames were looked at.
///
/// # Errors
/// [`Error::Data`] where a file cannot be read, [`Error::Source`] where nothing can be trained on: no labels, or labels that say
/// nothing.
pub fn draft(
    formats: &Formats,
    files: &[PathBuf],
    options: &DraftOptions,
    progress: &mut dyn FnMut(usize),
) -> Result<Draft> {
    let (source, found) = read(formats, files, progress)?;
    let name = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let wrong = |message: String| Error::Source { name: name.clone(), message };
    let summary = &found.summary;
    let needs = Needs { energies: summary.with_energy > 0, forces: summary.with_forces > 0, ..Needs::default() };
    if summary.frames > 0 && summary.kept() == 0 && !needs.energies && !needs.forces {
        return Err(wrong(without_labels(&found)));
    }
    summary.verdict(Suspicious::Filter, &needs).map_err(&wrong)?;
    if summary.kept() < 2 {
        return Err(wrong("there is one frame; expected at least two, one to train on and one to be held out".into()));
    }
    let seconds = options.seconds.unwrap_or(if summary.kept() < MANY { SECONDS.0 } else { SECONDS.1 });
    let is_accurate = seconds >= ACCURATE.0 && ACCURATE.1.contains(&summary.kept());
    let mut choices = Choices {
        files: files.iter().map(|file| named_from(file, options.folder.as_deref())).collect::<Result<_>>()?,
        keys: changed_keys(&source.keys),
        units: changed_units(&source.units)?,
        preset: if is_accurate { "accurate" } else { "fast" },
        cutoff: if found.graphs.cutoff > 0.0 { found.graphs.cutoff } else { CUTOFF },
        validation_fraction: validation_fraction(summary.kept()),
        filters: !summary.faults.is_empty(),
        energy_weight: if needs.energies { ENERGY_WEIGHT } else { 0.0 },
        force_weight: if needs.forces { FORCE_WEIGHT } else { 0.0 },
        stress_weight: stress_weight(&found),
        seconds,
        validate_every: 1,
        device: options.device.clone().unwrap_or(DeviceName::Cpu),
        batches: None,
        memory: options.memory,
    };
    let config = parse(&choices.text(&name, &found))?;
    let trained = (1.0 - choices.validation_fraction) * summary.kept() as f64;
    let steps = (trained / config.train.batch_graphs as f64).ceil().max(1.0) as usize;
    choices.validate_every = (VALIDATED / steps).clamp(1, 50);
    choices.batches = options.memory.and_then(|memory| batches(&config, &found, memory));
    let text = choices.text(&name, &found);
    parse(&text)?;
    Ok(Draft { said: said(&name, &found, &choices), text, overview: found })
}

/// What was made has to be a config.
fn parse(text: &str) -> Result<Config> {
    Config::parse(text, &[], "the config")
        .map_err(|error| Error::Internal(format!("a config was made that is none: {error}")))
}

/// Looks at files, under other names and in other units as long as that mends something.
fn read(formats: &Formats, files: &[PathBuf], progress: &mut dyn FnMut(usize)) -> Result<(Source, Overview)> {
    let mut source = Source::default();
    let mut found = overview(formats, &source, files, &Limits::default(), CUTOFF, progress)?;
    for _ in 1..LOOKS {
        let mut next = source.clone();
        next.keys = found.suggestion.applied(next.keys);
        let mut lines = found.units.clone();
        if found.suggestion.gradients() {
            lines.push("forces_are_gradients = true".into());
        }
        if !lines.is_empty() && !found.units_are_known {
            next.units = with(&source.units, &lines)?;
        }
        if next == source {
            break;
        }
        source = next;
        found = overview(formats, &source, files, &Limits::default(), CUTOFF, progress)?;
    }
    Ok((source, found))
}

/// Units with some of them replaced, as lines of `units` say.
fn with(units: &Units, lines: &[String]) -> Result<Units> {
    let internal = |error: &dyn std::fmt::Display| Error::Internal(format!("units {lines:?}: {error}"));
    let mut table = toml::Table::try_from(units).map_err(|error| internal(&error))?;
    table.extend(toml::from_str::<toml::Table>(&lines.join("\n")).map_err(|error| internal(&error))?);
    table.try_into().map_err(|error: toml::de::Error| internal(&error))
}

/// What differs from the defaults, as the values of an inline table.
fn changed_keys(keys: &Keys) -> Vec<String> {
    let usual = Keys::default();
    let all = [
        ("energy", &keys.energy, &usual.energy),
        ("forces", &keys.forces, &usual.forces),
        ("stress", &keys.stress, &usual.stress),
        ("virial", &keys.virial, &usual.virial),
    ];
    let changed = all.into_iter().filter(|(_, own, usual)| own != usual);
    changed.map(|(label, own, _)| format!("{label} = {}", text::quoted(own))).collect()
}

/// The same of units.
fn changed_units(units: &Units) -> Result<Vec<String>> {
    let table = |units: &Units| {
        toml::Table::try_from(units).map_err(|error| Error::Internal(format!("writing units: {error}")))
    };
    let usual = table(&Units::default())?;
    let changed = table(units)?.into_iter().filter(|(key, value)| usual.get(key) != Some(value));
    Ok(changed.map(|(key, value)| format!("{key} = {value}")).collect())
}

/// What is held out: two frames of ten, and a share that is enough of many.
fn validation_fraction(frames: usize) -> f64 {
    match frames {
        ..5 => 0.5,
        5..50 => 0.2,
        50..20_000 => 0.1,
        20_000..200_000 => 0.05,
        _ => 0.02,
    }
}

/// Errors of stresses are small numbers: what they are multiplied by to count a tenth of what forces count, to one digit.
fn stress_weight(found: &Overview) -> f64 {
    let summary = &found.summary;
    let Some(stress) = summary.stress_rms.filter(|rms| *rms > 0.0 && summary.with_energy > 0) else { return 0.0 };
    let forces = summary.force_rms.filter(|rms| *rms > 0.0).unwrap_or(1.0);
    let weight = (STRESS_SHARE * FORCE_WEIGHT * forces / stress).clamp(0.1, 1e4);
    let digit = 10f64.powf(weight.log10().floor());
    (weight / digit).round() * digit
}

/// Batches that fit into memory.
struct Batches {
    /// Bytes that a step takes with batches of the largest frames.
    takes: Option<u64>,
    /// Atoms and edges of a batch, where less than the default fits.
    bounds: Option<(u64, u64)>,
    /// Whether activations are computed again on the way back.
    recomputes: bool,
}

/// Batches of the largest frames, in a share of the memory.
fn batches(config: &Config, found: &Overview, memory: u64) -> Option<Batches> {
    let elements = found.summary.elements.len();
    let model = model_of(config, &Registry::default(), elements).ok()?;
    let budget = config.train.budget();
    let graphs = budget.graphs.min(found.summary.kept()) as u64;
    let bounded = |most: usize, bound: usize| (graphs * most as u64).min(bound as u64).max(most as u64);
    let largest = &found.graphs;
    let batch = GraphSizes {
        graphs,
        nodes: bounded(largest.most_atoms, budget.atoms),
        edges: bounded(largest.most_edges, budget.edges),
    };
    let profile = profile(&config.train.device).unwrap_or(Profile::USUAL_GPU);
    let work = MemoryWorkload::new(config, model, batch, profile);
    let limit = (SHARE * memory as f64) as u64;
    let total = |recompute| work.plan(recompute).map(|plan| plan.total);
    let takes = total(Recompute::None);
    if takes.is_none_or(|takes| takes <= limit) {
        return Some(Batches { takes, bounds: None, recomputes: false });
    }
    let recomputed = total(Recompute::Layer);
    if recomputed.is_some_and(|takes| takes <= limit) {
        return Some(Batches { takes: recomputed, bounds: None, recomputes: true });
    }
    let fits = work.largest_batch(Recompute::Layer, limit)?;
    Some(Batches { takes: Some(limit), bounds: Some((fits.nodes.max(1), fits.edges.max(1))), recomputes: true })
}

/// A file as it is named in a config that lies in a folder.
fn named_from(file: &Path, folder: Option<&Path>) -> Result<PathBuf> {
    let Some(folder) = folder else { return Ok(file.to_owned()) };
    if file.is_absolute() {
        return Ok(file.to_owned());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let full = |path: &Path| std::path::absolute(path).map_err(Error::io(path, "find"));
    let (file, folder) = (full(file)?, full(folder)?);
    let shared = file.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let is_named = |part: &Component<'_>| matches!(part, Component::Normal(_));
    // Nothing but the root is the same.
    if shared < 2 {
        return Ok(file);
    }
    let up = folder.components().skip(shared).filter(is_named).map(|_| Component::ParentDir);
    Ok(up.chain(file.components().skip(shared)).collect())
}

/// Why there is nothing to train on.
fn without_labels(found: &Overview) -> String {
    let names = |of_atoms: bool| {
        let own = found.fields.iter().filter(|field| field.of_atoms == of_atoms && field.used_as.is_none());
        let names: Vec<String> = own.map(|field| format!("`{}`", field.name)).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    };
    format!(
        "no frame has an energy or forces, and nothing looks like them (other keys of frames: {}; other columns of atoms: {}); name them \
         in a config with `keys`, or calculate them",
        names(false),
        names(true)
    )
}

/// What was found and chosen, for a person.
fn said(name: &str, found: &Overview, choices: &Choices) -> Vec<String> {
    let mut said = vec![format!("{name}: {}", text::what_there_is(found))];
    if !choices.keys.is_empty() {
        said.push(format!("labels are read as keys = {{ {} }}", choices.keys.join(", ")));
    }
    if !choices.units.is_empty() {
        said.push(format!("energies say that units = {{ {} }}", choices.units.join(", ")));
    }
    said.extend(found.summary.warnings());
    said.extend(found.findings.iter().map(|finding| finding.says.clone()));
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_called_like_their_files() {
        let name = |file: &str| name_of(&[file.into()]);
        assert_eq!(
            (name("a/mine.extxyz.xz"), name("mine.extxyz"), name("OUTCAR")),
            ("mine".into(), "mine".into(), "OUTCAR".into())
        );
        assert_eq!(
            (name("runs/**/OUTCAR"), name("data/*.xyz"), name("*.xyz")),
            ("OUTCAR".into(), "data".into(), "run".into())
        );
        assert_eq!((name("my.store/"), name_of(&[])), ("my".into(), "run".into()));
    }

    #[test]
    fn files_are_named_from_the_folder_of_the_config() {
        let named = |file: &str, folder: &str| named_from(Path::new(file), Some(Path::new(folder))).unwrap();
        assert_eq!(named("data/a.xyz", ""), Path::new("data/a.xyz"));
        assert_eq!(named("data/*.xyz", "configs/deep"), Path::new("../../data/*.xyz"));
        assert_eq!(named("data/a.xyz", "data"), Path::new("a.xyz"));
        assert_eq!(named("/elsewhere/a.xyz", "data"), Path::new("/elsewhere/a.xyz"));
        assert_eq!(named_from(Path::new("a.xyz"), None).unwrap(), Path::new("a.xyz"));
    }
}
