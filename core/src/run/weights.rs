//! Weights as safetensors, readable from Python: one f32 tensor per parameter under its module path,
//! and the potential's description as JSON under `isograd` in the header.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::atomic::write_file;
use crate::model::{self, Egnn, Parameter};
use crate::train::{Potential, PotentialInfo};
use crate::{Error, Result};

/// The header key of the description.
const HEADER: &str = "isograd";

/// A tensor on the host with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Its name in the file.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values in row-major order.
    pub values: Vec<f32>,
}

impl NamedTensor {
    /// Copies a parameter to the host.
    ///
    /// # Errors
    /// [`Error::Internal`] if the backend does not hold f32.
    pub fn from_parameter<B: Backend>(parameter: &Parameter<B>) -> Result<Self> {
        let values = parameter.values.to_data().into_vec::<f32>();
        let values = values.map_err(|error| Error::Internal(format!("reading {}: {error:?}", parameter.path)))?;
        Ok(Self { name: parameter.path.clone(), shape: parameter.shape.clone(), values })
    }
}

/// Writes tensors and one text for the header, all or nothing.
pub(super) fn save(path: &Path, tensors: &[NamedTensor], header: Option<&str>) -> Result<()> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let internal = |error: safetensors::SafeTensorError| Error::Internal(format!("writing safetensors: {error}"));
    let mut views = Vec::with_capacity(tensors.len());
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(internal)?;
        views.push((tensor.name.as_str(), view));
    }
    let header = header.map(|text| HashMap::from([(HEADER.to_owned(), text.to_owned())]));
    write_file(path, &serialize(views, header).map_err(internal)?)
}

/// Reads tensors by name, and the header text.
pub(super) fn load(path: &Path) -> Result<(HashMap<String, NamedTensor>, Option<String>)> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read"))?;
    let damaged = |error: safetensors::SafeTensorError| {
        Error::run(path, format!("is not a safetensors file, or is damaged: {error}"))
    };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let header = metadata.metadata().as_ref().and_then(|map| map.get(HEADER)).cloned();
    let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let mut tensors = HashMap::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::run(path, format!("tensor `{name}` is {:?}, expected F32", view.dtype())));
        }
        let values = view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let tensor = NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values };
        tensors.insert(name.to_owned(), tensor);
    }
    Ok((tensors, header))
}

/// Values for every parameter of a model, in its order, from named tensors.
pub(super) fn arrange<B: Backend>(
    path: &Path,
    prefix: &str,
    parameters: &[Parameter<B>],
    tensors: &mut HashMap<String, NamedTensor>,
) -> Result<Vec<Tensor<B, 1>>> {
    let find = |parameter: &Parameter<B>| {
        let name = format!("{prefix}{}", parameter.path);
        let tensor = tensors.remove(&name).ok_or_else(|| Error::run(path, format!("lacks the tensor `{name}`")))?;
        if tensor.shape != parameter.shape {
            let message = format!("tensor `{name}` is {:?}, the model's is {:?}", tensor.shape, parameter.shape);
            return Err(Error::run(path, message));
        }
        let data = TensorData::new(tensor.values, [parameter.shape.iter().product::<usize>()]);
        Ok(Tensor::from_data(data, &parameter.values.device()))
    };
    parameters.iter().map(find).collect()
}

/// Writes a potential: weights and description in one file.
///
/// # Errors
/// [`Error::Io`].
pub fn save_potential<B: Backend>(path: &Path, parameters: &[Parameter<B>], info: &PotentialInfo) -> Result<()> {
    let tensors: Vec<NamedTensor> = parameters.iter().map(NamedTensor::from_parameter).collect::<Result<_>>()?;
    let header =
        serde_json::to_string(info).map_err(|error| Error::Internal(format!("describing a potential: {error}")))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    }
    save(path, &tensors, Some(&header))
}

/// Reads a potential to a device.
///
/// # Errors
/// [`Error::Run`] if the file is damaged or not a potential, [`Error::Io`] if it cannot be read.
pub fn load_potential<B: Backend>(path: &Path, device: &B::Device) -> Result<Potential<B>> {
    let (mut tensors, header) = load(path)?;
    let header =
        header.ok_or_else(|| Error::run(path, "has no `isograd` entry in its header: it is not a potential"))?;
    let info: PotentialInfo = serde_json::from_str(&header)
        .map_err(|error| Error::run(path, format!("has a description that cannot be read: {error}")))?;
    info.model
        .validate()
        .map_err(|(key, message)| Error::run(path, format!("describes a model whose {key} {message}")))?;
    let model = Egnn::<B>::new(&info.model, 0, device);
    let values = arrange(path, "", &model::read(&model), &mut tensors)?;
    Ok(Potential { model: model::write(model, &values), info: Arc::new(info) })
}
