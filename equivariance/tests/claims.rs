//! What a model claims beside equivariance: claims of several heads, claims that cannot be checked.

mod reference;

use isograd_equivariance::{Description, Failure, Model, Outputs, Precision, Report, Settings, System, check, from_fn};
use reference::{Fault, double};

fn settings() -> Settings {
    Settings { cases: 20, ..Settings::default() }
}

/// Springs of length zero between all pairs: the energy is half of what their squared lengths add up
/// to. Two heads have different strengths; the forces of the second are `factor` times what they should be.
fn two_heads(factor: f64) -> Report {
    let description = Description::new(3, Precision::F64)
        .extensive_scalar("energy, soft")
        .node_vector("forces, soft")
        .extensive_scalar("energy, hard")
        .node_vector("forces, hard")
        .conservative("energy, soft", "forces, soft")
        .conservative("energy, hard", "forces, hard");
    let springs = |system: &System, strength: f64, factor: f64| -> Outputs {
        let (nodes, dimensions) = (system.len(), system.dimensions());
        let (mut energy, mut forces) = (0.0, vec![0.0; nodes * dimensions]);
        for (i, j) in (0..nodes).flat_map(|i| (0..nodes).map(move |j| (i, j))) {
            for d in 0..dimensions {
                let step = system.positions.row(j)[d] - system.positions.row(i)[d];
                energy += 0.25 * strength * step * step;
                forces[i * dimensions + d] += factor * strength * step;
            }
        }
        vec![vec![energy], forces]
    };
    let model = from_fn(description, move |system| [springs(system, 1.0, 1.0), springs(system, 7.0, factor)].concat());
    check(&model, &settings())
}

#[test]
fn every_head_has_its_own_claim() {
    let report = two_heads(1.0);
    assert!(report.passed, "{report}");
    let rows = report.rows.iter().filter(|row| row.transformation == "forces = -dE/dx");
    assert_eq!(rows.map(|row| row.output.as_str()).collect::<Vec<_>>(), ["forces, soft", "forces, hard"]);
}

#[test]
fn the_head_that_is_wrong_is_blamed() {
    let report = two_heads(1.001);
    assert!(report.row("forces = -dE/dx", "forces, soft").unwrap().passed);
    assert!(!report.row("forces = -dE/dx", "forces, hard").unwrap().passed);
}

/// Springs whose energy stands on a high ground, in single precision: differences of energies are noise. Forces are `factor`
/// times what they should be.
struct OnHighGround {
    factor: f64,
    twin: bool,
}

impl OnHighGround {
    fn springs(&self, system: &System) -> Outputs {
        let strength = 0.1;
        let (mut energy, mut forces) = (0.0, vec![0.0; 3 * system.len()]);
        for (i, j) in (0..system.len()).flat_map(|i| (0..system.len()).map(move |j| (i, j))) {
            for d in 0..3 {
                let step = system.positions.row(j)[d] - system.positions.row(i)[d];
                energy += 0.25 * strength * step * step;
                forces[3 * i + d] += self.factor * strength * step;
            }
        }
        vec![vec![energy + 500.0 * system.len() as f64], forces]
    }
}

impl Model for OnHighGround {
    fn describe(&self) -> Description {
        Description::new(3, Precision::F32)
            .extensive_scalar("energy")
            .node_vector("forces")
            .conservative("energy", "forces")
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        let rounded = |values: Vec<f64>| values.into_iter().map(|value| f64::from(value as f32)).collect();
        Ok(batch.iter().map(|system| self.springs(system).into_iter().map(rounded).collect()).collect())
    }

    fn evaluate_f64(&self, batch: &[System]) -> Option<Result<Vec<Outputs>, Failure>> {
        self.twin.then(|| Ok(batch.iter().map(|system| self.springs(system)).collect()))
    }
}

#[test]
fn a_twin_in_double_precision_makes_derivatives_sharp() {
    let row = |factor: f64, twin: bool| {
        let report = check(&OnHighGround { factor, twin }, &settings());
        report.row("forces = -dE/dx", "forces").unwrap().clone()
    };
    let blurred = row(1.0, false);
    assert!(blurred.noise_floor > 1e-3, "{blurred:?}");
    let sharp = row(1.0, true);
    assert!(sharp.passed && sharp.noise_floor < 1e-5, "{sharp:?}");
    assert!(!row(1.0005, true).passed);
}

/// The mean distance of all pairs, in single precision, to which systems of some sizes add a wave of it that is so short that
/// rounding shows. `tilt` makes the wave depend on the direction of an axis.
struct Wavy {
    sick: fn(usize) -> bool,
    twin: bool,
    tilt: f64,
}

impl Wavy {
    fn wave(&self, system: &System, round: impl Fn(f64) -> f64) -> Outputs {
        let (mut sum, mut pairs) = (0.0, 0.0_f64);
        for (i, j) in (0..system.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let step = (0..3).map(|d| round(system.positions.row(j)[d]) - round(system.positions.row(i)[d]));
            sum += step.map(|step| step * step).sum::<f64>().sqrt();
            pairs += 1.0;
        }
        let mean = sum / pairs.max(1.0);
        let axis = system.positions.iter().take(2).map(|row| row[0]).reduce(|a, b| a - b).unwrap_or_default();
        let wave = if (self.sick)(system.len()) { 0.3 * (3e5 * mean).sin() + self.tilt * axis } else { 0.0 };
        vec![vec![mean + wave]]
    }
}

impl Model for Wavy {
    fn describe(&self) -> Description {
        Description::new(3, Precision::F32).intensive_scalar("mean").nodes(2, 40)
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        Ok(batch.iter().map(|system| self.wave(system, |value| f64::from(value as f32))).collect())
    }

    fn evaluate_f64(&self, batch: &[System]) -> Option<Result<Vec<Outputs>, Failure>> {
        self.twin.then(|| Ok(batch.iter().map(|system| self.wave(system, |value| value)).collect()))
    }
}

#[test]
fn double_precision_decides_a_few_cases_that_single_precision_cannot() {
    let row = |sick, twin, tilt| {
        let only = Settings { cases: 200, only: Some("rotation".into()), ..Settings::default() };
        check(&Wavy { sick, twin, tilt }, &only).row("rotation", "mean").unwrap().clone()
    };
    let some = |size: usize| size == 17;
    let alone = row(some, false, 0.0);
    assert!(!alone.passed && alone.maximum > 1e-4 && alone.ill_conditioned == 0, "{alone:?}");
    let decided = row(some, true, 0.0);
    assert!(decided.passed && decided.failures == 0, "{decided:?}");
    assert_eq!((decided.ill_conditioned, decided.maximum), (alone.failures, alone.maximum));
    // Not where the model is wrong, nor where the output is little else.
    assert!(!row(some, true, 1e-4).passed);
    let all = row(|_| true, true, 0.0);
    assert!(!all.passed && all.ill_conditioned > 10 && all.failures >= all.ill_conditioned, "{all:?}");
}

/// Pairs within a cutoff of one, which meet smoothly; in a few systems within less than the steps of single precision. In single
/// precision the energy may end at the cutoff with a jump.
struct Steep {
    twin: bool,
    jump: f64,
}

impl Steep {
    fn energy(system: &System, jump: f64) -> Outputs {
        let pairs = (0..system.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        // The second node stays where it is while the first one leaves it.
        let rare = (1e3 * system.positions.row(1)[0]).rem_euclid(1.0) < 0.02;
        let energies = pairs.map(|(i, j)| {
            let step = (0..3).map(|d| system.positions.row(j)[d] - system.positions.row(i)[d]);
            let inside = 1.0 - step.map(|step| step * step).sum::<f64>().sqrt();
            let cliff = if rare { 0.05 * (1.0 - (-(inside / 4e-4).powi(2)).exp()) } else { 0.0 };
            if inside > 0.0 { inside.powi(3) + cliff + jump } else { 0.0 }
        });
        vec![vec![energies.sum()]]
    }
}

impl Model for Steep {
    fn describe(&self) -> Description {
        Description::new(3, Precision::F32).extensive_scalar("energy").nodes(2, 40).cutoff(1.0).spacing(0.4)
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        let single =
            |value: Outputs| value.into_iter().map(|own| own.into_iter().map(|x| f64::from(x as f32)).collect());
        Ok(batch.iter().map(|system| single(Self::energy(system, self.jump)).collect()).collect())
    }

    fn evaluate_f64(&self, batch: &[System]) -> Option<Result<Vec<Outputs>, Failure>> {
        self.twin.then(|| Ok(batch.iter().map(|system| Self::energy(system, 0.0)).collect()))
    }
}

#[test]
fn double_precision_decides_what_is_too_steep_for_the_steps_of_single_precision() {
    let row = |twin, jump| {
        let only = Settings { cases: 200, only: Some("continuous at the cutoff".into()), ..Settings::default() };
        check(&Steep { twin, jump }, &only).row("continuous at the cutoff", "energy").unwrap().clone()
    };
    let alone = row(false, 0.0);
    assert!(!alone.passed && alone.ill_conditioned == 0, "{alone:?}");
    let decided = row(true, 0.0);
    assert!(decided.passed && decided.ill_conditioned == alone.failures, "{decided:?} {alone:?}");
    // Where single precision has a jump of its own, double precision does not excuse it.
    assert!(!row(true, 0.05).passed);
}

/// The reference potential twice, as two heads, of which the second has this fault.
struct TwoHeads(Fault);

impl Model for TwoHeads {
    fn describe(&self) -> Description {
        let base = double(Fault::None, 3).describe();
        let names = base.outputs.clone();
        let mut both = Description { outputs: Vec::new(), zero_sum: Vec::new(), zero_torque: Vec::new(), ..base };
        (both.conservative, both.stress_of) = (Vec::new(), Vec::new());
        for head in ["a", "b"] {
            for output in &names {
                both = both.output(&format!("{}, {head}", output.name), output.kind, output.extensive);
            }
            both = both.stress_of(&format!("energy, {head}"), &format!("stress, {head}"));
        }
        both
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        let [first, second] = [Fault::None, self.0].map(|fault| double(fault, 3).evaluate(batch));
        Ok(first?.into_iter().zip(second?).map(|(a, b)| [a, b].concat()).collect())
    }
}

#[test]
fn every_head_has_its_own_stress() {
    let name = "stress = dE/dstrain / V";
    let only = Settings { only: Some(name.into()), ..settings() };
    assert!(check(&TwoHeads(Fault::None), &only).passed);
    let broken = check(&TwoHeads(Fault::HalfVirial), &only);
    assert_eq!(broken.rows.len(), 2, "{broken}");
    assert!(broken.row(name, "stress, a").unwrap().passed && !broken.row(name, "stress, b").unwrap().passed);
}

#[test]
fn what_is_not_claimed_is_skipped_with_the_reason() {
    let nothing = Description::new(3, Precision::F64).extensive_scalar("energy").intensive_tensor("stress");
    for (description, reason) in [
        (nothing.clone(), "the model reads no cells"),
        (nothing.clone().stress_of("energy", "stress"), "the model reads no cells"),
        (nothing.periodic(), "the model does not claim it"),
    ] {
        let report = check(&from_fn(description, |_| vec![vec![0.0], vec![0.0; 9]]), &settings());
        let skipped = |name: &str| report.skipped.iter().find(|skipped| skipped.transformation == name).unwrap();
        assert_eq!(skipped("stress = dE/dstrain / V").reason, reason);
        for name in ["forces = -dE/dx", "no net force", "no net torque"] {
            assert_eq!(skipped(name).reason, "the model does not claim it");
        }
    }
}

fn refused(description: Description) -> String {
    let model = from_fn(description, |_| vec![]);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&model, &settings()))).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn claims_that_make_no_sense_are_refused() {
    let base = || Description::new(3, Precision::F64).extensive_scalar("energy").node_vector("forces");
    let crystal = || base().intensive_tensor("stress").stress_of("energy", "stress");
    for (description, reason) in [
        (base().conservative("energy", "force"), "a claim about `force`, which is no output"),
        (base().conservative("forces", "forces"), "the energy `forces` is no scalar"),
        (base().conservative("energy", "energy"), "the forces `energy` are no vector of nodes"),
        (base().conservative("energy", "forces").conservative("energy", "forces"), "those of two energies"),
        (base().stress_of("energy", "virial"), "a claim about `virial`, which is no output"),
        (base().stress_of("energy", "forces"), "the stress `forces` is no intensive tensor"),
        (base().extensive_tensor("virial").stress_of("energy", "virial"), "`virial` is no intensive tensor"),
        (crystal().stress_of("energy", "stress"), "the stress `stress` is that of two energies"),
        (base().zero_sum("energy"), "`energy` is no vector of nodes"),
    ] {
        let message = refused(description);
        assert!(message.contains(reason), "{message}");
    }
}
