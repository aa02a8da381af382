//! What a person looks at first: which keys and columns files have and what they are used as, the sizes of labels, what is
//! suspicious, and the lines of a config that would mend it. One pass, in memory that does not grow with the files.

mod distribution;
mod fields;

use std::collections::HashSet;
use std::path::Path;

use isograd_structure::Structure;
use rayon::prelude::*;
use serde::Serialize;

pub use self::distribution::Distribution;
use self::distribution::Sizes;
pub use self::fields::Field;
use self::fields::Fields;
use crate::audit::{Finding, Glance, Glimpse, Inspection, Limits, Summary, inspect};
use crate::collection::Stored;
use crate::formats::{Formats, Frame, Inputs};
use crate::store::{Composition, Labels, Store};
use crate::suggest::{Suggestion, unread_mask, unread_states};
use crate::{Error, Fit, Keys, Result, Source};

/// Frames that are looked at together, in parallel.
const CHUNK: usize = 1024;

/// Compositions that are told apart.
const COMPOSITIONS: usize = 1 << 16;

/// What files hold.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// Frames, atoms, elements, labels.
    #[serde(skip)]
    pub summary: Summary,
    /// Keys of frames, and columns of atoms, in the order in which they were met; none of a store, which has labels alone.
    pub fields: Vec<Field>,
    /// Different numbers of atoms of each element; `None` where these are too many to count.
    pub compositions: Option<usize>,
    /// Frames that repeat in no direction, in one, in two and in all three.
    pub periodic_directions: Option<[usize; 4]>,
    /// How large graphs are.
    pub graphs: GraphSizes,
    /// Sizes of labels and of structures, each of the frames that have them.
    pub distributions: Vec<Distribution>,
    /// What atoms of each element contribute to energies: a fit to some frames, without those that are far off.
    pub references: Option<Fit>,
    /// What is suspicious, the worst first.
    pub findings: Vec<Finding>,
    /// Frames with exactly the positions of an earlier one, as far as was looked.
    pub copies: usize,
    /// Names that labels probably have, where there is none under the names that were looked for.
    pub suggestion: Suggestion,
    /// What `units` has to say for labels to fit each other: as in `forces_are_gradients = true`.
    pub units: Vec<String>,
    /// Whether the format says its units: a config then says none.
    pub units_are_known: bool,
    /// Lines of `[data]` that would mend what was found.
    pub config: Vec<String>,
}

/// How large graphs are, of the frames that are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct GraphSizes {
    /// The length within which atoms have an edge, in angstrom.
    pub cutoff: f64,
    /// Edges of an atom, on average.
    pub edges_per_atom: f64,
    /// Atoms of the largest graph.
    pub most_atoms: usize,
    /// The most edges of a graph.
    pub most_edges: usize,
}

/// Looks at files, patterns and folders, or at one store, and counts edges shorter than `cutoff` angstrom; a store has numbers of
/// edges of its own. `progress` is told how many frames were looked at.
///
/// # Errors
/// The first that a file has; [`Error::Path`] of a store beside other files.
pub fn overview<P: AsRef<Path>>(
    formats: &Formats,
    source: &Source,
    files: &[P],
    limits: &Limits,
    cutoff: f64,
    progress: &mut dyn FnMut(usize),
) -> Result<Overview> {
    let Inputs { found, ignored } = formats.inputs(files)?;
    if let Some(store) = found.iter().find(|path| Store::is_at(path)) {
        if found.len() > 1 {
            let message = "is a store beside other files; make it a source of its own, with [[data.sources]]".into();
            return Err(Error::Path { path: store.clone(), message });
        }
        return of_store(store, source, limits);
    }
    let mut look = Look::new(source, cutoff, Summary::beside(ignored));
    for file in &found {
        let name = file.display().to_string();
        look.glance.next_file();
        let mut frames = formats.open(file)?.peekable();
        let mut first = 0;
        while frames.peek().is_some() {
            let chunk: Vec<Frame> = frames.by_ref().take(CHUNK).collect::<Result<_>>()?;
            let one = |frame: &Frame| {
                let structure = source.structure(frame, &name)?;
                let found = inspect(&structure, limits, cutoff);
                Ok((structure, found))
            };
            let looked: Vec<(Structure, Inspection)> = chunk.par_iter().map(one).collect::<Result<_>>()?;
            for (place, (frame, (structure, found))) in chunk.iter().zip(&looked).enumerate() {
                look.fields.add(frame);
                look.units_are_known |= frame.converted_from.is_some();
                look.add(structure, found, || format!("{name}: frame {}", first + place));
            }
            if first == 0
                && look.summary.unread.is_empty()
                && let Some(frame) = chunk.first()
            {
                let unread = [unread_states(frame, &source.columns), unread_mask(frame, &source.keys)];
                look.summary.unread = unread.into_iter().flatten().collect();
            }
            first += chunk.len();
            progress(chunk.len());
        }
    }
    Ok(look.conclude(source))
}

/// A look that goes on.
struct Look {
    summary: Summary,
    fields: Fields,
    glance: Glance,
    sizes: Sizes,
    compositions: HashSet<Composition>,
    directions: [usize; 4],
    graphs: GraphSizes,
    edges: usize,
    units_are_known: bool,
}

impl Look {
    fn new(source: &Source, cutoff: f64, summary: Summary) -> Self {
        Self {
            summary,
            fields: Fields::new(source),
            glance: Glance::new(source.units),
            sizes: Sizes::default(),
            compositions: HashSet::new(),
            directions: [0; 4],
            graphs: GraphSizes { cutoff, ..GraphSizes::default() },
            edges: 0,
            units_are_known: false,
        }
    }

    fn add(&mut self, structure: &Structure, found: &Inspection, place: impl Fn() -> String) {
        self.summary.add(structure, found, &place);
        self.glance.add(structure, found, &place);
        if found.fault.is_some() {
            return;
        }
        self.sizes.add(structure, found);
        let repeats = structure.geometry.periodic.iter().filter(|&&repeats| repeats).count();
        self.directions[repeats] += 1;
        self.count(Composition::of(&structure.elements), structure.len(), found.pairs.edges);
    }

    fn count(&mut self, composition: Composition, atoms: usize, edges: usize) {
        if self.compositions.len() <= COMPOSITIONS {
            self.compositions.insert(composition);
        }
        self.edges += edges;
        self.graphs.most_atoms = self.graphs.most_atoms.max(atoms);
        self.graphs.most_edges = self.graphs.most_edges.max(edges);
    }

    fn conclude(mut self, source: &Source) -> Overview {
        let suggestion = self.fields.suggestion(&source.keys);
        self.summary.other_names = suggestion.sentence();
        self.graphs.edges_per_atom = self.edges as f64 / self.summary.atoms.max(1) as f64;
        let Glimpse { findings, units, references, left, copies } = self.glance.conclude(&self.summary);
        let mut distributions = self.sizes.distributions();
        if let Some(left) = Distribution::of_some(
            "energy beside references",
            "meV/atom",
            self.summary.with_energy,
            left.iter().map(|left| 1e3 * left),
        ) {
            let place = distributions.iter().position(|own| own.quantity == "energy").map_or(0, |place| place + 1);
            distributions.insert(place, left);
        }
        let units = if self.units_are_known { Vec::new() } else { units };
        let config = config_lines(&suggestion, &units, &self.summary);
        Overview {
            summary: self.summary,
            fields: self.fields.list(),
            compositions: Some(self.compositions.len()).filter(|&count| count <= COMPOSITIONS),
            periodic_directions: Some(self.directions),
            graphs: self.graphs,
            distributions,
            references,
            findings,
            copies,
            suggestion,
            units,
            units_are_known: self.units_are_known,
            config,
        }
    }
}

/// Lines of `[data]` that name labels and units, and leave out what cannot be trusted.
fn config_lines(suggestion: &Suggestion, units: &[String], summary: &Summary) -> Vec<String> {
    let mut lines: Vec<String> = suggestion.setting().into_iter().collect();
    let gradients = suggestion.gradients().then(|| "forces_are_gradients = true".to_owned());
    let units: Vec<String> = units.iter().cloned().chain(gradients).collect();
    if !units.is_empty() {
        lines.push(format!("units = {{ {} }}", units.join(", ")));
    }
    // What has no labels yet may have some under their right names.
    let unlabelled = summary.faults.get(&crate::audit::Fault::NoLabels).copied().unwrap_or(0);
    if summary.faults.values().sum::<usize>() > unlabelled {
        lines.push("suspicious = \"filter\"".into());
    }
    lines
}

/// Looks at the index of a store.
fn of_store(folder: &Path, source: &Source, limits: &Limits) -> Result<Overview> {
    let store = std::sync::Arc::new(Store::open(folder)?);
    let names = Keys { group: source.keys.group.clone(), ..Keys::default() };
    if source.keys != names || source.units != isograd_structure::Units::default() {
        let message = "is a store, whose labels have their names and units: leave out `keys` and `units`";
        return Err(Error::Path { path: folder.to_owned(), message: message.into() });
    }
    let cutoff = store.header().cutoffs.first().copied().unwrap_or_default();
    let (kept, summary) = Stored::survey(store.clone(), limits, cutoff)?;
    let mut look = Look::new(source, cutoff, summary);
    for &graph in kept.graphs() {
        let entry = store.index().entry(graph as usize);
        let composition = &store.compositions()[entry.composition as usize];
        let (atoms, edges) = (entry.atoms as usize, entry.edges.first().map_or(0, |edges| *edges as usize));
        look.count(composition.clone(), atoms, edges);
        let energy = entry.labels.has(Labels::ENERGY).then_some(entry.energy);
        if let Some(energy) = energy {
            look.glance.add_energy(composition, energy);
        }
        let rms = |squares: f32, components: usize| (f64::from(squares) / components.max(1) as f64).sqrt();
        let force = entry.labels.has(Labels::FORCES).then(|| rms(entry.force_squares, 3 * atoms));
        let stress = entry.labels.has(Labels::STRESS).then(|| rms(entry.stress_squares, 9));
        look.sizes.add_known(atoms, energy, force, stress, Some(f64::from(entry.shortest)));
    }
    let mut overview = look.conclude(source);
    overview.summary.other_names = None;
    overview.periodic_directions = None;
    overview.units_are_known = true;
    (overview.fields, overview.suggestion) = (Vec::new(), Suggestion::default());
    overview.config.clear();
    Ok(overview)
}
