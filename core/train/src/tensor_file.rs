//! A file of weights (safetensors) that is open for reading: what it says of its model, and its tensors, of which one at a time
//! is read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use isograd_engine::Spec;
use isograd_tasks::ModelInfo;
use safetensors::tensor::{Dtype, Metadata};

use crate::{Error, Result};

/// The header key of the description.
pub(crate) const HEADER: &str = "isograd";

/// Where a run directory has its best weights.
pub(crate) fn best_weights(root: &Path) -> PathBuf {
    root.join("best").join("model.safetensors")
}

/// The best weights of a run directory, or the file itself.
///
/// # Errors
/// [`Error::Run`] where a directory has none.
pub(crate) fn weights_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let file = best_weights(path);
    if file.exists() {
        return Ok(file);
    }
    Err(Error::run(path, "has no best/model.safetensors: the run has not reached its first validation"))
}

/// An open file, of whose tensors one at a time is read.
pub(crate) struct TensorFile {
    path: PathBuf,
    file: File,
    /// Where tensors begin.
    start: u64,
    metadata: Metadata,
}

impl TensorFile {
    /// Reads the header, and checks that the file is whole.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let damaged = |why: String| Error::run(path, format!("is not a safetensors file, or is damaged: {why}"));
        let mut file = File::open(path).map_err(Error::io(path, "read"))?;
        let size = file.metadata().map_err(Error::io(path, "read"))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| damaged("it is shorter than its header".into()))?;
        let start = u64::from_le_bytes(length).saturating_add(8);
        if start > size {
            return Err(damaged("it is shorter than its header".into()));
        }
        let mut header = vec![0; start as usize - 8];
        file.read_exact(&mut header).map_err(Error::io(path, "read"))?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
        let expected = start + metadata.data_len() as u64;
        if size != expected {
            return Err(damaged(format!("it has {size} bytes, its header speaks of {expected}")));
        }
        Ok(Self { path: path.to_owned(), file, start, metadata })
    }

    /// The text in the header.
    pub(crate) fn header(&self) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(HEADER).map(String::as_str)
    }

    /// What it says of its model.
    ///
    /// # Errors
    /// [`Error::Run`] where it says nothing, or what cannot be read.
    pub(crate) fn describe(&self) -> Result<ModelInfo> {
        let wrong = |message: String| Error::run(&self.path, message);
        let header = self
            .header()
            .ok_or_else(|| wrong("has no `isograd` entry in its header: it is no trained model".into()))?;
        serde_json::from_str(header).map_err(|error| wrong(format!("has a description that cannot be read: {error}")))
    }

    /// The names of its tensors.
    pub(crate) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// The shape of a tensor, if there is one of this name.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.metadata.info(name).map(|info| info.shape.as_slice())
    }

    /// Whether a tensor has a name that begins so.
    pub(crate) fn has(&self, prefix: &str) -> bool {
        self.metadata.offset_keys().iter().any(|name| name.starts_with(prefix))
    }

    /// Some values of a tensor of this shape.
    pub(crate) fn read(&mut self, name: &str, shape: &[usize], range: Range<usize>) -> Result<Vec<f32>> {
        let wrong = |message: String| Error::run(&self.path, message);
        let info = self.metadata.info(name).ok_or_else(|| wrong(format!("lacks the tensor `{name}`")))?;
        if info.dtype != Dtype::F32 {
            return Err(wrong(format!("tensor `{name}` is {:?}, expected F32", info.dtype)));
        }
        if info.shape != shape {
            return Err(wrong(format!("tensor `{name}` is {:?}, the model's is {shape:?}", info.shape)));
        }
        let size = size_of::<f32>();
        let mut bytes = vec![0; size * range.len()];
        let place = SeekFrom::Start(self.start + (info.data_offsets.0 + size * range.start) as u64);
        let read = self.file.seek(place).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(Error::io(&self.path, "read"))?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }

    /// A whole parameter on a device.
    pub(crate) fn parameter<B: Backend>(&mut self, spec: &Spec, device: &B::Device) -> Result<Tensor<B, 1>> {
        let values = self.read(&spec.path, &spec.shape, 0..spec.size())?;
        Ok(Tensor::from_data(TensorData::new(values, [spec.size()]), device))
    }
}
