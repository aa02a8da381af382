//! The config file: TOML, read strictly, filled with documented defaults, validated.
//!
//! [`Config::load`] reads a file and `--set` overrides into [`Config`], in which every key has a
//! value; [`Config::to_toml`] writes it back as the run directory's `config.toml`.

mod changes;
mod elements;
mod load;
mod presets;
mod sections;
mod spot;

pub use elements::{ElementList, Elements};
pub use sections::{
    Config, DataConfig, HeadSharing, Leakage, ModelConfig, OverBudget, ParallelConfig, Preset, Resident, RunConfig,
    SourceConfig, TrainConfig,
};
