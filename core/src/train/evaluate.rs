//! Predictions and errors of a model over a data set, in batches within the budget.

use std::collections::HashMap;
use std::sync::Arc;

use isograd_backends::message::MessageBackend;
use isograd_data::{Budget, Loader, pack};

use super::dataset::Dataset;
use super::metrics::Tally;
use crate::graph::{GraphBatch, HostBatch};
use crate::model::Predictor;
use crate::{Error, Result};

/// What a model says about one structure.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// Position of the structure in the data set.
    pub index: usize,
    /// Total energy in eV, reference energies included.
    pub energy: f64,
    /// Forces in eV/angstrom, one per atom.
    pub forces: Vec<[f64; 3]>,
}

/// Predicts structures of a data set, in the order they are named in, and hands each to `found`.
///
/// # Errors
/// Those of the data set and of the model, and what `found` returns.
pub fn predict<B: MessageBackend<FloatElem = f32>>(
    model: &impl Predictor<B>,
    dataset: &Arc<Dataset>,
    members: &[usize],
    budget: Budget,
    workers: usize,
    device: &B::Device,
    mut found: impl FnMut(Predicted) -> Result<()>,
) -> Result<()> {
    let place: HashMap<usize, usize> = members.iter().enumerate().map(|(place, &index)| (index, place)).collect();
    let source = dataset.clone();
    let make = Arc::new(move |members: &[usize]| source.batch(members));
    for batch in Loader::new(make, pack(members, &dataset.sizes, budget), workers) {
        let batch = batch?;
        let mut predicted = predict_batch(model, &batch, device)?;
        // Graphs of a batch are ordered by head; give them back in the order that was asked for.
        predicted.sort_by_key(|predicted| place.get(&predicted.index).copied());
        for mut predicted in predicted {
            predicted.energy += dataset.reference_energy(predicted.index);
            found(predicted)?;
        }
    }
    Ok(())
}

/// Predictions of one batch, energies without references.
fn predict_batch<B: MessageBackend<FloatElem = f32>>(
    model: &impl Predictor<B>,
    batch: &HostBatch,
    device: &B::Device,
) -> Result<Vec<Predicted>> {
    let elements = model.shape().config.elements.len();
    let prediction = model.predict(&GraphBatch::new(batch, elements, device))?;
    let host = |data: burn::tensor::TensorData| {
        data.into_vec::<f32>().map_err(|error| Error::Internal(format!("reading a prediction: {error:?}")))
    };
    let energies = host(prediction.energies.into_data())?;
    let forces = host(prediction.forces.into_data())?;
    let mut rows = forces.as_chunks::<3>().0.iter().map(|row| row.map(f64::from));
    Ok(batch
        .members
        .iter()
        .zip(&batch.sizes)
        .zip(energies)
        .map(|((&index, &size), energy)| Predicted {
            index,
            energy: f64::from(energy),
            forces: rows.by_ref().take(size).collect(),
        })
        .collect())
}

/// The errors of a model on labelled structures of a data set.
///
/// # Errors
/// Those of the data set and of the model.
pub fn evaluate<B: MessageBackend<FloatElem = f32>>(
    model: &impl Predictor<B>,
    dataset: &Arc<Dataset>,
    members: &[usize],
    budget: Budget,
    workers: usize,
    device: &B::Device,
) -> Result<Tally> {
    let mut tally = empty_tally(dataset);
    predict(model, dataset, members, budget, workers, device, |predicted| {
        add(&mut tally, dataset, &predicted);
        Ok(())
    })?;
    Ok(tally)
}

/// The errors of predicting reference energies and zero forces.
pub fn baseline(dataset: &Dataset) -> Tally {
    let mut tally = empty_tally(dataset);
    for index in 0..dataset.len() {
        let energy = dataset.reference_energy(index);
        let forces = vec![[0.0; 3]; dataset.structures[index].len()];
        add(&mut tally, dataset, &Predicted { index, energy, forces });
    }
    tally
}

fn empty_tally(dataset: &Dataset) -> Tally {
    Tally::new(dataset.sizes.iter().map(|sizes| 3 * sizes.atoms).sum())
}

fn add(tally: &mut Tally, dataset: &Dataset, predicted: &Predicted) {
    let structure = &dataset.structures[predicted.index];
    let reference = dataset.reference_energy(predicted.index);
    if let Some(energy) = structure.energy {
        tally.add_energy(energy - reference, predicted.energy - reference, structure.len());
    }
    for (label, &prediction) in structure.forces.iter().flatten().zip(&predicted.forces) {
        tally.add_force(*label, prediction);
    }
}
