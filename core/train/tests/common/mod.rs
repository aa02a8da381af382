//! The configurations of the EGNN that tests go through, and labelled batches for them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::sync::Arc;

use isograd_data::HostGraph;
use isograd_models::Egnn;
use isograd_models::nn::{Basis, Envelope};
use isograd_ops::value::EdgeWork;
use isograd_structure::{Geometry, neighbour_list};
use isograd_tasks::{Forces, Model, Nodes, PotentialTask, Task, TrunkInfo, potential_targets};
use isograd_train::Batch;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// An EGNN and what it is asked for.
#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    pub egnn: Egnn,
    pub heads: usize,
    pub forces: Forces,
}

impl Case {
    pub fn model(&self, work: EdgeWork) -> Model {
        let elements = ["H", "C", "O"].map(|symbol| symbol.parse().unwrap()).to_vec();
        let task = Task::from(PotentialTask::default()).scaled(&[0.4, 1.3]);
        let trunk = TrunkInfo::new(&self.egnn, Nodes::Elements(elements), self.heads, self.forces);
        trunk.model_of(Arc::new(self.egnn.clone()), &task.targets, work).unwrap()
    }
}

/// A small model with direct forces.
pub fn egnn() -> Egnn {
    Egnn { width: 8, layers: 3, cutoff: 3.0, basis: Basis::Bessel { size: 5 }, ..Egnn::default() }
}

/// Every kind of EGNN that a config can ask for and that is meant to be smooth.
pub fn cases() -> Vec<Case> {
    let case = |name, egnn| Case { name, egnn, heads: 1, forces: Forces::Direct };
    let moving = Egnn { coordinate_updates: true, ..egnn() };
    vec![
        case("atomistic", egnn()),
        case("cosine", Egnn { envelope: Envelope::Cosine, ..egnn() }),
        case("attention", Egnn { attention: true, ..egnn() }),
        Case { heads: 2, ..case("two heads", egnn()) },
        case("moving", moving.clone()),
        case("squared", Egnn { basis: Basis::SquaredDistance, ..moving.clone() }),
        Case { forces: Forces::Displacement, ..case("displacement", moving.clone()) },
        Case { heads: 2, ..case("everything", Egnn { attention: true, ..moving }) },
    ]
}

/// Two micro-batches of labelled clusters, for every head.
pub fn micro_batches(case: &Case) -> Vec<Batch> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut graph = |k: usize| {
        let positions: Vec<[f64; 3]> =
            (0..4 + k).map(|_| std::array::from_fn(|_| rng.random_range(0.0..3.0))).collect();
        let species = (0..4 + k).map(|_| rng.random_range(0..3i32) as u32).collect();
        let forces: Vec<[f64; 3]> = positions.iter().map(|x| x.map(|x| (2.0 * x).sin())).collect();
        let edges = neighbour_list(&Geometry { positions, ..Default::default() }, case.egnn.cutoff).unwrap();
        let graph = HostGraph { species, edges: edges.into(), head: k % case.heads, ..Default::default() };
        (graph, vec![Some(vec![k as f64]), Some(forces.into_flattened())])
    };
    let mut half = |half: usize| {
        let (graphs, labels): (Vec<_>, Vec<_>) = (half..half + 3).map(&mut graph).unzip();
        Batch::new(&[0, 1, 2], &graphs, potential_targets(), &labels)
    };
    (0..2).map(&mut half).collect()
}
