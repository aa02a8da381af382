//! File formats: each module knows how a format is written, and nothing of what its numbers mean.

pub mod extxyz;
