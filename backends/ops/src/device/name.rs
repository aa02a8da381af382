//! The names of devices on the command line and in config files: `cpu`, `wgpu:1`, `cuda`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::DeviceError;

/// The graphics interface under wgpu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphicsApi {
    /// What wgpu prefers on this operating system.
    Auto,
    /// Vulkan: Linux, Windows, Android.
    Vulkan,
    /// Metal: macOS, iOS.
    Metal,
}

/// A device, by name: `cpu`, `wgpu`, `vulkan`, `metal` or `cuda`, the last four with an optional
/// index as in `cuda:1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The processor, through burn-flex.
    Cpu,
    /// A GPU through wgpu. Without an index: the first real GPU, else a software driver.
    Wgpu {
        /// Which graphics interface.
        api: GraphicsApi,
        /// Position in the list that `isograd devices` prints.
        index: Option<usize>,
    },
    /// An NVIDIA GPU through CUDA.
    Cuda {
        /// CUDA's device ordinal.
        index: usize,
    },
}

impl DeviceName {
    /// The cargo feature that this device needs, if any.
    pub fn feature(&self) -> Option<&'static str> {
        match self {
            Self::Cpu => None,
            Self::Wgpu { .. } => Some("wgpu"),
            Self::Cuda { .. } => Some("cuda"),
        }
    }

    /// The device of one of the ranks of a node: they take its GPUs in turn, unless an index was given (other
    /// than that of `cuda:0`, which is `cuda`).
    pub fn of_rank(&self, local_rank: usize) -> Self {
        super::list::device_of_rank(self, local_rank)
    }
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::UnknownName(text.to_owned());
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, Some(index.parse().map_err(|_| unknown())?)),
            None => (text, None),
        };
        let wgpu = |api| Ok(Self::Wgpu { api, index });
        match kind {
            "cpu" if index.is_none() => Ok(Self::Cpu),
            "wgpu" => wgpu(GraphicsApi::Auto),
            "vulkan" => wgpu(GraphicsApi::Vulkan),
            "metal" => wgpu(GraphicsApi::Metal),
            "cuda" => Ok(Self::Cuda { index: index.unwrap_or(0) }),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Wgpu { api, index } => {
                f.write_str(match api {
                    GraphicsApi::Auto => "wgpu",
                    GraphicsApi::Vulkan => "vulkan",
                    GraphicsApi::Metal => "metal",
                })?;
                index.map_or(Ok(()), |index| write!(f, ":{index}"))
            }
            Self::Cuda { index: 0 } => f.write_str("cuda"),
            Self::Cuda { index } => write!(f, "cuda:{index}"),
        }
    }
}

impl TryFrom<String> for DeviceName {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        text.parse()
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> String {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip() {
        for text in ["cpu", "wgpu", "wgpu:1", "vulkan", "metal:2", "cuda", "cuda:3"] {
            assert_eq!(text.parse::<DeviceName>().unwrap().to_string(), text);
        }
        assert_eq!("cuda:0".parse::<DeviceName>().unwrap(), DeviceName::Cuda { index: 0 });
    }

    #[test]
    fn nonsense_is_refused_with_the_choices() {
        for text in ["", "gpu", "cpu:1", "cuda:", "cuda:x", "wgpu:-1", "Wgpu"] {
            let message = text.parse::<DeviceName>().unwrap_err().to_string();
            assert!(message.contains("vulkan, metal or cuda"), "{message}");
        }
    }
}
