//! What happens when memory runs out: a message that says what would fit, instead of an abort.

use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, OnceLock, PoisonError};

use isograd::train::{Error, Result};

/// What the user is told beside the fact; set before the work begins.
static ADVICE: OnceLock<String> = OnceLock::new();

/// What a device said when it refused.
static REFUSAL: Mutex<Option<String>> = Mutex::new(None);

/// What to say if memory runs out from now on.
pub(crate) fn advise(text: String) {
    // Only the first work of a process is advised on, and there is one.
    let _ = ADVICE.set(text);
}

fn advice() -> &'static str {
    ADVICE.get().map_or("a smaller batch or model, or recomputation of activations, needs less", String::as_str)
}

/// Ends the process; called by the allocator when the system has no more for it, so nothing is allocated.
pub(crate) fn exhausted(bytes: usize) {
    let mut error = std::io::stderr();
    // If even that cannot be said, the exit code must do.
    let _ = writeln!(error, "error: out of memory: {bytes} bytes were refused; {}", advice());
    std::process::exit(1);
}

/// Does work in which a GPU may refuse memory, which its backend answers with a panic, often of another thread.
///
/// # Errors
/// Those of the work, or [`Error::Memory`].
///
/// # Panics
/// If the work panics for any other reason.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        let mut refusal = REFUSAL.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = text.lines().find(|line| is_refusal(line)) {
            refusal.get_or_insert_with(|| line.trim().to_owned());
        }
        // Other threads stumble over the first one's end.
        if refusal.is_none() {
            drop(refusal);
            usual(info);
        }
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    let _ = panic::take_hook();
    match (outcome, REFUSAL.lock().unwrap_or_else(PoisonError::into_inner).take()) {
        (Ok(Ok(done)), _) => Ok(done),
        (Ok(outcome), None) => outcome,
        // An error after a refusal follows from it.
        (Ok(Err(_)) | Err(_), Some(refusal)) => {
            let refusal = refusal.rsplit("Err` value: ").next().unwrap_or_default().to_owned();
            Err(Error::Memory(format!("{refusal}; {}", advice())))
        }
        (Err(panic), None) => panic::resume_unwind(panic),
    }
}

/// Whether a backend's words are about memory: those of cubecl, wgpu and CUDA.
fn is_refusal(line: &str) -> bool {
    let line = line.to_lowercase();
    let words = ["can't allocate buffer", "out of memory", "out_of_memory", "not enough memory", "buffertoobig"];
    words.iter().any(|word| line.contains(word))
}
