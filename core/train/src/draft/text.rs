//! The text of a config, with a sentence on what one may want to change.

use std::fmt::Write as _;
use std::path::PathBuf;

use isograd_data::{Field, Overview};
use isograd_ops::device::DeviceName;

use super::Batches;

/// Bytes of a mebibyte.
const MEBIBYTE: f64 = 1_048_576.0;

/// Groups from which on holding out whole ones says something, and candidates that are named.
const GROUPS: usize = 5;
const NAMED: usize = 3;

/// What a config says.
pub(super) struct Choices {
    pub(super) files: Vec<PathBuf>,
    pub(super) keys: Vec<String>,
    pub(super) units: Vec<String>,
    pub(super) preset: &'static str,
    pub(super) cutoff: f64,
    pub(super) validation_fraction: f64,
    pub(super) filters: bool,
    pub(super) energy_weight: f64,
    pub(super) force_weight: f64,
    pub(super) stress_weight: f64,
    pub(super) seconds: f64,
    pub(super) validate_every: usize,
    pub(super) device: DeviceName,
    pub(super) batches: Option<Batches>,
    pub(super) memory: Option<u64>,
}

/// A string of TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Frames, atoms, elements and labels in one sentence.
pub(super) fn what_there_is(found: &Overview) -> String {
    let summary = &found.summary;
    let (low, high) = summary.atoms_per_frame.unwrap_or_default();
    let size = if low == high { format!("{low}") } else { format!("{low} to {high}") };
    let elements: Vec<&str> = summary.elements.keys().map(|element| element.symbol()).collect();
    let kept = summary.kept();
    let labels =
        [("energies", summary.with_energy), ("forces", summary.with_forces), ("stresses", summary.with_stress)];
    let labels: Vec<String> = labels
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(label, count)| if count == kept { label.to_owned() } else { format!("{label} of {count}") })
        .collect();
    let periodic = match summary.periodic {
        0 => "not periodic".to_owned(),
        count if count == kept => "periodic".into(),
        count => format!("{count} of them periodic"),
    };
    format!("{kept} frames of {size} atoms ({}), {periodic}, with {}", elements.join(", "), labels.join(", "))
}

impl Choices {
    /// The config.
    pub(super) fn text(&self, name: &str, found: &Overview) -> String {
        // A comment ends with its line.
        let name = name.replace(char::is_control, " ");
        let mut text = format!(
            "# Made by `isograd init` for {name}:\n# {}.\n# What is left out has its default, which the run directory's config.toml shows.\n\n",
            what_there_is(found)
        );
        let mut say = |lines: &str| {
            text.push_str(lines);
            text.push('\n');
        };
        say(
            "# The recipe of model, loss and optimizer: \"fast\" is there in minutes, \"accurate\" has the smallest errors in an hour or more.",
        );
        say(&format!("preset = \"{}\"\n", self.preset));
        say("[data]");
        say("# Structure files, patterns and folders, relative to this file.");
        let files: Vec<String> = self.files.iter().map(|file| quoted(&file.to_string_lossy())).collect();
        say(&format!("files = [{}]", files.join(", ")));
        if !self.keys.is_empty() {
            say("# The names of the labels in the files.");
            say(&format!("keys = {{ {} }}", self.keys.join(", ")));
        }
        if !self.units.is_empty() {
            say(
                "# What the labels are in, as energies of frames that are near each other say; otherwise eV and angstrom.",
            );
            say(&format!("units = {{ {} }}", self.units.join(", ")));
        }
        let kept = found.summary.kept();
        say(&format!("# The share of the {kept} frames that is held out, on which errors are measured."));
        say(&format!("validation_fraction = {}", self.validation_fraction));
        self.split(found, &mut say);
        if self.filters {
            let faults: Vec<String> =
                found.summary.faults.iter().map(|(fault, count)| format!("{count} {}", fault.words())).collect();
            say(&format!(
                "# Leaves out and counts frames that cannot be trusted ({}); \"refuse\" stops at them.",
                faults.join(", ")
            ));
            say("suspicious = \"filter\"");
        }
        if found.copies > 0 {
            say(&format!(
                "# {} frames are copies of others: training refuses those on both sides of the split, unless this is allowed.",
                found.copies
            ));
            say("# leakage = \"allow\"");
        }
        say("\n[model]");
        say(&format!(
            "# Atoms farther apart than this, in angstrom, do not see each other; the work grows with its third power ({:.0} neighbours of \
             an atom at {}).",
            found.graphs.edges_per_atom, found.graphs.cutoff
        ));
        say(&format!("cutoff = {:?}", self.cutoff));
        say(
            "# Elements that can be predicted: \"auto\" are those in the data; what their atoms contribute to energies is fitted.",
        );
        say("elements = \"auto\"");
        say("\n[loss]");
        self.loss(found, &mut say);
        say("\n[train]");
        say(
            "# Seconds of training: the learning rate follows the time, and training ends with it. `epochs` counts passes instead.",
        );
        say(&format!("seconds = {}", self.seconds));
        say("# Epochs between two looks at the frames that are held out.");
        say(&format!("validate_every = {}", self.validate_every));
        self.batch(&mut say);
        say("# \"cpu\", \"wgpu\" for any GPU, \"cuda\" for those of NVIDIA; `isograd devices` shows what is there.");
        say(&format!("device = \"{}\"", self.device));
        if self.batches.as_ref().is_some_and(|batches| batches.recomputes) {
            say("\n[parallel]");
            say(
                "# Computes activations again on the way back, which saves memory and takes about a third more time; \"none\" keeps them.",
            );
            say("recompute = \"layer\"");
        }
        text
    }

    /// What may be held out together.
    fn split(&self, found: &Overview, say: &mut dyn FnMut(&str)) {
        let kept = found.summary.kept();
        let is_group = |field: &&Field| {
            let values = field.different.filter(|&values| values >= GROUPS && 2 * values <= kept);
            let is_name = matches!(field.holds, "text" | "integer") && field.width == 1;
            values.is_some()
                && is_name
                && field.used_as.is_none()
                && field.looks_like.is_none()
                && !field.is_state
                && field.frames == found.summary.frames
        };
        let keys = found.fields.iter().filter(is_group).take(NAMED);
        let mut groups: Vec<String> = keys
            .map(|field| {
                format!("{} ({} values)", quoted(&field.name).replace('\n', " "), field.different.unwrap_or_default())
            })
            .collect();
        let formulas = found.compositions.filter(|&count| count >= GROUPS && 2 * count <= kept);
        groups.extend(formulas.map(|count| format!("\"formula\" ({count} of them)")));
        say(
            "# What stays on one side of the split: each frame for itself, although frames of a trajectory are much alike.",
        );
        if !groups.is_empty() {
            say(&format!(
                "# To measure errors of what was never seen, hold out whole groups: {}.",
                groups.join(" or ")
            ));
        }
        say("split_by = \"frame\"");
    }

    /// What errors of the labels count.
    fn loss(&self, found: &Overview, say: &mut dyn FnMut(&str)) {
        let weight = |value: f64| if value == value.round() { format!("{value:.1}") } else { value.to_string() };
        let missing =
            |value: f64, label: &str| if value == 0.0 { format!(" There are no {label}: 0.") } else { String::new() };
        say(&format!("# What errors of energies count, in eV of an atom.{}", missing(self.energy_weight, "energies")));
        say(&format!("energy_weight = {}", weight(self.energy_weight)));
        say(&format!("# What errors of forces count, in eV/angstrom.{}", missing(self.force_weight, "forces")));
        say(&format!("force_weight = {}", weight(self.force_weight)));
        if found.summary.with_stress > 0 {
            say("# What errors of stresses count, in eV/angstrom^3, which are small numbers; 0 leaves stresses out.");
            say(&format!("stress_weight = {}", weight(self.stress_weight)));
        }
    }

    /// What a batch holds.
    fn batch(&self, say: &mut dyn FnMut(&str)) {
        let Some(batches) = &self.batches else { return };
        let mebibytes = |bytes: u64| format!("{:.0} MiB", bytes as f64 / MEBIBYTE);
        let memory = self.memory.map_or(String::new(), |memory| format!(" of {}", mebibytes(memory)));
        let takes =
            batches.takes.map_or(String::new(), |takes| format!(": training takes about {}{memory}", mebibytes(takes)));
        match batches.bounds {
            None => {
                say(&format!("# Most frames in a batch{takes}. Larger batches train fewer steps in the same time."));
                say("batch_graphs = 5");
            }
            Some((atoms, edges)) => {
                say(&format!("# Most atoms and edges in a batch, so that it fits{takes}."));
                let mut lines = String::new();
                let _ = write!(lines, "batch_atoms = {atoms}\nbatch_edges = {edges}");
                say(&lines);
            }
        }
    }
}
