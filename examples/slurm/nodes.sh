#!/bin/bash
# 16 nodes of 8 A100s, 128 ranks: optimizer states and gradients are cut into 128 pieces. The run directory
# must be on a file system that all nodes share. Hand it in again, on any number of nodes, to go on.
#SBATCH --job-name=isograd
#SBATCH --nodes=16
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
set -euo pipefail

srun --mpi=pmix --kill-on-bad-exit=1 isograd train "$1" --device cuda --zero 2 --resume
