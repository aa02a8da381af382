//! Architectures under test, small enough to be tested thoroughly.

use std::sync::Arc;

use isograd_models::nn::{Basis, Envelope, Normalisation};
use isograd_models::{AnyArchitecture, Architecture, Egnn, Gat, Gcn, Moments, PaiNN, Registry, SchNet, Study};
use isograd_ops::value::EdgeWork;
use isograd_tasks::{Forces, Model, Nodes, PotentialTask, Task, TrunkInfo};

/// An architecture, and what it is asked for.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name in messages.
    pub name: String,
    /// The architecture.
    pub architecture: Arc<dyn AnyArchitecture>,
    /// Number of heads. Default 1.
    pub heads: usize,
    /// Where forces come from. Default direct.
    pub forces: Forces,
    /// How the work on edges is done. Default fused.
    pub work: EdgeWork,
    /// Dimensions of space. Default 3.
    pub dims: usize,
}

impl Subject {
    /// One head, direct forces.
    pub fn new(name: &str, architecture: impl Architecture) -> Self {
        Self {
            name: name.to_owned(),
            architecture: Arc::new(architecture),
            heads: 1,
            forces: Forces::Direct,
            work: EdgeWork::Fused,
            dims: 3,
        }
    }

    /// With another number of heads.
    #[must_use]
    pub fn heads(self, heads: usize) -> Self {
        Self { heads, ..self }
    }

    /// With forces from elsewhere.
    #[must_use]
    pub fn forces(self, forces: Forces) -> Self {
        Self { forces, ..self }
    }

    /// With the work on edges done in another way.
    #[must_use]
    pub fn work(self, work: EdgeWork) -> Self {
        Self { work, ..self }
    }

    /// In a space of another dimension.
    #[must_use]
    pub fn dims(self, dims: usize) -> Self {
        Self { dims, ..self }
    }

    /// What is trained: energies and forces; of a conservative potential also stress.
    pub fn task(&self) -> Task {
        let task = Task::from(PotentialTask::default());
        if self.forces == Forces::Gradient { task.with_stress(20.0) } else { task }
    }

    /// A potential for H, C and O.
    ///
    /// # Panics
    /// If there is no such model.
    pub fn model(&self) -> Model {
        let elements = [1, 6, 8].map(isograd_structure::Element::from_number).into_iter().flatten().collect();
        let task = self.task().scaled(&[0.4, 1.3]);
        let trunk = TrunkInfo::new(&*self.architecture, Nodes::Elements(elements), self.heads, self.forces);
        let model = trunk
            .model_of(self.architecture.clone(), &task.targets, self.work)
            .and_then(|model| model.with_dims(self.dims));
        model.unwrap_or_else(|invalid| panic!("{}: {invalid}", self.name))
    }
}

/// Every architecture of [`Registry::default`], of the EGNN every option.
///
/// # Panics
/// If an architecture of the registry is not among them.
pub fn every_subject() -> Vec<Subject> {
    let egnn = Egnn { width: 8, layers: 3, cutoff: 3.0, basis: Basis::Bessel { size: 5 }, ..Egnn::default() };
    let moving = Egnn { coordinate_updates: true, ..egnn.clone() };
    let deep = Egnn { initial_residual: 0.2, normalisation: Normalisation::Layer, ..egnn.clone() };
    let everything = Egnn { attention: true, coordinate_updates: true, ..deep.clone() };
    let basis = Basis::Bessel { size: 5 };
    let painn = PaiNN { width: 8, layers: 2, cutoff: 3.0, basis, ..PaiNN::default() };
    let moments = Moments { width: 6, cutoff: 3.0, basis, degree: 2, ..Moments::default() };
    let high = Moments { degree: 3, hidden_degree: 2, width: 4, ..moments.clone() };
    let gat = Gat { width: 8, layers: 2, attention_heads: 2, cutoff: 3.0, basis, ..Gat::default() };
    let schnet = SchNet { width: 8, layers: 2, cutoff: 3.0, gaussians: 8, ..SchNet::default() };
    let subjects = vec![
        Subject::new("egnn", egnn.clone()),
        Subject::new("egnn, cosine", Egnn { envelope: Envelope::Cosine, ..egnn.clone() }),
        Subject::new("egnn, gaussian", Egnn { basis: Basis::Gaussian { size: 6 }, ..egnn.clone() }),
        Subject::new("egnn, attention", Egnn { attention: true, ..egnn.clone() }),
        Subject::new("egnn, two heads", egnn.clone()).heads(2),
        Subject::new("egnn, moving", moving.clone()),
        Subject::new("egnn, squared", Egnn { basis: Basis::SquaredDistance, ..moving.clone() }),
        Subject::new("egnn, displacement", moving.clone()).forces(Forces::Displacement),
        Subject::new("egnn, velocities", Egnn { velocities: true, ..moving.clone() }).forces(Forces::Displacement),
        Subject::new("egnn, deep", Egnn { layers: 4, ..deep.clone() }),
        Subject::new("egnn, everything", everything.clone()).heads(2),
        Subject::new("schnet", schnet.clone()),
        Subject::new("schnet, two heads", schnet.clone()).heads(2),
        Subject::new("painn", painn.clone()),
        Subject::new(
            "painn, two heads",
            PaiNN { width: 6, layers: 2, cutoff: 3.0, basis, envelope: Envelope::Polynomial },
        )
        .heads(2),
        Subject::new("moments", moments.clone()),
        Subject::new("moments, two heads", moments.clone()).heads(2),
        Subject::new("moments, high degrees", high.clone()),
        Subject::new("moments, composed", moments.clone()).work(EdgeWork::Composed),
        Subject::new("gcn", Gcn { width: 8, layers: 2, cutoff: 3.0, ..Gcn::default() }),
        Subject::new("gat", gat.clone()),
        Subject::new("egnn, conservative", egnn.clone()).forces(Forces::Gradient),
        Subject::new("egnn, moving, conservative", moving.clone()).forces(Forces::Gradient),
        Subject::new("egnn, everything, conservative", everything).heads(2).forces(Forces::Gradient),
        Subject::new("schnet, conservative", schnet.clone()).forces(Forces::Gradient),
        Subject::new("painn, conservative", painn).forces(Forces::Gradient),
        Subject::new("moments, conservative", moments).forces(Forces::Gradient),
        Subject::new("moments, high degrees, conservative", high).forces(Forces::Gradient),
        Subject::new("gcn, conservative", Gcn { width: 8, layers: 2, cutoff: 3.0, ..Gcn::default() })
            .forces(Forces::Gradient),
        Subject::new("gat, conservative", gat).forces(Forces::Gradient),
        Subject::new("study", Study { width: 8, layers: 3, cutoff: 3.0 }),
    ];
    for kind in Registry::default().kinds() {
        let is_there = subjects.iter().any(|subject| subject.architecture.kind() == kind);
        assert!(is_there, "every_subject: kind `{kind}` is registered but not put through the suite");
    }
    subjects
}
