//! Labelled structures to train on, a few of each kind of trouble.

use isograd_data::HostGraph;
use isograd_structure::{Cell, Geometry, neighbour_list};
use isograd_tasks::Forces;
use isograd_train::Batch;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Subject;

/// A graph and its labels.
pub type Labelled = (HostGraph, Vec<Option<Vec<f64>>>);

/// Random clusters of three to ten atoms, one of them periodic, some without labels, for every head in turn.
pub fn graphs(subject: &Subject) -> Vec<Labelled> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let needs = subject.architecture.needs();
    let mut graph = |k: usize| {
        let positions: Vec<[f64; 3]> =
            (0..3 + k).map(|_| std::array::from_fn(|_| rng.random_range(0.0..3.0))).collect();
        let species = (0..3 + k).map(|_| rng.random_range(0..3)).collect();
        let forces: Vec<[f64; 3]> = positions.iter().map(|x| x.map(|x| (2.0 * x).sin())).collect();
        let mut geometry = Geometry { positions: positions.clone(), ..Default::default() };
        if k == 2 {
            geometry.cell = Some(Cell([[4.0, 0.0, 0.0], [0.7, 3.8, 0.0], [0.0, -0.4, 4.1]]));
            geometry.periodic = [true, true, false];
        }
        let edges = neighbour_list(&geometry, needs.cutoff).unwrap_or_else(|error| panic!("batches: {error}"));
        let graph = HostGraph {
            species,
            edges: edges.into(),
            head: k % subject.heads,
            velocities: if needs.velocities { forces.iter().flatten().map(|x| 0.3 * x).collect() } else { Vec::new() },
            positions: if needs.positions { positions.into_flattened() } else { Vec::new() },
            volume: geometry.cell.map(|cell| cell.volume()),
            ..Default::default()
        };
        let energy = (!k.is_multiple_of(3)).then(|| vec![0.3 * k as f64]);
        let mut labels = vec![energy, (!k.is_multiple_of(4)).then(|| forces.into_flattened())];
        if subject.forces == Forces::Gradient {
            let stress = [0.02, 0.004, -0.01, 0.004, -0.03, 0.0, -0.01, 0.0, 0.015];
            labels.push(graph.volume.map(|_| stress.to_vec()));
        }
        (graph, labels)
    };
    (0..8).map(&mut graph).collect()
}

/// Some of these graphs as a batch.
pub fn batch(subject: &Subject, graphs: &[Labelled], members: &[usize]) -> Batch {
    let (own, labels): (Vec<_>, Vec<_>) = members.iter().map(|&k| graphs[k].clone()).unzip();
    Batch::new(members, &own, &subject.task().targets, &labels)
}
