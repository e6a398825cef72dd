#!/usr/bin/env bash
# Train on a SLURM cluster, requeued until it is done:
#   sbatch --nodes 2 --gpus-per-node 4 --ntasks-per-node 4 scripts/train_on_slurm.sh finetune --config base_gpu --out runs/tuned ...
# Two minutes before the time limit SLURM sends SIGUSR1 to all processes. They save one checkpoint and end with code 143; the job is then
# queued again, and the same command goes on from there.
#SBATCH --job-name=labelgen
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
command=${1:?finetune or pretrain, then its options}
shift
code=0
srun --kill-on-bad-exit=1 labelgen "$command" \
  --hardware.devices "${SLURM_NTASKS_PER_NODE:-1}" --hardware.nodes "${SLURM_JOB_NUM_NODES:-1}" "$@" || code=$?
if [ "$code" -eq 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
