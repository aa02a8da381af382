//! The formats that are read where a program names no others.

use crate::formats::{Database, DeepMd, Formats, Hdf5, Json, Lmdb, Npz, Oc20, Outcar, Parquet, Trajectory, VaspRun};
use crate::store::PackedStore;

impl Default for Formats {
    /// All formats of this crate. Extended XYZ stands for whatever none has recognised.
    fn default() -> Self {
        let text = Self::extended_xyz().with(Oc20).with(Outcar).with(VaspRun).with(Json);
        let tables = text.with(Parquet).with(Npz).with(DeepMd);
        tables.with(Database).with(Trajectory).with(Lmdb).with(Hdf5).with(PackedStore)
    }
}
