#!/usr/bin/env bash
# Ablations: trainings in equal steps that differ by one thing each, on 2,000 dialogues of SGD and, for features, on a simulated log.
# The encoder is frozen, so each text is encoded once. One thread, one to two hours.
#   bash scripts/ablations.sh DATA [PUBLIC [OUT]]
# PUBLIC: where the encoder is, or is written to. What is made already is not made again.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
public=$(path "${2:-}" runs/public)
out=$(path "${3:-}" runs/ablations)
mkdir -p "$out"
recipe "$public"
stage "$out/sgd.jsonl" labelgen data convert "$data/sgd/train" "$out/sgd.jsonl" --format sgd
# As scripts/sgd.sh divides it.
stage "$out/parts/test.jsonl" labelgen data split "$out/sgd.jsonl" "$out/parts" --parts train=0.87,valid=0.03,test=0.1
for part in train test; do
  [ $part = train ] && many=(2000 401) || many=(400 402)
  stage "$out/simulated/$part/labels.json" labelgen simulate "$out/simulated/$part/log.jsonl" --dialogues "${many[0]}" \
    --seed "${many[1]}" --annotated 0 --force
done

train() {
  # Which table, and its options.
  local table=$1
  shift
  python scripts/train_ablations.py "$out/$table" --table "$table" --encoder "$encoder" "$@" -- --length.max_steps 150 "${tasks[@]}"
}
sgd=(--train "$out/parts/train.jsonl" --test "$out/parts/test.jsonl" --against sgd --unlabeled 2000 --pretraining-steps 300)
simulated=(--train "$out/simulated/train/log.jsonl" --test "$out/simulated/test/log.jsonl" --against truth)
tasks=()
train public "${sgd[@]}"
# More seeds for the reference, and for what decides something.
train public "${sgd[@]}" --seeds 2 3 --only reference pretrained no-splice no-swapped-answers layers-1
train masks "${sgd[@]}" --seeds 1 2 3
tasks=(--tasks '{goals: {weight: 2}, outcome: {}, quality: {}, intents: {}, slots: {weight: 10}}')
train features "${simulated[@]}"
train features "${simulated[@]}" --seeds 2 3 --only reference no-features

# Made anew each time, from what there is.
python scripts/measure_ablations.py "$out/public" --table public --against sgd --force --out results/ablations.json
python scripts/measure_ablations.py "$out/masks" --table masks --against sgd --force --out results/ablations_masks.json
python scripts/measure_ablations.py "$out/features" --table features --against truth --force --out results/ablations_features.json
