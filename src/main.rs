//! The `isograd` command: parses arguments, calls the library, prints. Nothing else prints.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the program that prints")]

mod cli;

#[global_allocator]
static ALLOCATOR: isograd::ops::memory::CountingAllocator = isograd::ops::memory::CountingAllocator;

fn main() -> std::process::ExitCode {
    ALLOCATOR.keep_freed_memory();
    cli::main()
}
