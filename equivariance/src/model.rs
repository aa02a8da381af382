//! A model as the harness sees it: host arrays in, host arrays out.

use crate::{Description, Precision, System};

/// Why a model did not answer.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The outputs of one system, in the order of [`Description::outputs`], each row after row.
pub type Outputs = Vec<Vec<f64>>;

/// Anything that can be checked.
pub trait Model {
    /// What it reads and returns.
    fn describe(&self) -> Description;

    /// Evaluates systems together, as one batch where it has such a thing; one answer per system.
    ///
    /// # Errors
    /// Whatever keeps the model from answering; the report shows it.
    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure>;

    /// The same with its edges (or whatever it sums over) in an order that `seed` decides. `None`
    /// where the model offers no such thing: then edge permutations are not checked.
    fn evaluate_shuffled(&self, _batch: &[System], _seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        None
    }

    /// [`evaluate`](Self::evaluate) in double precision: for the noise floor of a model in single precision, for the
    /// energies whose differences its forces and stresses are held against, and for cases that single precision cannot
    /// decide. `None` where the model offers no such thing.
    fn evaluate_f64(&self, _batch: &[System]) -> Option<Result<Vec<Outputs>, Failure>> {
        None
    }

    /// [`evaluate_shuffled`](Self::evaluate_shuffled) in double precision. `None` where the model offers no such thing.
    fn evaluate_shuffled_f64(&self, _batch: &[System], _seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        None
    }
}

impl<M: Model + ?Sized> Model for &M {
    fn describe(&self) -> Description {
        (**self).describe()
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        (**self).evaluate(batch)
    }

    fn evaluate_shuffled(&self, batch: &[System], seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        (**self).evaluate_shuffled(batch, seed)
    }

    fn evaluate_f64(&self, batch: &[System]) -> Option<Result<Vec<Outputs>, Failure>> {
        (**self).evaluate_f64(batch)
    }

    fn evaluate_shuffled_f64(&self, batch: &[System], seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        (**self).evaluate_shuffled_f64(batch, seed)
    }
}

/// The twin in double precision of a model that has one.
pub(crate) struct Twin<'a, M: ?Sized>(pub(crate) &'a M);

impl<M: Model + ?Sized> Model for Twin<'_, M> {
    fn describe(&self) -> Description {
        Description { precision: Precision::F64, ..self.0.describe() }
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        self.0.evaluate_f64(batch).unwrap_or_else(|| Err("the model has no double precision".into()))
    }

    fn evaluate_shuffled(&self, batch: &[System], seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        self.0.evaluate_shuffled_f64(batch, seed)
    }
}

/// A closure from one system to its outputs, as a model. What `description` says of batches is
/// overruled: such a model has none.
pub fn from_fn<F: Fn(&System) -> Outputs>(description: Description, function: F) -> impl Model {
    FromFn { description: Description { batched: false, ..description }, function }
}

struct FromFn<F> {
    description: Description,
    function: F,
}

impl<F: Fn(&System) -> Outputs> Model for FromFn<F> {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        Ok(batch.iter().map(&self.function).collect())
    }
}

/// A closure from several systems to their outputs, as a model that evaluates batches.
pub fn from_batch_fn<F: Fn(&[System]) -> Vec<Outputs>>(description: Description, function: F) -> impl Model {
    FromBatchFn { description: description.batched(), function }
}

struct FromBatchFn<F> {
    description: Description,
    function: F,
}

impl<F: Fn(&[System]) -> Vec<Outputs>> Model for FromBatchFn<F> {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        Ok((self.function)(batch))
    }
}
