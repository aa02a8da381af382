//! The list of what is checked: each property with a sampler of its cases.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::case::Case;
use crate::question::Question;
use crate::sample::{Shape, system};
use crate::{Description, Kind, Rows, System, Transformation, group};

/// Draws one case.
type Sampler = Box<dyn Fn(&Description, &mut ChaCha8Rng) -> Case>;

/// Something that should hold for every case.
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) sample: Sampler,
}

/// A property that was not checked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Skipped {
    /// Its name.
    pub transformation: String,
    /// Why not.
    pub reason: String,
}

/// A list under construction: properties that apply, and those that do not.
struct List {
    properties: Vec<Property>,
    skipped: Vec<Skipped>,
}

impl List {
    fn add(
        &mut self,
        name: impl Into<String>,
        obstacle: Option<&str>,
        sample: impl Fn(&Description, &mut ChaCha8Rng) -> Case + 'static,
    ) {
        let name = name.into();
        match obstacle {
            None => self.properties.push(Property { name, sample: Box::new(sample) }),
            Some(reason) => self.skipped.push(Skipped { transformation: name, reason: reason.to_owned() }),
        }
    }
}

/// Everything that applies to a model, and what does not with the reason.
pub(crate) fn properties(description: &Description, shuffles: bool) -> (Vec<Property>, Vec<Skipped>) {
    let mut list = List { properties: Vec::new(), skipped: Vec::new() };
    let unless = |holds: bool, reason: &'static str| (!holds).then_some(reason);
    let turns = unless(description.dimensions > 1, "one dimension has no rotations");
    let cells = unless(description.periodic, "the model reads no cells");
    let batches = unless(description.batched, "the model evaluates one system at a time");
    let reach = unless(description.cutoff.is_some(), "the model declares no cutoff");

    list.add("rotation", turns, |d, rng| turned(d, Shape::Ordinary, rng, group::rotation));
    list.add("reflection", None, |d, rng| turned(d, Shape::Ordinary, rng, group::reflection));
    list.add("orthogonal map", None, |d, rng| turned(d, Shape::Ordinary, rng, group::orthogonal));
    for &size in &description.translations {
        list.add(format!("translation by {size}"), None, move |d, rng| translated(d, size, rng));
    }
    list.add("node permutation", None, |d, rng| {
        let system = system(d, Shape::Ordinary, rng);
        let order = group::permutation(system.len(), rng);
        transformed(system, Transformation::Permutation(order))
    });
    list.add("edge permutation", unless(shuffles, "the model cannot shuffle its edges"), |d, rng| {
        let systems = vec![system(d, Shape::Ordinary, rng)];
        Case { systems, question: Question::EdgeOrder(rng.random()) }
    });
    list.add("wrapping", cells, wrapped);
    list.add("lattice basis", cells, |d, rng| {
        let system = system(d, Shape::Periodic, rng);
        let basis = group::unimodular(&system.periodic, 3, rng);
        transformed(system, Transformation::LatticeBasis(basis))
    });
    list.add("supercell", cells, |d, rng| {
        let system = system(d, Shape::Periodic, rng);
        let repeats = system.periodic.iter().map(|&periodic| if periodic { rng.random_range(1..=2) } else { 1 });
        let repeats: Vec<usize> = repeats.collect();
        transformed(system, Transformation::Supercell(repeats))
    });
    list.add("batch = singles", batches, |d, rng| {
        let count = rng.random_range(2..=4);
        Case { systems: (0..count).map(|_| system(d, Shape::Ordinary, rng)).collect(), question: Question::Batch }
    });
    list.add("no leakage between graphs", batches, |d, rng| Case {
        systems: (0..3).map(|_| system(d, Shape::Ordinary, rng)).collect(),
        question: Question::OtherGraphs,
    });
    list.add("separated systems add up", reach, separated);
    list.add("continuous at the cutoff", reach, |d, rng| at_the_cutoff(d, Question::CutoffValue, rng));
    list.add("smooth at the cutoff", reach, |d, rng| at_the_cutoff(d, Question::CutoffSlope, rng));
    for (name, shape) in [
        ("single node", Shape::Single),
        ("isolated node", Shape::Isolated),
        ("duplicate nodes", Shape::Duplicate),
        ("collinear nodes", Shape::Collinear),
        ("coplanar nodes", Shape::Coplanar),
    ] {
        list.add(name, None, move |d, rng| turned(d, shape, rng, group::orthogonal));
    }
    let claimed = |claims: bool| unless(claims, "the model does not claim it");
    list.add("forces = -dE/dx", claimed(!description.conservative.is_empty()), |d, rng| {
        let system = system(d, Shape::Ordinary, rng);
        let mut direction = Rows::from_fn(system.len(), d.dimensions, |_, _| rng.sample(StandardNormal));
        let norm = direction.values().iter().map(|x| x * x).sum::<f64>().sqrt();
        direction.values_mut().iter_mut().for_each(|x| *x /= norm);
        Case { systems: vec![system], question: Question::Conservative(direction) }
    });
    let strains = if cells.is_some() { cells } else { claimed(!description.stress_of.is_empty()) };
    list.add("stress = dE/dstrain / V", strains, |d, rng| {
        let system = system(d, Shape::Bulk, rng);
        let strain = Rows::from_matrix(&group::strain(d.dimensions, rng));
        Case { systems: vec![system], question: Question::Strain(strain) }
    });
    list.add("no net force", claimed(!description.zero_sum.is_empty()), |d, rng| Case {
        systems: vec![system(d, Shape::Ordinary, rng)],
        question: Question::ZeroSum,
    });
    let turns = if turns.is_some() { turns } else { claimed(!description.zero_torque.is_empty()) };
    list.add("no net torque", turns, |d, rng| Case {
        systems: vec![system(d, Shape::Free, rng)],
        question: Question::ZeroTorque,
    });
    (list.properties, list.skipped)
}

fn transformed(system: System, transformation: Transformation) -> Case {
    Case { systems: vec![system], question: Question::Transforms(transformation) }
}

fn turned(
    description: &Description,
    shape: Shape,
    rng: &mut ChaCha8Rng,
    matrix: impl Fn(usize, &mut ChaCha8Rng) -> nalgebra::DMatrix<f64>,
) -> Case {
    let system = system(description, shape, rng);
    let matrix = Rows::from_matrix(&matrix(description.dimensions, rng));
    transformed(system, Transformation::Orthogonal(matrix))
}

fn translated(description: &Description, size: f64, rng: &mut ChaCha8Rng) -> Case {
    let direction = group::orthogonal(description.dimensions, rng);
    let step = direction.column(0).iter().map(|x| x * size).collect();
    transformed(system(description, Shape::Ordinary, rng), Transformation::Translation(step))
}

fn wrapped(description: &Description, rng: &mut ChaCha8Rng) -> Case {
    let system = system(description, Shape::Periodic, rng);
    let wrap = |periodic: &bool, rng: &mut ChaCha8Rng| if *periodic { rng.random_range(-2..=2) } else { 0 };
    let wraps = (0..system.len()).map(|_| system.periodic.iter().map(|p| wrap(p, rng)).collect()).collect();
    transformed(system, Transformation::Wrapping(wraps))
}

/// Two free systems, the second so far away that no node of one sees a node of the other.
fn separated(description: &Description, rng: &mut ChaCha8Rng) -> Case {
    let systems = vec![system(description, Shape::Free, rng), system(description, Shape::Free, rng)];
    let reach = |system: &System| system.positions.values().iter().fold(0.0, |far: f64, x| far.max(x.abs()));
    let size = (description.dimensions as f64).sqrt();
    let away = 1.5 * description.cutoff.unwrap_or(0.0) + size * (reach(&systems[0]) + reach(&systems[1]));
    let direction = group::orthogonal(description.dimensions, rng);
    let offset = direction.column(0).iter().map(|x| x * away).collect();
    Case { systems, question: Question::Separation(offset) }
}

/// A small free system whose first node leaves the cutoff of the second while no other distance of
/// the first is near the cutoff.
fn at_the_cutoff(description: &Description, question: Question, rng: &mut ChaCha8Rng) -> Case {
    let cutoff = description.cutoff.unwrap_or(description.spacing);
    let small = Description { nodes: (2, description.nodes.1.clamp(2, 5)), ..description.clone() };
    let system = loop {
        let candidate = system(&small, Shape::Free, rng);
        let placed = crate::cutoff::places(&candidate, description, &question);
        let margin = 0.05 * cutoff;
        let clear = placed.iter().all(|system| {
            (2..system.len()).all(|node| {
                let d = system.positions.row(0).iter().zip(system.positions.row(node)).map(|(a, b)| (a - b).powi(2));
                let d = d.sum::<f64>().sqrt();
                (d - cutoff).abs() > margin && d > 0.5 * description.spacing
            })
        });
        if clear {
            break candidate;
        }
    };
    Case { systems: vec![system], question }
}

impl Property {
    /// How much more than the limit of the precision passes: derivatives and extrapolations lose digits.
    pub(crate) fn allowance(question: &Question) -> f64 {
        match question {
            Question::CutoffValue => 10.0,
            Question::Conservative(_) | Question::Strain(_) => 100.0,
            Question::CutoffSlope => 1000.0,
            _ => 1.0,
        }
    }

    /// Whether a question is about outputs of this kind at all.
    pub(crate) fn concerns(question: &Question, kind: Kind, name: &str, description: &Description) -> bool {
        match question {
            Question::Conservative(_) => description.conservative.iter().any(|claim| claim.forces == name),
            Question::Strain(_) => description.stress_of.iter().any(|claim| claim.stress == name),
            Question::ZeroSum => description.zero_sum.iter().any(|claimed| claimed == name),
            Question::ZeroTorque => description.zero_torque.iter().any(|claimed| claimed == name),
            Question::Separation(_) => {
                kind.per_node() || description.outputs.iter().any(|output| output.name == name && output.extensive)
            }
            _ => true,
        }
    }
}

/// The generator of one case.
pub(crate) fn generator(seed: u32) -> ChaCha8Rng {
    rand::SeedableRng::seed_from_u64(u64::from(seed))
}

/// A seed for each case of each property, from the seed of the whole battery.
pub(crate) fn case_seed(seed: u64, property: &str, index: usize) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.to_le_bytes().into_iter().chain(property.bytes()).chain((index as u64).to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let mut rng: ChaCha8Rng = rand::SeedableRng::seed_from_u64(hash);
    rng.next_u32()
}
