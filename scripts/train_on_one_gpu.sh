#!/usr/bin/env bash
# Train on one GPU: scripts/train_on_one_gpu.sh finetune --out runs/tuned --data.train '[train.jsonl]' ...
# The same command goes on where an interrupted run ended.
set -euo pipefail
command=${1:?finetune or pretrain, then its options}
shift
exec labelgen "$command" --config base_gpu "$@"
