//! How often each of several sources is drawn from.

use serde::{Deserialize, Serialize};

use crate::epoch_order;

/// What decides how often a source is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Sampling {
    /// Its size: each structure is met once in an epoch.
    #[default]
    Size,
    /// The weights that sources are given.
    Weights,
    /// Its size to the power of one over this: 1 is by size, and large values draw from all sources alike.
    Temperature(f64),
}

/// Samples of several sources, one source behind the other, and the order in which they are met. An epoch has as many as there
/// are samples, whatever the shares of the sources.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// Samples of each source.
    counts: Vec<usize>,
    /// How many samples of each source are met in an epoch; `None` where each is met once.
    quotas: Option<Vec<usize>>,
}

impl Mixture {
    /// Sources with so many samples and these weights.
    ///
    /// # Panics
    /// If there are not as many weights as sources.
    pub fn new(sampling: Sampling, counts: &[usize], weights: &[f64]) -> Self {
        assert_eq!(counts.len(), weights.len(), "Mixture: sources and weights");
        let of = |count: usize, weight: f64| match sampling {
            _ if count == 0 => 0.0,
            Sampling::Size => count as f64,
            Sampling::Weights => weight,
            Sampling::Temperature(temperature) => (count as f64).powf(1.0 / temperature),
        };
        let shares: Vec<f64> = counts.iter().zip(weights).map(|(&count, &weight)| of(count, weight)).collect();
        let quotas = (sampling != Sampling::Size).then(|| quotas(&shares, counts.iter().sum()));
        Self { counts: counts.to_vec(), quotas }
    }

    /// Samples that each are met once.
    pub fn of(count: usize) -> Self {
        Self { counts: vec![count], quotas: None }
    }

    /// How many samples of each source are met in an epoch.
    pub fn quotas(&self) -> &[usize] {
        self.quotas.as_deref().unwrap_or(&self.counts)
    }

    /// The samples of an epoch in the order in which they are met, the same for the same seed on every machine. A source goes
    /// on in each epoch where the last one ended, and no sample of it is met again before all have been.
    pub fn order(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let total = self.counts.iter().sum();
        let order = epoch_order(seed, epoch, total);
        let Some(quotas) = &self.quotas else { return order };
        let mut drawn = Vec::with_capacity(total);
        let mut first = 0;
        for (source, (&count, &quota)) in self.counts.iter().zip(quotas).enumerate() {
            let own = seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(source as u64 + 1));
            let (mut round, mut place) = (usize::MAX, Vec::new());
            for position in (epoch * quota..).take(quota) {
                if position / count != round {
                    round = position / count;
                    place = epoch_order(own, round, count);
                }
                drawn.push(first + place[position % count]);
            }
            first += count;
        }
        order.into_iter().map(|place| drawn[place]).collect()
    }
}

/// Whole numbers in proportion to shares that add up to `total`: what is left by rounding down goes to the largest rests.
fn quotas(shares: &[f64], total: usize) -> Vec<usize> {
    let sum: f64 = shares.iter().sum();
    if sum <= 0.0 {
        return vec![0; shares.len()];
    }
    let exact: Vec<f64> = shares.iter().map(|share| share / sum * total as f64).collect();
    let mut quotas: Vec<usize> = exact.iter().map(|quota| quota.floor() as usize).collect();
    let mut by_rest: Vec<usize> = (0..shares.len()).filter(|&source| shares[source] > 0.0).collect();
    by_rest.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let left = total.saturating_sub(quotas.iter().sum());
    by_rest.iter().cycle().take(left).for_each(|&source| quotas[source] += 1);
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_what_is_asked_for() {
        let quotas = |sampling, weights: [f64; 3]| Mixture::new(sampling, &[900, 90, 10], &weights).quotas().to_vec();
        assert_eq!(quotas(Sampling::Size, [1.0; 3]), [900, 90, 10]);
        assert_eq!(quotas(Sampling::Weights, [1.0, 1.0, 2.0]), [250, 250, 500]);
        assert_eq!(quotas(Sampling::Weights, [1.0, 0.0, 0.0]), [1000, 0, 0]);
        assert_eq!(quotas(Sampling::Temperature(1.0), [1.0; 3]), [900, 90, 10]);
        // Square roots: 30, 9.49, 3.16.
        assert_eq!(quotas(Sampling::Temperature(2.0), [1.0; 3]), [703, 223, 74]);
        let even = quotas(Sampling::Temperature(1e9), [1.0; 3]);
        assert!(even.iter().all(|quota| (333..=334).contains(quota)) && even.iter().sum::<usize>() == 1000);
        assert_eq!(Mixture::new(Sampling::Temperature(2.0), &[4, 0], &[1.0; 2]).quotas(), [4, 0]);
    }

    #[test]
    fn no_sample_is_met_again_before_all_have_been() {
        let mixture = Mixture::new(Sampling::Weights, &[6, 4], &[1.0, 4.0]);
        assert_eq!(mixture.quotas(), [2, 8]);
        // Three epochs are one round of the first source and six of the second.
        let mut met = [0; 10];
        for epoch in 0..3 {
            let order = mixture.order(7, epoch);
            assert_eq!(order.len(), 10);
            order.iter().for_each(|&sample| met[sample] += 1);
            assert_eq!(order.iter().filter(|&&sample| sample < 6).count(), 2);
        }
        assert_eq!(met, [1, 1, 1, 1, 1, 1, 6, 6, 6, 6]);
        assert_eq!(mixture.order(7, 1), mixture.order(7, 1));
        assert_ne!(mixture.order(7, 1), mixture.order(8, 1));
        let by_size = Mixture::new(Sampling::Size, &[6, 4], &[1.0, 4.0]);
        assert_eq!(by_size.order(3, 2), epoch_order(3, 2, 10));
    }

    #[test]
    fn sampling_is_written_as_a_word_or_a_table() {
        let read = |text: &str| serde_json::from_str::<Sampling>(text);
        assert_eq!(read("\"size\"").unwrap(), Sampling::Size);
        assert_eq!(read("\"weights\"").unwrap(), Sampling::Weights);
        assert_eq!(read("{\"temperature\": 2.0}").unwrap(), Sampling::Temperature(2.0));
        assert!(read("\"sizes\"").is_err());
    }
}
