//! Weights as safetensors, readable from Python: one f32 tensor per parameter under its module path,
//! and the model's description as JSON under `isograd` in the header.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_engine::Spec;
use isograd_engine::zero::View;
use isograd_models::{GraphBackend, Registry};
use isograd_ops::value::EdgeWork;
use isograd_tasks::{ModelInfo, Trained};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, View as TensorView, serialize_to_file};

use super::atomic;
use crate::tensor_file::{HEADER, TensorFile};
use crate::{Error, Result};

/// A tensor to be written, which is fetched and copied to the host when its turn has come.
pub(super) struct LazyTensor<'a, B: Backend> {
    pub(super) name: String,
    pub(super) shape: &'a [usize],
    pub(super) values: Box<dyn Fn() -> Tensor<B, 1> + 'a>,
}

impl<B: Backend> TensorView for LazyTensor<'_, B> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = (self.values)().into_data().convert::<f32>();
        let values = data.iter::<f32>().flat_map(f32::to_le_bytes);
        Cow::Owned(values.collect())
    }

    fn data_len(&self) -> usize {
        size_of::<f32>() * self.shape.iter().product::<usize>()
    }
}

/// Writes tensors and one text for the header, all or nothing: nothing if `fetched` is an error afterwards.
pub(super) fn save<'a, B: Backend>(
    path: &Path,
    tensors: impl Iterator<Item = LazyTensor<'a, B>>,
    header: Option<&str>,
    fetched: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let views = tensors.map(|tensor| (tensor.name.clone(), tensor));
    let header = header.map(|text| HashMap::from([(HEADER.to_owned(), text.to_owned())]));
    atomic::write_file_with(path, |temporary| {
        serialize_to_file(views, header, temporary).map_err(|error| match error {
            SafeTensorError::IoError(error) => Error::io(path, "write")(error),
            error => Error::Internal(format!("writing safetensors: {error}")),
        })?;
        fetched()
    })
}

/// Writes a model, weights and description in one file. All ranks call it, and the first one writes; weights of
/// which ranks have pieces are gathered a block at a time.
///
/// # Errors
/// [`Error::Io`], [`Error::Ranks`].
pub fn save_model<B: Backend>(path: &Path, weights: &View<'_, B>, info: &ModelInfo) -> Result<()> {
    let layout = weights.layout();
    let order = layout.by_path();
    let mut blocks: Vec<usize> = order.iter().map(|&parameter| layout.block_of(parameter)).collect();
    blocks.dedup();
    if !weights.is_first() {
        // The first rank needs this one's pieces.
        let taken = if weights.is_cut() { blocks } else { Vec::new() };
        return taken.into_iter().try_for_each(|block| Ok(weights.block(block).map(|_| ())?));
    }
    let header =
        serde_json::to_string(info).map_err(|error| Error::Internal(format!("describing a model: {error}")))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    }
    let fetch = RefCell::new(Fetch { weights, blocks: blocks.into(), current: None, failed: None });
    let tensors = order.into_iter().map(|position| {
        let Spec { path, shape, .. } = &layout.parameters()[position];
        let fetch = &fetch;
        LazyTensor { name: path.clone(), shape, values: Box::new(move || fetch.borrow_mut().parameter(position)) }
    });
    save(path, tensors, Some(&header), || fetch.borrow_mut().failed.take().map_or(Ok(()), Err))
}

/// Parameters one after the other, of which those of one block are held.
struct Fetch<'a, B: Backend> {
    weights: &'a View<'a, B>,
    /// Blocks to come, which other ranks gather in the same order.
    blocks: VecDeque<usize>,
    current: Option<(usize, Vec<Tensor<B, 1>>)>,
    failed: Option<Error>,
}

impl<B: Backend> Fetch<'_, B> {
    /// A parameter; nothing of use once anything has failed.
    fn parameter(&mut self, position: usize) -> Tensor<B, 1> {
        let layout = self.weights.layout();
        let block = layout.block_of(position);
        if self.failed.is_none()
            && self.current.as_ref().is_none_or(|(current, _)| *current != block)
            && let Err(error) = self.turn_to(block)
        {
            self.failed = Some(error);
        }
        let found = self.current.as_ref().filter(|_| self.failed.is_none());
        let found = found.and_then(|(_, values)| values.get(position - layout.block(block).start).cloned());
        found.unwrap_or_else(|| Tensor::zeros([layout.parameters()[position].size()], &Default::default()))
    }

    fn turn_to(&mut self, block: usize) -> Result<()> {
        // The last one's memory is free before this one's is taken.
        self.current = None;
        if self.blocks.pop_front() != Some(block) {
            return Err(Error::Internal("tensors are not written in the order of their names".into()));
        }
        self.current = Some((block, self.weights.block(block)?));
        Ok(())
    }
}

/// Reads a trained model to a device.
///
/// # Errors
/// [`Error::Run`] if the file is damaged or not a model, [`Error::Io`] if it cannot be read.
pub fn load_model<B: GraphBackend>(path: &Path, registry: &Registry, device: &B::Device) -> Result<Trained<B>> {
    let mut file = TensorFile::open(path)?;
    let info = file.describe()?;
    let model = info
        .build(registry, EdgeWork::default())
        .map_err(|invalid| Error::run(path, format!("describes a model whose {invalid}")))?;
    let layout = model.layout(1);
    let weights = layout.parameters().iter().map(|spec| file.parameter(spec, device)).collect::<Result<_>>()?;
    Ok(Trained { model, layout, weights, info: Arc::new(info) })
}
