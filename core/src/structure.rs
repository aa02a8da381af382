//! Structure files: how they are read, converted, checked and written.

pub mod audit;
mod compressed;
pub mod extxyz;
mod source;

pub use compressed::open;
pub use source::{Keys, Source};
