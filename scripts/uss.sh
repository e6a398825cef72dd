#!/usr/bin/env bash
# USS in the published protocol: three classes of the mean rating, the first three user turns dropped, the dialogue's row included;
# one model for the four corpora, beside single raters. Needs DATA/uss (docs/corpora.md), one core, no GPU.
#   bash scripts/uss.sh DATA [OUT [TEST]]
# Trained on the published train part, a seventh of it kept for the weights of names; judged on the valid part, or on TEST, a folder of
# files such as MWOZ.txt in the published layout. And by five folds over train and valid. What is made already is not made
# again; trainings go on where they stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?the folder of the unpacked corpora}
out=${2:-runs/uss}
test=${3:-}
mkdir -p "$out"
export WANDB_MODE=offline HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

. scripts/stage.sh
train() {
  # Name of the run, its logs.
  local run=$1
  shift
  stage "$out/$run/model/digests.json" labelgen finetune --config configs/quality.yaml --out "$out/$run" --model.encoder "$out/encoder" \
    --hardware.threads 1 --data.train "[$(IFS=,; echo "$*")]"
}
decide() {
  # Name of the run, the log that its weights of names are found on. No threshold is wanted: nothing is to be left out.
  stage "$out/$1/model/calibration.json" labelgen calibrate "$2" --model "$out/$1/model" --ratings mean --decide macro_f1 --max-error 0.0001
}

stage "$out/encoder/origin.json" labelgen encoder "$out/encoder" --force
stage "$out/train.raw.jsonl" labelgen data convert "$data/uss" "$out/train.raw.jsonl" --format uss --option part=train
if [ -n "$test" ]; then
  stage "$out/test.jsonl" labelgen data convert "$test" "$out/test.jsonl" --format uss
else
  stage "$out/test.jsonl" labelgen data convert "$data/uss" "$out/test.jsonl" --format uss --option part=valid
fi
# The class of the mean rating is one more annotator to learn from.
stage "$out/train.jsonl" labelgen consensus "$out/train.raw.jsonl" "$out/train.jsonl" --ratings mean
stage "$out/parts/held.jsonl" labelgen data split "$out/train.jsonl" "$out/parts" --parts train=0.85,held=0.15
train all "$out/parts/train.jsonl"
decide all "$out/parts/held.jsonl"
stage "$out/labelled/manifest.json" labelgen label "$out/test.jsonl" "$out/labelled" --model "$out/all/model" --workers 1
python scripts/measure_quality.py "$out/labelled" --ratings mean --first-turn 2 --order 4 --title "USS: three classes of the mean rating" \
  --command "bash scripts/uss.sh DATA" --out results/uss_classes.json
