#!/usr/bin/env bash
# Outcomes of STAR against users' own answers, by a model that does not read the wizard's action labels and by one that does. Goes on
# from what `make public` made in PUBLIC: the parts by user, the rules beside which a model is judged, the pretrained model. One core,
# a quarter of an hour a seed. What is made already is not made again; trainings go on where they stopped.
#   [SEEDS="0 1 2"] bash scripts/star.sh [OUT [PUBLIC]]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/star}
public=${2:-runs/public}
read -ra seeds <<<"${SEEDS:-0 1 2}"
mkdir -p "$out"
. scripts/stage.sh
for seed in "${seeds[@]}"; do
  train() {
    # Name of the run, then what differs.
    local run=$1
    shift
    stage "$out/seed$seed/$run/model/digests.json" labelgen finetune --config configs/public_cpu.yaml --out "$out/seed$seed/$run" --seed "$seed" \
      --model.encoder "$public/encoder" --hardware.threads 1 --init "$public/pretrained/model" --tasks '{outcome: {}}' --targets.annotators '[user]' \
      --data.train "[$public/star-parts/train.jsonl]" --data.valid "[$public/star-parts/valid.jsonl]" "$@"
  }
  train plain --model.leave_out '[wizard_action]'
  train actions
  stage "$out/evaluation-seed$seed/evaluation.json" labelgen evaluate "$public/star-judged/star.jsonl" --against user --task outcome \
    --model "model=$out/seed$seed/plain/model" --model "model with actions=$out/seed$seed/actions/model" \
    --out "$out/evaluation-seed$seed" --title "STAR: outcomes against users' own answers"
done
python scripts/collect_star.py "$out" "$public"
