#!/usr/bin/env bash
# What pretraining learns, and what it is worth: detection on held-out dialogues, and label curves with and without it, on SGD
# and on simulated logs. Goes on from what scripts/public.sh made in PUBLIC, which it needs; DATA as there. One thread;
# where a core trains 100 turns a second, two hours. What is made already is not made again.
#   bash scripts/pretraining.sh DATA [PUBLIC [OUT]]
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
public=$(path "${2:-}" runs/public)
out=$(path "${3:-}" runs/pretraining)
for made in sgd/test.jsonl star-parts/test.jsonl pretrained/model/digests.json; do
  needs "$public/$made" "bash scripts/public.sh $data $public"
done
mkdir -p "$out"
pretrain() {
  # Name of the run, then its logs and what differs. On the encoder's vectors as they are.
  local run=$1
  shift
  stage "$out/$run/model/digests.json" labelgen pretrain --config configs/public_cpu.yaml --config configs/pretrain_frozen.yaml \
    --out "$out/$run" --model.encoder "$public/encoder" --hardware.threads 1 "$@"
}
simulate() {
  # Part, how many dialogues, seed.
  stage "$out/simulated/$1/labels.json" labelgen simulate "$out/simulated/$1/log.jsonl" --dialogues "$2" --seed "$3" --annotated 0 --force
}

pretrain frozen --data.train "[$public/sgd/train.jsonl, $public/star-parts/train.jsonl]" --data.mix '[1, 0.5]' \
  --model.leave_out '[wizard_action]'
models=("frozen=$out/frozen/model" "trained=$public/pretrained/model")
arms=("${models[@]/#/--pretrained=}")
stage "$out/detection.json" python scripts/measure_pretraining.py "${models[@]/#/--model=}" --encoder "$public/encoder" \
  --log "SGD=$public/sgd/test.jsonl" --log "STAR=$public/star-parts/test.jsonl" --out "$out/detection.json" \
  --note "trained: as scripts/public.sh pretrains, the encoder too, for a quarter of an epoch. frozen: eight epochs, the encoder as it was."

# SGD: slots are learned apart, since they alone read tokens. More failed goals are judged than the held-out part has.
stage "$out/sgd-more/sgd.jsonl" labelgen data convert "$data/sgd/train" "$out/sgd-more/sgd.jsonl" --format sgd --sample 5000
sgd=(--train "$public/sgd/train.jsonl" --test "$public/sgd/test.jsonl" --against sgd --outcomes "$out/sgd-more/sgd.jsonl" \
  --encoder "$public/encoder" "${arms[@]}")
python scripts/train_label_curves.py "$out/sgd" "${sgd[@]}" -- --tasks '{goals: {weight: 2}, outcome: {}, intents: {}}'
python scripts/train_label_curves.py "$out/sgd-slots" "${sgd[@]}" -- --tasks '{slots: {}}'
stage "$out/curves-sgd.json" python scripts/measure_label_curves.py "$out/sgd" "$out/sgd-slots" --against sgd --arms frozen trained \
  --test "$public/sgd/test.jsonl" --out "$out/curves-sgd.json" --title "Label curves on SGD, with and without pretraining"

# Simulated logs, where many goals fail.
simulate train 2000 201
simulate test 400 202
simulate unlabeled 4000 203
pretrain simulated-frozen --data.train "[$out/simulated/unlabeled/log.jsonl]" --length.max_epochs 1
python scripts/train_label_curves.py "$out/simulated-outcomes" --train "$out/simulated/train/log.jsonl" \
  --test "$out/simulated/test/log.jsonl" --against truth --encoder "$public/encoder" \
  --pretrained "frozen=$out/simulated-frozen/model" -- --tasks '{outcome: {}}'
stage "$out/curves-simulated.json" python scripts/measure_label_curves.py "$out/simulated-outcomes" --against truth --arms frozen \
  --out "$out/curves-simulated.json" --title "Label curves on simulated logs, with and without pretraining"
for table in detection curves-sgd curves-simulated; do cp "$out/$table.json" "results/pretraining_${table//-/_}.json"; done
