//! What a config takes over from the model that training starts from, where it does not say itself what is trained.

use std::path::Path;

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::tensor_file::{TensorFile, weights_file};
use crate::{Error, Result};

/// Puts the model of `train.start_from` into a config that names no kind of model: its hyper-parameters, and where forces come
/// from. What the config says of them wins.
///
/// # Errors
/// Where there is no such model.
pub(super) fn apply(config: &mut Table) -> Result<()> {
    let start = config.get("train").and_then(|train| train.get("start_from")).and_then(Value::as_str);
    let Some(start) = start.map(str::to_owned) else { return Ok(()) };
    let model = config.entry("model").or_insert_with(|| Value::Table(Table::new()));
    let Some(model) = model.as_table_mut().filter(|model| !model.contains_key("kind")) else { return Ok(()) };
    let trunk = TensorFile::open(&weights_file(Path::new(&start))?)?.describe()?.model;
    let internal = |error: toml::ser::Error| Error::Internal(format!("the model of {start}: {error}"));
    let mut own = Table::new();
    own.insert("kind".into(), Value::String(trunk.kind));
    own.insert("forces".into(), Value::try_from(trunk.forces).map_err(internal)?);
    if let Json::Object(options) = trunk.options {
        for (key, value) in options.into_iter().filter(|(_, value)| !value.is_null()) {
            own.insert(key, Value::try_from(value).map_err(internal)?);
        }
    }
    own.extend(std::mem::take(model));
    *model = own;
    Ok(())
}
