//! The real program, as people use it: a file for each thing that it is used for.
//!
//! One test binary, because what is linked once takes a fraction of the time. What needs a process of its own, a GPU or MPI has a file
//! beside this folder.

#[path = "../common/mod.rs"]
mod common;

mod audit;
mod commands;
mod compare;
mod fine_tuning;
mod first_hour;
mod held_out;
mod labels;
mod logs;
#[cfg(target_os = "linux")]
mod processes;
mod ranks;
mod resume;
mod sources;
mod store;
mod tasks;
mod uncertainty;
