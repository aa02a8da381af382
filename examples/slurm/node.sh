#!/bin/bash
# One node of 8 A100s: a rank for each GPU, of an isograd built with `--features mpi,nccl`. Hand it in again to go on
# where it stopped. Without MPI: `export ISOGRAD_JOB_KEY=$(openssl rand -hex 32)`, which ranks know each other by, and
# `srun isograd train ... --rendezvous "$(hostname):29400"`.
#SBATCH --job-name=isograd
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
# Two minutes before the limit every rank is told; training writes a snapshot and ends with exit code 0.
#SBATCH --signal=USR1@120
set -euo pipefail

srun --mpi=pmix --kill-on-bad-exit=1 isograd train "$1" --device cuda --resume
