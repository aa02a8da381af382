//! What ranks tell each other beside tensors, so that each decision is made once and obeyed by all.

use burn::tensor::backend::Backend;
use isograd_comm::Communicator;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The values of all ranks, by rank.
///
/// # Errors
/// [`Error::Ranks`].
pub fn all<B, T>(comm: &dyn Communicator<B>, own: &T) -> Result<Vec<T>>
where
    B: Backend,
    T: Serialize + for<'a> Deserialize<'a>,
{
    let internal = |error: serde_json::Error| Error::Internal(format!("what ranks tell each other: {error}"));
    let own = serde_json::to_vec(own).map_err(internal)?;
    comm.gather_bytes(own)?.iter().map(|bytes| serde_json::from_slice(bytes).map_err(internal)).collect()
}

/// The value of the first rank.
///
/// # Errors
/// [`Error::Ranks`].
pub fn first<B, T>(comm: &dyn Communicator<B>, own: &T) -> Result<T>
where
    B: Backend,
    T: Serialize + for<'a> Deserialize<'a>,
{
    Ok(all(comm, own)?.swap_remove(0))
}

/// Numbers of all ranks, by rank, NaN and infinities included.
///
/// # Errors
/// [`Error::Ranks`].
pub fn numbers<B: Backend, const N: usize>(comm: &dyn Communicator<B>, own: [f64; N]) -> Result<Vec<[f64; N]>> {
    let own = own.iter().flat_map(|number| number.to_le_bytes()).collect();
    let read = |bytes: &[u8]| -> [f64; N] {
        let words = bytes.as_chunks::<8>().0;
        std::array::from_fn(|k| words.get(k).map_or(f64::NAN, |word| f64::from_le_bytes(*word)))
    };
    Ok(comm.gather_bytes(own)?.iter().map(|bytes| read(bytes)).collect())
}

/// Checks that all ranks were started with the same text of settings and the same data, of which they give a
/// hash.
///
/// # Errors
/// [`Error::Config`], on all ranks, naming the first rank that differs from rank 0, and in what.
pub fn same_start<B: Backend>(comm: &dyn Communicator<B>, settings: &str, data: &str) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let starts = all(comm, &[version, settings, data].map(str::to_owned))?;
    let [first_version, first_settings, first_data] = &starts[0];
    for (rank, [version, settings, data]) in starts.iter().enumerate() {
        let differs = |what: String| Err(Error::Config { place: format!("rank {rank}"), message: what });
        if version != first_version {
            return differs(format!("runs isograd {version}, rank 0 runs {first_version}; start the same program"));
        }
        if settings != first_settings {
            let (theirs, ours) = first_difference(settings, first_settings);
            return differs(format!(
                "was started with other settings: {theirs} instead of {ours} on rank 0; give all ranks the same config \
                 and flags"
            ));
        }
        if data != first_data {
            return differs(
                "has read other data than rank 0 from the files of the config; give all ranks the same files".into(),
            );
        }
    }
    Ok(())
}

/// The first lines that differ, with the section they are in.
fn first_difference(theirs: &str, ours: &str) -> (String, String) {
    let mut section = "";
    let mut lines = (theirs.lines(), ours.lines());
    loop {
        let (theirs, ours) = (lines.0.next(), lines.1.next());
        if theirs != ours || theirs.is_none() {
            let show = |line: Option<&str>| format!("`{}`", line.unwrap_or("nothing more"));
            let place = if section.is_empty() { String::new() } else { format!("{section} ") };
            return (format!("{place}{}", show(theirs)), show(ours));
        }
        if let Some(header) = theirs.filter(|line| line.starts_with('[')) {
            section = header;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use burn_flex::Flex;
    use isograd_comm::{Staged, spawn};

    #[test]
    fn ranks_that_were_started_differently_are_told_apart() {
        let start = |settings: fn(usize) -> String, data: fn(usize) -> String| -> Vec<String> {
            spawn(3, Duration::from_secs(60), |transport| {
                let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
                let rank = comm.rank();
                same_start(&comm, &settings(rank), &data(rank)).map_or_else(|e| e.to_string(), |()| String::new())
            })
        };
        let same = |_| "[train]\nseed = 0\n".to_owned();
        assert_eq!(start(same, same), ["", "", ""]);
        let seed = |rank| format!("[train]\nseed = {}\n", rank / 2);
        let expected = "rank 2: was started with other settings: [train] `seed = 1` instead of `seed = 0` on rank 0";
        assert!(start(seed, same).iter().all(|message| message.starts_with(expected)));
        assert!(start(same, seed).iter().all(|message| message.starts_with("rank 2: has read other data")));
    }

    #[test]
    fn numbers_need_not_be_finite() {
        let found = spawn(2, Duration::from_secs(60), |transport| {
            let comm = Staged::<Flex>::start(move || Ok(transport)).unwrap();
            numbers(&comm, [0.1 + comm.rank() as f64, f64::INFINITY]).unwrap()
        });
        assert_eq!(found[0], [[0.1, f64::INFINITY], [1.1, f64::INFINITY]]);
        assert_eq!(found[0], found[1]);
    }
}
