//! The configurations of the EGNN that tests go through.
#![allow(dead_code, unreachable_pub, clippy::print_stdout, reason = "each test file uses a part, and prints its seeds")]

use burn_ndarray::NdArray;
use isograd_backends::message::MessageBackend;
use isograd_core::model::{Basis, Egnn, EgnnConfig, Envelope, ForceHead, read, write};
use isograd_core::train::Checked;
use isograd_equivariance::{Description, Failure, Model, Outputs, Report, Settings, System, check};

type F64 = NdArray<f64>;

/// A small model with direct forces.
pub fn config() -> EgnnConfig {
    EgnnConfig {
        elements: ["H", "C", "O"].map(|symbol| symbol.parse().unwrap()).to_vec(),
        width: 8,
        layers: 3,
        cutoff: 3.0,
        basis: Basis::Bessel { size: 5 },
        envelope: Envelope::Polynomial,
        attention: false,
        coordinate_updates: false,
        forces: ForceHead::Direct,
        heads: 1,
        energy_scale: 0.4,
        force_scale: 1.3,
    }
}

/// Every kind of model that a config can ask for and that is meant to be smooth.
pub fn configs() -> Vec<(&'static str, EgnnConfig)> {
    vec![
        ("atomistic", config()),
        ("cosine", EgnnConfig { envelope: Envelope::Cosine, ..config() }),
        ("attention", EgnnConfig { attention: true, ..config() }),
        ("two heads", EgnnConfig { heads: 2, ..config() }),
        ("moving", EgnnConfig { coordinate_updates: true, ..config() }),
        ("squared", EgnnConfig { basis: Basis::SquaredDistance, coordinate_updates: true, ..config() }),
        ("displacement", EgnnConfig { coordinate_updates: true, forces: ForceHead::Displacement, ..config() }),
        ("everything", EgnnConfig { attention: true, heads: 2, coordinate_updates: true, ..config() }),
    ]
}

/// A model with its twin in double precision, for the noise floor.
struct WithTwin<'a, B: MessageBackend> {
    model: Checked<'a, B>,
    twin: Checked<'a, F64>,
}

impl<B: MessageBackend> Model for WithTwin<'_, B> {
    fn describe(&self) -> Description {
        self.model.describe()
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        self.model.evaluate(batch)
    }

    fn evaluate_shuffled(&self, batch: &[System], seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        self.model.evaluate_shuffled(batch, seed)
    }

    fn evaluate_f64(&self, batch: &[System]) -> Option<Result<Vec<Outputs>, Failure>> {
        Some(self.twin.evaluate(batch))
    }
}

/// The battery on a model with fresh weights; prints its seed and its worst row.
pub fn verified<B: MessageBackend>(name: &str, config: &EgnnConfig, cases: usize, device: &B::Device) -> Report {
    let model = Egnn::<B>::new(config, 11, device);
    let here = Default::default();
    let weights: Vec<_> = read(&model)
        .into_iter()
        .map(|parameter| burn::tensor::Tensor::from_data(parameter.values.into_data().convert::<f64>(), &here))
        .collect();
    let twin = write(Egnn::<F64>::new(config, 11, &here), &weights);
    let heads: Vec<String> = (0..config.heads).map(|head| head.to_string()).collect();
    let model = Checked::new(&model, heads.clone(), device);
    let settings = Settings { cases, batch: 256, ..Settings::default() };
    let report = check(&WithTwin { model, twin: Checked::new(&twin, heads, &here) }, &settings);
    let worst = report.worst.as_ref().unwrap();
    println!(
        "{name:<14} {:?} seed {}: worst {:.1e} = {:.1} noise floors, {} of {}",
        report.precision,
        report.seed,
        worst.error,
        worst.error / worst.noise_floor,
        worst.transformation,
        worst.output
    );
    report
}
