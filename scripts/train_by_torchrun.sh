#!/usr/bin/env bash
# Train with several processes of this machine, one for each GPU:
#   PROCESSES=4 scripts/train_by_torchrun.sh finetune --config base_gpu --out runs/tuned --data.train '[train.jsonl]' ...
# Several machines: give NODES, NODE (0 for the first) and RENDEZVOUS (HOST:PORT of the first) on each.
# The same command goes on where a run ended.
set -euo pipefail
command=${1:?finetune or pretrain, then its options}
shift
processes=${PROCESSES:-$(nvidia-smi --list-gpus 2>/dev/null | wc -l)}
nodes=${NODES:-1}
if [ "$processes" -lt 1 ]; then
  echo "$0: no GPU is seen; give PROCESSES, and --hardware.accelerator cpu" >&2
  exit 2
fi
if [ "$nodes" -gt 1 ]; then
  place=(--nnodes "$nodes" --node-rank "${NODE:?number of this machine}" --rdzv-backend c10d --rdzv-endpoint "${RENDEZVOUS:?HOST:PORT}")
else
  place=(--standalone)
fi
exec torchrun "${place[@]}" --nproc-per-node "$processes" --no-python \
  labelgen "$command" --hardware.devices "$processes" --hardware.nodes "$nodes" "$@"
