#!/usr/bin/env bash
# USS with one rater as the only feedback: a model that learned from the ratings of one person a dialogue, beside one that learned from
# all of them, both judged on other dialogues beside single raters. Needs the corpus in DATA/uss (docs/reference/corpora.md), one core, no GPU.
# What is made already is not made again; trainings go on where they stopped.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
out=$(path "${2:-}" runs/uss-feedback)
mkdir -p "$out"
train() {
  # Name of the run, its log, then what differs.
  local run=$1 log=$2
  shift 2
  stage "$out/$run/model/digests.json" labelgen finetune --config configs/public_cpu.yaml --out "$out/$run" \
    --model.encoder "$out/encoder" --model.encoder_frozen true --hardware.threads 1 --tasks '{quality: {}}' \
    --data.train "[$log]" --data.valid '[]' --length.keep last --length.max_epochs 3 "$@"
}

stage "$out/encoder/origin.json" labelgen encoder "$out/encoder" --force
stage "$out/uss.jsonl" labelgen data convert "$data/uss" "$out/uss.jsonl" --format uss
stage "$out/parts/test.jsonl" labelgen data split "$out/uss.jsonl" "$out/parts" --parts train=0.8,test=0.2
stage "$out/one/train.jsonl" python scripts/public_uss_feedback.py one "$out/parts/train.jsonl" "$out/one/train.jsonl"
stage "$out/signals.jsonl" labelgen feedback signals "$out/one/train.jsonl" "$out/signals.jsonl"
stage "$out/targets.jsonl" labelgen feedback aggregate "$out/signals.jsonl" "$out/targets.jsonl" --explicit-only
# A recorded rating is not in the words of the dialogue, so nothing of these has to be hidden.
train one-rater "$out/targets.jsonl" --targets.annotators '[]' --targets.feedback true --targets.evidence_hidden 0
train all-raters "$out/parts/train.jsonl"
stage "$out/evaluation/evaluation.json" labelgen evaluate "$out/parts/test.jsonl" --min-annotators 4 --out "$out/evaluation" \
  --model "one rater as feedback=$out/one-rater/model" --model "all raters=$out/all-raters/model" \
  --title "USS: one rater as the only feedback"
python scripts/public_uss_feedback.py collect "$out"
