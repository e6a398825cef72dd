#!/usr/bin/env bash
# BETOLD: late hang-ups from the dialogue before them. Needs the corpus in DATA/betold (docs/reference/corpora.md), one core, no GPU.
# Five models that differ in their seed only learn the outcome from the training calls; they and three rules are judged on
# the test calls with the hang-up hidden. What is made already is not made again; trainings go on where they stopped.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
out=$(path "${2:-}" runs/betold)
mkdir -p "$out"

stage "$out/encoder/origin.json" labelgen encoder "$out/encoder" --force
stage "$out/betold.jsonl" labelgen data convert "$data/betold" "$out/betold.jsonl" --format betold
# Calls of equal acts are other calls of other users, and no copies.
stage "$out/parts/test.jsonl" labelgen data split "$out/betold.jsonl" "$out/parts" \
  --parts train=0.65,valid=0.1,test=0.25 --keep-copies
stage "$out/judged/open.jsonl" python scripts/public_betold.py judge "$out/parts/train.jsonl" "$out/parts/test.jsonl" \
  "$out/judged/all.jsonl" "$out/judged/open.jsonl"

models=()
for seed in 0 1 2 3 4; do
  stage "$out/seed-$seed/model/digests.json" labelgen finetune --config configs/public_cpu.yaml --out "$out/seed-$seed" \
    --model.encoder "$out/encoder" --hardware.threads 1 --seed "$seed" --tasks '{outcome: {}}' --targets.annotators '[user]' \
    --data.train "[$out/parts/train.jsonl]" --data.valid "[$out/parts/valid.jsonl]"
  models+=(--model "seed $seed=$out/seed-$seed/model")
done

for part in all open; do
  stage "$out/evaluation-$part/evaluation.json" labelgen evaluate "$out/judged/$part.jsonl" --reference user --task outcome \
    --train "$out/parts/train.jsonl" "${models[@]}" --out "$out/evaluation-$part" --title "BETOLD: late hang-ups from the dialogue before them, $part calls"
done
python scripts/public_betold.py collect "$out"
printf '\nreports: %s\n' "$out"/evaluation-*/report.html
