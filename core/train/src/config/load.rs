//! From text to a [`Config`]: parsing, overrides, presets, checks.

use std::path::{Path, PathBuf};

use isograd_data::Sampling;
use isograd_models::{Invalid, Registry};
use isograd_tasks::{Forces, Kind, Target, TaskConfig};

use super::{Config, Resident, SourceConfig, presets, spot, start_from};
use crate::{Error, Result};

impl Config {
    /// Reads a config file, applies overrides of the form `section.key=value`, fills in every
    /// default and checks the result. Structure files that the config names are relative to it; those of overrides are
    /// relative to the working directory.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file and the key, or [`Error::Io`].
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        Self::load_with(&Registry::default(), path, overrides)
    }

    /// As [`Config::load`], with architectures of a registry.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(registry: &Registry, path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read"))?;
        let stem = path.file_stem().map_or("run".into(), |stem| stem.to_string_lossy().into_owned());
        let place = path.display().to_string();
        let mut config = Self::parse_from(registry, &text, path.parent(), overrides, &place)?;
        if config.run.out.as_os_str().is_empty() {
            config.run.out = PathBuf::from("runs").join(stem);
        }
        Ok(config)
    }

    /// As [`Config::load`], from text; `place` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::Config`] naming the place and the key.
    pub fn parse(text: &str, overrides: &[String], place: &str) -> Result<Self> {
        Self::parse_with(&Registry::default(), text, overrides, place)
    }

    /// As [`Config::parse`], with architectures of a registry.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn parse_with(registry: &Registry, text: &str, overrides: &[String], place: &str) -> Result<Self> {
        Self::parse_from(registry, text, None, overrides, place)
    }

    /// From text whose files are relative to a folder.
    fn parse_from(
        registry: &Registry,
        text: &str,
        folder: Option<&Path>,
        overrides: &[String],
        place: &str,
    ) -> Result<Self> {
        let written = Written { text, overrides, place };
        let mut table: toml::Table = toml::from_str(text).map_err(|error| written.syntax(&error))?;
        if let Some(folder) = folder {
            files_of(&mut table).for_each(|file| *file = folder.join(&*file).to_string_lossy().into_owned());
        }
        for text in overrides {
            set(&mut table, text).map_err(|message| Error::Config { place: format!("--set {text}"), message })?;
        }
        start_from::apply(&mut table)?;
        presets::apply(&mut table).map_err(|message| written.wrong("preset", &message))?;
        let mut config: Self = table.try_into().map_err(|error| written.unread(&error))?;
        config.fill();
        config.model.fill(registry).map_err(|invalid| written.wrong_model(&invalid))?;
        config.fill_forces(registry)?;
        config.check().map_err(|(key, message)| written.wrong(key, &format!("{key} {message}")))?;
        Ok(config)
    }

    /// Whether a text is that of a config, right or wrong: TOML with a section `[data]`.
    pub fn is_in(text: &str) -> bool {
        toml::from_str::<toml::Table>(text).is_ok_and(|table| table.contains_key("data"))
    }

    /// Checks every value of a config that was made in code, and fills in what is left out, as reading a file does.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn complete(&mut self, registry: &Registry) -> Result<()> {
        self.fill();
        self.model.fill(registry).map_err(Error::model)?;
        self.fill_forces(registry)?;
        self.check().map_err(|(key, message)| Error::Config { place: key.into(), message })
    }

    /// The complete config as TOML, which loads to the same config again.
    ///
    /// # Errors
    /// [`Error::Internal`]: every config can be written.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::Internal(format!("writing a config: {error}")))
    }

    /// The config for another place: with structure files by their full names.
    ///
    /// # Errors
    /// [`Error::Io`] where there is no working directory.
    pub fn with_full_names(&self) -> Result<Self> {
        let mut config = self.clone();
        let sources = config.data.sources.iter_mut();
        let files = sources.flat_map(|own| own.files.iter_mut().chain(own.validation_files.iter_mut()));
        for file in files.chain(&mut config.train.start_from) {
            *file = std::path::absolute(&*file).map_err(Error::io(&*file, "find"))?;
        }
        Ok(config)
    }

    /// The config as all ranks must have it: without the device, which each has its own of, and without the names of files,
    /// whose contents count.
    ///
    /// # Errors
    /// As [`Config::to_toml`].
    pub fn common(&self) -> Result<String> {
        let mut config = self.clone();
        config.train.device = isograd_ops::device::DeviceName::Cpu;
        for source in &mut config.data.sources {
            source.files.clear();
            source.validation_files.clear();
        }
        config.train.start_from = None;
        config.to_toml()
    }

    /// Moves the single-source keys into `sources`, and says how long training is where nothing else does.
    fn fill(&mut self) {
        let data = &mut self.data;
        if data.sources.is_empty() && !data.files.is_empty() {
            data.sources.push(SourceConfig {
                name: "data".into(),
                files: std::mem::take(&mut data.files),
                validation_files: std::mem::take(&mut data.validation_files),
                keys: data.keys.take().unwrap_or_default(),
                units: data.units.take().unwrap_or_default(),
                references: data.references.take(),
                frame_weights: std::mem::take(&mut data.frame_weights),
                weight: 1.0,
                loss_weight: 1.0,
            });
        }
        if self.train.epochs.is_none() && self.train.seconds.is_none() {
            self.train.epochs = Some(100);
        }
    }

    /// Says where forces come from, where nothing else does.
    fn fill_forces(&mut self, registry: &Registry) -> Result<()> {
        if self.model.forces.is_none() {
            let derives = self.task == TaskConfig::default() && !self.model.architecture(registry)?.needs().positions;
            self.model.forces = Some(if derives { Forces::Gradient } else { Forces::Direct });
        }
        Ok(())
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let data = &self.data;
        if data.sources.is_empty() {
            return Err(("data.files", "is missing, expected a list of structure files (or [[data.sources]])".into()));
        }
        let has_files = !data.files.is_empty() || !data.validation_files.is_empty();
        let has_keys = data.keys.is_some() || !data.frame_weights.is_empty();
        if has_files || has_keys || data.units.is_some() || data.references.is_some() {
            return Err((
                "data.sources",
                "and the keys of a single source (files, validation_files, keys, units, references, frame_weights) \
                         exclude each other; move them into a [[data.sources]] entry"
                    .into(),
            ));
        }
        for (index, source) in data.sources.iter().enumerate() {
            if data.sources[..index].iter().any(|other| other.name == source.name) {
                return Err(("data.sources", format!("has two entries named `{}`", source.name)));
            }
            if !source.frame_weights.is_empty() && source.keys.weight.is_none() {
                let message = "needs keys.weight, the key whose values it has the weights of, as in \"config_type\"";
                return Err(("data.frame_weights", message.into()));
            }
            if let Some((name, weight)) =
                source.frame_weights.iter().find(|(_, own)| !(own.is_finite() && **own >= 0.0))
            {
                return Err(("data.frame_weights", format!("has {weight} for `{name}`, expected 0 or more")));
            }
        }
        let between = |key, value: f64, low: f64, high: f64| {
            if value >= low && value <= high {
                return Ok(());
            }
            Err((key, format!("is {value}, expected {low} to {high}")))
        };
        if data.validation_fraction != 0.0 {
            between("data.validation_fraction", data.validation_fraction, 0.001, 0.9)?;
        }
        let holds_out = |source: &SourceConfig| data.validation_fraction > 0.0 || !source.validation_files.is_empty();
        if self.train.early_stopping > 0 && !data.sources.iter().any(holds_out) {
            return Err((
                "train.early_stopping",
                "needs structures that are held out: set data.validation_fraction".into(),
            ));
        }
        between("data.fraction", data.fraction, 1e-9, 1.0)?;
        if let Sampling::Temperature(temperature) = data.sampling {
            between("data.sampling.temperature", temperature, 1e-3, 1e9)?;
        }
        for source in &data.sources {
            between("data.sources.weight", source.weight, 0.0, 1e9)?;
            between("data.sources.loss_weight", source.loss_weight, 0.0, 1e9)?;
            if source.weight != 1.0 && data.sampling != Sampling::Weights {
                return Err(("data.sources.weight", "is of no use without data.sampling = \"weights\"".into()));
            }
        }
        if data.sources.iter().all(|source| source.weight == 0.0) {
            return Err(("data.sources.weight", "is 0 of all sources: nothing to train on".into()));
        }
        if data.replica_width.is_some() && data.resident != Resident::Ranks {
            return Err(("data.replica_width", "is of no use without data.resident = \"ranks\"".into()));
        }
        if data.replica_width == Some(0) {
            return Err(("data.replica_width", "is 0, expected at least 1".into()));
        }
        between("data.shortest_distance", data.shortest_distance, 0.0, 4.0)?;
        between("data.largest_force", data.largest_force, 1e-6, 1e9)?;
        between("loss.energy_weight", self.loss.energy_weight, 0.0, 1e9)?;
        between("loss.force_weight", self.loss.force_weight, 0.0, 1e9)?;
        between("loss.stress_weight", self.loss.stress_weight, 0.0, 1e9)?;
        if self.loss.stress_weight > 0.0 && self.model.forces() != Forces::Gradient {
            return Err(("loss.stress_weight", "is above 0, which needs model.forces = \"gradient\"".into()));
        }
        between("loss.huber_delta", self.loss.huber_delta, 1e-9, 1e9)?;
        if let Err(isograd_models::Invalid { key, message }) = self.task.task(&self.loss) {
            return Err(("task", format!("{key} {message}")));
        }
        if self.task().is_ok_and(|task| task.targets.iter().all(|target| target.weight == 0.0)) {
            return Err(("loss", "has no weight on energies and none on forces: nothing to train".into()));
        }
        let train = &self.train;
        let positive =
            |key, value: usize| if value == 0 { Err((key, "is 0, expected at least 1".into())) } else { Ok(()) };
        positive("train.epochs", train.epochs.unwrap_or(1))?;
        positive("train.batch_graphs", train.batch_graphs)?;
        positive("train.batch_atoms", train.batch_atoms)?;
        positive("train.batch_edges", train.batch_edges)?;
        positive("train.accumulate", train.accumulate)?;
        positive("train.parts", train.parts)?;
        positive("train.validate_every", train.validate_every)?;
        positive("train.workers", train.workers)?;
        positive("train.seeds", train.seeds)?;
        let is_class = |target: &Target| matches!(target.kind, Kind::Class(_));
        if train.seeds > 1 && self.task().is_ok_and(|task| task.targets.iter().any(is_class)) {
            return Err(("train.seeds", format!("is {}, but classes have no mean: expected 1", train.seeds)));
        }
        positive("run.keep", self.run.keep)?;
        positive("run.log_every", self.run.log_every)?;
        between("train.seconds", train.seconds.unwrap_or(1.0), 1e-3, 1e9)?;
        between("train.learning_rate", train.learning_rate, 1e-12, 10.0)?;
        between("train.clip_norm", train.clip_norm, 0.0, 1e12)?;
        between("train.ema_decay", train.ema_decay, 0.0, 0.999_999_9)?;
        between("train.optimizer.beta_1", train.optimizer.beta_1, 0.0, 0.999_999)?;
        between("train.optimizer.beta_2", train.optimizer.beta_2, 0.0, 0.999_999_9)?;
        between("train.optimizer.momentum", train.optimizer.momentum, 0.0, 0.999_999)?;
        between("train.optimizer.epsilon", train.optimizer.epsilon, 1e-20, 1.0)?;
        between("train.optimizer.weight_decay", train.optimizer.weight_decay, 0.0, 10.0)?;
        train.schedule.check()?;
        let parallel = &self.parallel;
        positive("parallel.ranks", parallel.ranks)?;
        if parallel.zero.shards_weights() && train.parts > 1 {
            let message = "is 3, where weights are gathered for one part of a batch at a time; set train.parts = 1";
            return Err(("parallel.zero", message.into()));
        }
        if parallel.timeout == 0 {
            return Err(("parallel.timeout", "is 0, expected at least 1 second".into()));
        }
        Ok(())
    }
}

/// The files that a table names, as far as it is a config: of structures, and of weights to begin with.
fn files_of(table: &mut toml::Table) -> impl Iterator<Item = &mut String> {
    let (mut data, mut train) = (None, None);
    for (key, value) in table.iter_mut() {
        match key.as_str() {
            "data" => data = value.as_table_mut(),
            "train" => train = value.as_table_mut(),
            _ => {}
        }
    }
    let lists = data.into_iter().flat_map(toml::Table::iter_mut).flat_map(|(key, value)| match key.as_str() {
        "files" | "validation_files" => vec![value],
        "sources" => {
            let sources = value.as_array_mut().into_iter().flatten().filter_map(toml::Value::as_table_mut);
            let named = |(key, value)| matches!(key, "files" | "validation_files").then_some(value);
            sources
                .flat_map(|source| source.iter_mut().map(|(key, value)| (key.as_str(), value)))
                .filter_map(named)
                .collect()
        }
        _ => Vec::new(),
    });
    let start = train.and_then(|train| train.get_mut("start_from"));
    lists.filter_map(toml::Value::as_array_mut).flatten().chain(start).filter_map(|file| match file {
        toml::Value::String(file) => Some(file),
        _ => None,
    })
}

/// Puts `a.b=value` into a table; the value is TOML, or else a bare string.
fn set(table: &mut toml::Table, text: &str) -> Result<(), String> {
    let (path, value) = text.split_once('=').ok_or("expected section.key=value")?;
    let value = value.trim();
    let parsed: Result<toml::Table, _> = toml::from_str(&format!("value = {value}"));
    let value = match parsed {
        Ok(mut table) => table.remove("value").ok_or("expected one value")?,
        Err(_) => toml::Value::String(value.to_owned()),
    };
    let keys: Vec<&str> = path.split('.').map(str::trim).collect();
    let (last, parents) = keys.split_last().ok_or("expected section.key=value")?;
    let mut place = table;
    for key in parents {
        let entry = place.entry(*key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = entry.as_table_mut().ok_or_else(|| format!("`{key}` is not a section"))?;
    }
    place.insert((*last).to_owned(), value);
    Ok(())
}

/// A config as it was written, in a file and in overrides: what errors show a place of.
struct Written<'a> {
    text: &'a str,
    overrides: &'a [String],
    /// The name of the file.
    place: &'a str,
}

impl Written<'_> {
    /// What the parser does not understand.
    fn syntax(&self, error: &toml::de::Error) -> Error {
        self.at(error.span(), error.message())
    }

    /// What is no config: an unknown key, a value of another type. What a text does not allow is shown in it; what it does
    /// allow, and no override does, is said of the first override that it is found with.
    fn unread(&self, error: &toml::de::Error) -> Error {
        let message = suggest(error.to_string().trim_end().to_owned(), error.message());
        if let Err(own) = toml::from_str::<Config>(self.text)
            && own.message() == error.message()
        {
            let said = suggest(own.message().to_owned(), own.message());
            // Of what is missing in the file as a whole there is no place.
            let span = own.span().filter(|span| !span.is_empty());
            return self.at(span.map(|span| spot::narrowed(self.text, span, own.message())), &said);
        }
        let fails = |count: usize| {
            let mut table: toml::Table = toml::from_str(self.text).unwrap_or_default();
            let all_set = self.overrides[..count].iter().all(|text| set(&mut table, text).is_ok());
            let _ = presets::apply(&mut table);
            let read: Result<Config, _> = table.try_into();
            all_set && read.is_err_and(|own: toml::de::Error| own.message() == error.message())
        };
        match (1..=self.overrides.len()).find(|&count| fails(count)) {
            Some(count) => Error::Config { place: format!("--set {}", self.overrides[count - 1]), message },
            None => self.at(None, &message),
        }
    }

    /// A hyper-parameter that the model does not have, or whose value it does not take.
    fn wrong_model(&self, invalid: &Invalid) -> Error {
        let Invalid { key, message } = invalid;
        // A message about an unknown key names it first; other messages do not name the key they are about.
        let unknown = message.split('`').nth(1).filter(|_| key.is_empty() && message.starts_with("unknown field"));
        let said = match key.as_str() {
            "" => format!("[model]: {message}"),
            key => format!("model.{key} {message}"),
        };
        let said = suggest(said, message);
        let path = format!("model.{}", unknown.unwrap_or(key));
        match unknown {
            Some(_) if self.set_by(&path).is_none() => self.at(spot::of_key(self.text, &path), &said),
            // A value of another type is quoted in the message, and its key is not named.
            None if key.is_empty() => {
                let literal = message.split(['`', '"']).nth(1).unwrap_or_default();
                let sets_it = |text: &&String| {
                    let (path, value) = text.split_once('=').unwrap_or_default();
                    path.trim().starts_with("model.") && value.trim().trim_matches('"') == literal
                };
                if let Some(text) = self.overrides.iter().rev().find(sets_it) {
                    return Error::Config { place: format!("--set {text}"), message: said };
                }
                let span = spot::of_literal(self.text, "model", literal).or_else(|| spot::of_value(self.text, "model"));
                self.at(span, &said)
            }
            _ => self.wrong(&path, &said),
        }
    }

    /// A value that is wrong, by the full name of its key.
    fn wrong(&self, key: &str, message: &str) -> Error {
        if let Some(text) = self.set_by(key) {
            return Error::Config { place: format!("--set {text}"), message: message.to_owned() };
        }
        // Of what is missing, the section that it is missing in.
        let section = key.rsplit_once('.').map(|(section, _)| section).filter(|_| message.contains(" is missing"));
        let span = spot::of_value(self.text, key);
        self.at(span.or_else(|| spot::of_value(self.text, section?)), message)
    }

    /// The override that sets a key, or something in it or around it, if one does.
    fn set_by(&self, key: &str) -> Option<&String> {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.overrides.iter().rev().find(|text| {
            let path = text.split_once('=').map_or("", |(path, _)| path.trim());
            within(path, key) || within(key, path)
        })
    }

    /// An error about a place of the text, or the file as a whole.
    fn at(&self, span: Option<std::ops::Range<usize>>, message: &str) -> Error {
        match span {
            Some(span) => spot::error_at(self.place, self.text, span, message),
            None => Error::Config { place: self.place.to_owned(), message: message.to_owned() },
        }
    }
}

/// What keys are called in other programs, and here.
const ELSEWHERE: [(&str, &str); 12] = [
    ("batch_size", "batch_graphs"),
    ("lr", "learning_rate"),
    ("max_epochs", "epochs"),
    ("max_num_epochs", "epochs"),
    ("num_epochs", "epochs"),
    ("r_max", "cutoff"),
    ("rcut", "cutoff"),
    ("num_layers", "layers"),
    ("num_interactions", "layers"),
    ("hidden_dim", "width"),
    ("hidden_channels", "width"),
    ("train_files", "files"),
];

/// A message with a suggestion, where what it says is that a word is unknown, and then those that are known.
fn suggest(message: String, reason: &str) -> String {
    let mut quoted = reason.split('`').skip(1).step_by(2);
    let Some(unknown) = reason.starts_with("unknown").then(|| quoted.next()).flatten() else {
        return message;
    };
    let known: Vec<&str> = quoted.collect();
    let meant = ELSEWHERE.iter().find(|(other, ours)| *other == unknown && known.contains(ours)).map(|(_, ours)| *ours);
    let near =
        known.into_iter().max_by(|a, b| strsim::jaro_winkler(a, unknown).total_cmp(&strsim::jaro_winkler(b, unknown)));
    let near = near.filter(|near| strsim::jaro_winkler(near, unknown) > 0.7);
    match meant.or(near) {
        Some(near) => format!("{message}\ndid you mean `{near}`?"),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    const SMALL: &str = "[data]\nfiles = [\"a.xyz\"]\n";

    fn message(text: &str, overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        Config::parse(text, &overrides, "c.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_filled_config_is_a_config_again() {
        let config = Config::parse(SMALL, &[], "c.toml").unwrap();
        let again = Config::parse(&config.to_toml().unwrap(), &[], "c.toml").unwrap();
        assert_eq!(config, again);
        assert_eq!(config.model.options["width"], 128);
        assert_eq!(config.training_hash(), again.training_hash());
    }

    #[test]
    fn overrides_win_and_presets_fill() {
        let set = ["model.preset=paper", "model.width=64", "train.device=wgpu:1", "run.out=runs/x", "train.epochs = 3"];
        let config = Config::parse(SMALL, &set.map(String::from), "c.toml").unwrap();
        assert_eq!(config.model.preset, Preset::Paper);
        let options = &config.model.options;
        assert_eq!((&options["width"], &options["layers"]), (&64.into(), &3.into()));
        assert_eq!(options["basis"]["kind"], "squared_distance");
        assert_eq!(config.train.device.to_string(), "wgpu:1");
        assert_eq!(config.train.epochs, Some(3));
        assert_eq!(config.run.out, Path::new("runs/x"));
    }

    #[test]
    fn files_are_relative_to_the_config_and_those_of_flags_to_the_working_directory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        let load = |text: &str, set: &[&str]| {
            std::fs::write(&path, text).unwrap();
            let set: Vec<String> = set.iter().map(|&set| set.to_owned()).collect();
            let sources = Config::load(&path, &set).unwrap().data.sources;
            sources.into_iter().flat_map(|source| source.files).collect::<Vec<_>>()
        };
        let here = |name: &str| folder.path().join(name);
        assert_eq!(load("data.files = [\"a/*.xyz\", \"/b.xyz\"]", &[]), [here("a/*.xyz"), "/b.xyz".into()]);
        let two = "[[data.sources]]\nname = \"a\"\nfiles = [\"a.xyz\"]\n[[data.sources]]\nname = \"b\"\nfiles = [\"../b.xyz\"]\n";
        assert_eq!(load(two, &[]), [here("a.xyz"), here("../b.xyz")]);
        assert_eq!(load(SMALL, &["data.files=[\"b.xyz\"]"]), [Path::new("b.xyz")]);
        let config = Config::parse(SMALL, &[], "c").unwrap();
        let full = config.with_full_names().unwrap();
        assert_eq!(full.data.sources[0].files, [std::path::absolute("a.xyz").unwrap()]);
        assert_eq!(config.common().unwrap(), full.common().unwrap());
    }

    #[test]
    fn unknown_keys_get_a_suggestion() {
        let text = format!("{SMALL}[model]\nwidht = 3\n");
        let message = message(&text, &[]);
        assert!(message.contains("widht") && message.contains("did you mean `width`?"), "{message}");
        assert!(message.starts_with("c.toml:4:1: [model]: unknown field `widht`"), "{message}");
        assert!(message.contains("\n  4 | widht = 3\n    | ^^^^^\n"), "{message}");
        assert!(self::message(SMALL, &["modle.width=3"]).contains("did you mean `model`?"));
        // Names that other programs have.
        assert!(self::message(SMALL, &["train.batch_size=3"]).contains("did you mean `batch_graphs`?"));
        assert!(self::message(SMALL, &["model.r_max=3"]).contains("did you mean `cutoff`?"));
    }

    #[test]
    fn what_is_wrong_is_shown_in_its_line() {
        for (lines, place, shown) in [
            ("[train]\nepochs = = 3\n", "c.toml:4:10: ", "  4 | epochs = = 3\n    |          ^"),
            (
                "[train]\nepoch = 3\n",
                "c.toml:4:1: unknown field `epoch`\n",
                "  4 | epoch = 3\n    | ^^^^^\nexpected one of",
            ),
            ("[train]\nepochs = \"many\"\n", "c.toml:4:10: ", "    |          ^^^^^^"),
            (
                "[train]\nbatch_graphs = 0\n",
                "c.toml:4:16: train.batch_graphs is 0\n",
                "    |                ^\nexpected at least 1",
            ),
            (
                "[model]\nlayers = 2\nwidth = \"wide\"\n",
                "c.toml:5:9: [model]: invalid type",
                "  5 | width = \"wide\"\n    |         ^^^^^^",
            ),
            ("[model]\nkind = \"egn\"\n", "c.toml:4:8: model.kind is `egn`", "    |        ^^^^^"),
            ("[model]\nlayers = 2\nelements = [\"H\", \"Xx\"]\n", "c.toml:5:12: `Xx`", "    |            ^^^^^^^^^^^"),
        ] {
            let said = message(&format!("{SMALL}{lines}"), &[]);
            assert!(said.starts_with(place) && said.contains(shown), "{said}");
        }
        let preset = message(&format!("preset = \"quick\"\n{SMALL}"), &[]);
        assert!(preset.starts_with("c.toml:1:10: preset is \"quick\"\n  1 | preset = \"quick\"\n"), "{preset}");
        assert!(message("[data]\nfraction = 1.0\n", &[]).starts_with("c.toml:1:2: data.files is missing"));
    }

    #[test]
    fn what_an_override_sets_is_said_of_it() {
        let text = format!("{SMALL}[train]\nepochs = 3\n");
        for (set, start) in [
            ("train.epoch=3", "--set train.epoch=3: unknown field `epoch`"),
            ("train.epochs=0", "--set train.epochs=0: train.epochs is 0"),
            ("model.widht=3", "--set model.widht=3: [model]: unknown field `widht`"),
            ("preset=quick", "--set preset=quick: preset is \"quick\""),
        ] {
            let said = message(&text, &["train.batch_graphs=8", set, "train.workers=2"]);
            assert!(said.starts_with(start) && !said.contains('|'), "{said}");
        }
        // The file has a mistake of its own, whatever else is set.
        let said = message(&format!("{text}epoch = 4\n"), &["train.workers=2"]);
        assert!(said.starts_with("c.toml:5:1: unknown field `epoch`"), "{said}");
    }

    #[test]
    fn values_out_of_range_name_the_key() {
        for (set, expected) in [
            ("train.batch_graphs=0", "train.batch_graphs is 0"),
            ("data.validation_fraction=1.5", "data.validation_fraction is 1.5"),
            ("data.validation_fraction=-0.1", "data.validation_fraction is -0.1"),
            ("train.learning_rate=nan", "train.learning_rate is NaN"),
            ("parallel.ranks=0", "parallel.ranks is 0"),
            ("train.seeds=0", "train.seeds is 0"),
            ("parallel.zero=4", "is 4, expected 0 to 3"),
            ("model.kind=egn", "model.kind is `egn`, expected one of"),
            ("model.width=wide", "[model]: invalid type"),
            ("model.elements=[\"H\", \"Xx\"]", "`Xx` is not the symbol of an element"),
            ("model.elements=all", "unknown variant `all`, expected `auto`"),
            ("model.elements=3", "expected \"auto\" or a list of symbols"),
            ("train.device=gpu", "unknown device `gpu`"),
            ("data.replica_width=2", "data.replica_width is of no use without data.resident"),
            ("data.resident=disk", "unknown variant `disk`"),
            ("loss.kind=rmse", "unknown variant `rmse`"),
            ("train", "expected section.key=value"),
            ("data.files.x=1", "`files` is not a section"),
        ] {
            let message = message(SMALL, &[set]);
            assert!(message.contains(expected), "{set}: {message}");
        }
        assert!(message("[data]\n", &[]).contains("data.files is missing"));
        assert!(message("[model]\n", &[]).contains("data"));
    }
}
