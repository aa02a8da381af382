//! The learning rate over the course of training.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The `[train.schedule]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// `cosine`, `plateau` or `constant`. Default `cosine`.
    pub kind: Schedule,
    /// Steps over which the rate rises linearly from zero. Default 100.
    pub warmup_steps: usize,
    /// Where `cosine` ends and what `plateau` never goes below, as a share of the peak. Default 0.01.
    pub final_fraction: f64,
    /// What `plateau` multiplies the rate by. Default 0.5.
    pub plateau_factor: f64,
    /// Validations without improvement before `plateau` does so. Default 10.
    pub plateau_patience: usize,
}

/// The shape of the schedule after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Half a cosine from the peak to the final share, over epochs or seconds.
    Cosine,
    /// Constant, cut by a factor whenever validation stops improving.
    Plateau,
    /// Constant.
    Constant,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            kind: Schedule::Cosine,
            warmup_steps: 100,
            final_fraction: 0.01,
            plateau_factor: 0.5,
            plateau_patience: 10,
        }
    }
}

impl ScheduleConfig {
    /// Checks the ranges of its keys.
    ///
    /// # Errors
    /// The key and what was expected.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !(0.0..=1.0).contains(&self.final_fraction) {
            return Err(("train.schedule.final_fraction", format!("is {}, expected 0 to 1", self.final_fraction)));
        }
        if !(self.plateau_factor > 0.0 && self.plateau_factor < 1.0) {
            let message = format!("is {}, expected above 0 and below 1", self.plateau_factor);
            return Err(("train.schedule.plateau_factor", message));
        }
        Ok(())
    }

    /// The learning rate as a share of the peak, at `step` (from 0) and `progress` (0 to 1) through
    /// training.
    pub fn share(&self, step: usize, progress: f64, plateau: &Plateau) -> f64 {
        let warmup = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        let shape = match self.kind {
            Schedule::Cosine => {
                let cosine = 0.5 * (1.0 + (PI * progress.clamp(0.0, 1.0)).cos());
                self.final_fraction + (1.0 - self.final_fraction) * cosine
            }
            Schedule::Plateau => plateau.share,
            Schedule::Constant => 1.0,
        };
        warmup * shape
    }
}

/// What a plateau schedule remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    share: f64,
    best: Option<f64>,
    waited: usize,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { share: 1.0, best: None, waited: 0 }
    }
}

impl Plateau {
    /// Takes a validation score (lower is better) into account.
    pub fn observe(&mut self, config: &ScheduleConfig, score: f64) {
        if self.best.is_none_or(|best| score < best) {
            self.best = Some(score);
            self.waited = 0;
            return;
        }
        self.waited += 1;
        if self.waited > config.plateau_patience {
            self.share = (self.share * config.plateau_factor).max(config.final_fraction);
            self.waited = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn warm_up_then_cosine() {
        let config = ScheduleConfig { warmup_steps: 10, final_fraction: 0.1, ..Default::default() };
        let plateau = Plateau::default();
        assert_relative_eq!(config.share(0, 0.0, &plateau), 0.1);
        assert_relative_eq!(config.share(9, 0.0, &plateau), 1.0);
        assert_relative_eq!(config.share(500, 0.5, &plateau), 0.55);
        assert_relative_eq!(config.share(1000, 1.0, &plateau), 0.1);
    }

    #[test]
    fn a_plateau_cuts_the_rate_after_its_patience() {
        let kind = Schedule::Plateau;
        let config =
            ScheduleConfig { kind, warmup_steps: 0, plateau_patience: 2, final_fraction: 0.3, ..Default::default() };
        let mut plateau = Plateau::default();
        let shares: Vec<f64> = [5.0, 4.0, 4.0, 4.0, 4.0, 3.0, 9.0, 9.0, 9.0]
            .iter()
            .map(|&score| {
                plateau.observe(&config, score);
                config.share(0, 0.0, &plateau)
            })
            .collect();
        assert_eq!(shares, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.3]);
    }
}
