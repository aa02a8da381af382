//! `isograd bench simulate`: molecular dynamics at constant energy, how fast it is and how well energy is conserved.

use std::path::PathBuf;
use std::time::Instant;

use isograd::data::formats::Formats;
use isograd::ops::memory::reset_peak;
use isograd::structure::Structure;
use isograd::train::{Backend, Error, Result, RunOn, dispatch};
use isograd::{Calculator, Potential};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::predict::UseOptions;
use super::print_json;
use super::tables::table;

/// Angstrom/fs^2 of 1 eV/angstrom on a dalton, from CODATA 2018.
const ACCELERATION: f64 = 9.648_533_212e-3;

/// Boltzmann's constant in eV/K.
const BOLTZMANN: f64 = 8.617_333_262e-5;

/// Samples of the total energy from which the drift is fitted.
const SAMPLES: usize = 1000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run directory
    run: PathBuf,
    /// Structure file; the first structure counts
    structure: PathBuf,
    /// Steps of velocity Verlet
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(2..))]
    steps: u64,
    /// Length of a step in fs
    #[arg(long, default_value_t = 0.5)]
    timestep: f64,
    /// Temperature in K that velocities are drawn for
    #[arg(long, default_value_t = 300.0)]
    temperature: f64,
    /// Seed of the velocities
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    options: UseOptions,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(serde::Serialize)]
struct Report {
    device: String,
    conservative: bool,
    atoms: usize,
    steps: u64,
    timestep_fs: f64,
    steps_per_second: f64,
    milliseconds_per_step: f64,
    peak_bytes: Option<u64>,
    mean_temperature: f64,
    /// Slope of a line through the total energy, eV per atom and ps.
    drift_ev_per_atom_ps: f64,
    /// RMS of the total energy about that line, eV per atom.
    fluctuation_ev_per_atom: f64,
}

/// Atoms on their way.
struct Trajectory {
    structure: Structure,
    masses: Vec<f64>,
    velocities: Vec<[f64; 3]>,
    forces: Vec<[f64; 3]>,
    potential_energy: f64,
}

impl Trajectory {
    fn start(structure: Structure, temperature: f64, seed: u64, calculator: &mut Calculator<'_>) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let masses: Vec<f64> = structure.elements.iter().map(|element| element.mass()).collect();
        let draw = |mass: &f64| {
            let width = (BOLTZMANN * temperature * ACCELERATION / mass).sqrt();
            std::array::from_fn(|_| width * Distribution::<f64>::sample(&StandardNormal, &mut random))
        };
        let mut velocities: Vec<[f64; 3]> = masses.iter().map(draw).collect();
        let total: f64 = masses.iter().sum();
        for axis in 0..3 {
            let momentum: f64 = velocities.iter().zip(&masses).map(|(v, mass)| mass * v[axis]).sum();
            velocities.iter_mut().for_each(|v| v[axis] -= momentum / total);
        }
        let found = calculator.evaluate(&structure)?;
        let (forces, potential_energy) = (found.forces.clone(), found.energy);
        Ok(Self { structure, masses, velocities, forces, potential_energy })
    }

    /// Half a step of velocities.
    fn kick(&mut self, timestep: f64) {
        for ((v, force), mass) in self.velocities.iter_mut().zip(&self.forces).zip(&self.masses) {
            (0..3).for_each(|axis| v[axis] += 0.5 * timestep * ACCELERATION * force[axis] / mass);
        }
    }

    /// A step of velocity Verlet.
    fn step(&mut self, timestep: f64, calculator: &mut Calculator<'_>) -> Result<()> {
        self.kick(timestep);
        for (x, v) in self.structure.geometry.positions.iter_mut().zip(&self.velocities) {
            (0..3).for_each(|axis| x[axis] += timestep * v[axis]);
        }
        let found = calculator.evaluate(&self.structure)?;
        self.potential_energy = found.energy;
        self.forces.clone_from(&found.forces);
        self.kick(timestep);
        Ok(())
    }

    fn kinetic_energy(&self) -> f64 {
        let twice =
            self.velocities.iter().zip(&self.masses).map(|(v, mass)| mass * v.iter().map(|x| x * x).sum::<f64>());
        0.5 * twice.sum::<f64>() / ACCELERATION
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    let (model, source) = args.options.model(&args.run)?;
    let potential = Potential::try_from(model)?;
    let device = potential.device().clone();
    let first = source.read_file_with(&Formats::default(), &args.structure)?.next();
    let structure =
        first.ok_or_else(|| Error::Structure(format!("{} has no structure", args.structure.display())))??;
    let atoms = structure.len();
    reset_peak();
    let mut calculator = potential.calculator();
    let mut trajectory = Trajectory::start(structure, args.temperature, args.seed, &mut calculator)?;
    let every = args.steps.div_ceil(SAMPLES as u64);
    let mut samples = Vec::new();
    let mut kinetic = 0.0;
    let start = Instant::now();
    for step in 1..=args.steps {
        trajectory.step(args.timestep, &mut calculator)?;
        let own = trajectory.kinetic_energy();
        kinetic += own / args.steps as f64;
        if !own.is_finite() {
            return Err(Error::Structure(format!(
                "flew apart at step {step}: the potential does not know such structures"
            )));
        }
        if step % every == 0 {
            samples.push((1e-3 * args.timestep * step as f64, (own + trajectory.potential_energy) / atoms as f64));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let (drift, fluctuation) = line(&samples);
    let report = Report {
        device: device.to_string(),
        conservative: potential.is_conservative(),
        atoms,
        steps: args.steps,
        timestep_fs: args.timestep,
        steps_per_second: args.steps as f64 / seconds,
        milliseconds_per_step: 1e3 * seconds / args.steps as f64,
        peak_bytes: dispatch(&device, Peak)?,
        mean_temperature: 2.0 * kinetic / (3.0 * atoms as f64 * BOLTZMANN),
        drift_ev_per_atom_ps: drift,
        fluctuation_ev_per_atom: fluctuation,
    };
    if args.json {
        return print_json(&report);
    }
    let rows = [
        ("atoms", report.atoms.to_string()),
        ("device", report.device),
        ("forces", potential.info().forces_are().unwrap_or("-").to_owned()),
        ("steps per second", format!("{:.0}", report.steps_per_second)),
        ("a step", format!("{:.3} ms", report.milliseconds_per_step)),
        ("mean temperature", format!("{:.0} K", report.mean_temperature)),
        ("energy drift", format!("{:.2e} eV/atom/ps", report.drift_ev_per_atom_ps)),
        ("energy fluctuation", format!("{:.2e} eV/atom", report.fluctuation_ev_per_atom)),
    ];
    let rows = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    println!("{}", table(&["constant energy", ""], rows));
    Ok(())
}

/// The most bytes that a device has held.
struct Peak;

impl RunOn for Peak {
    type Output = Option<u64>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        B::peak_bytes(&device)
    }
}

/// The slope of a line through points, and the RMS of their distance from it.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len().max(1) as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.0), mean(&|point| point.1));
    let spread = mean(&|point| (point.0 - x).powi(2));
    let slope = if spread > 0.0 { mean(&|point| (point.0 - x) * (point.1 - y)) / spread } else { 0.0 };
    (slope, mean(&|point| (point.1 - y - slope * (point.0 - x)).powi(2)).sqrt())
}
