//! The config file: TOML, read strictly, filled with documented defaults, validated.
//!
//! [`Config::load`] reads a file and `--set` overrides into [`Config`], in which every key has a
//! value; [`Config::to_toml`] writes it back as the run directory's `config.toml`.

mod changes;
mod elements;
pub(crate) mod freeze;
mod load;
mod presets;
mod references;
mod sections;
mod spot;
mod start_from;

pub use changes::settings_of;
pub use elements::{ElementList, Elements};
pub use references::{ReferenceEnergies, ReferenceOrigin};
pub use sections::{
    Config, DataConfig, HeadSharing, Leakage, LogFormat, ModelConfig, OverBudget, ParallelConfig, Preset, Resident,
    RunConfig, SourceConfig, TrainConfig,
};
