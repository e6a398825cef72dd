#!/usr/bin/env bash
# Boundaries of segments on any two folders (or files) of dialogues that are cut into segments, one to learn from and one to be judged on, in
# the published forms that `labelgen data formats segments` describes. One core, no GPU; ENCODER names another encoder's
# folder, TITLE is that of the report, INIT a model folder to start from. Finished steps are cached. The report is in OUT.
#   bash scripts/public_segments.sh TRAIN TEST [OUT]
set -euo pipefail
. "$(dirname "$0")/stage.sh"
train=$(path "${1:?the training folder}")
out=$(path "${3:-}" runs/segments)
judging "${2:?the test folder}"
mkdir -p "$out"
encoder=${ENCODER:-$out/encoder}
options=(--config configs/public_cpu.yaml --model.encoder "$encoder" --hardware.threads 1 --tasks '{goals: {}}')
[ -n "${ENCODER:-}" ] || stage "$encoder/origin.json" labelgen encoder "$encoder" --force
stage "$judged/test/test.jsonl" labelgen data convert "$test" "$judged/test/test.jsonl" --format segments
stage "$out/train/train.jsonl" labelgen data convert "$train" "$out/train/train.jsonl" --format segments
stage "$out/parts/valid.jsonl" labelgen data split "$out/train/train.jsonl" "$out/parts" --parts train=0.9,valid=0.1

# What splices alone teach, then the segments that people marked. What is best on valid becomes the model.
splices=(--config configs/goals_from_splices.yaml --length.max_epochs "${SPLICE_EPOCHS:-4}" --length.keep last)
[ -z "${INIT:-}" ] || splices+=(--init "$INIT")
stage "$out/splices/model/digests.json" labelgen pretrain "${options[@]}" "${splices[@]}" --out "$out/splices" \
  --mixture '{in_line: 0.7, whole: 0.3}' --model.encoder_frozen true --data.train "[$out/parts/train.jsonl]"
stage "$out/segments/model/digests.json" labelgen finetune "${options[@]}" --out "$out/segments" --init "$out/splices/model" \
  --data.train "[$out/parts/train.jsonl]" --data.valid "[$out/parts/valid.jsonl]" --targets.annotators '[segments]' \
  --model.encoder_frozen "${FROZEN:-false}" --length.max_epochs "${EPOCHS:-3}"
stage "$judged/evaluation/evaluation.json" labelgen evaluate "$judged/test/test.jsonl" --reference segments --task goals \
  --model "splices alone=$out/splices/model" --model "marked segments=$out/segments/model" --train "$out/parts/train.jsonl" \
  --out "$judged/evaluation" --title "${TITLE:-Segments}"
printf 'report: %s\n' "$judged/evaluation/report.html"
