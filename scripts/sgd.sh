#!/usr/bin/env bash
# SGD with all of its training dialogues: goals, outcomes, intents, slots, on held-out dialogues of the training services and on parts
# whose services are mostly new, with all labels to choose from and with those of the services given. Starts from the pretrained model
# of `make public`, in PUBLIC/pretrained. An hour and a half on one core for each seed.
#   [SEEDS="0 1 2"] bash scripts/sgd.sh DATA [OUT [PUBLIC [TEST]]]
# TEST: a folder with schema.json and dialogues_*.json in the published layout, in the place of DATA/sgd/test. What is made already
# is not made again; trainings go on where they stopped. With ENCODER and CONFIG (scripts/stage.sh) it pretrains by itself.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(there "${1:?the folder of the unpacked corpora}" "the folder of the unpacked corpora")
out=$(place "${2:-$root/runs/sgd}")
public=$(place "${3:-$root/runs/public}")
given=$(there "${4:-}" "the test part")
test=${given:-$data/sgd/test} tested=$(tested "$given")
cd "$root"
read -ra seeds <<<"${SEEDS:-0 1 2}"
mkdir -p "$out"
stage "$out/sgd.jsonl" labelgen data convert "$data/sgd/train" "$out/sgd.jsonl" --format sgd
# The last tenth of the same hash is what `make public` holds out too, so pretraining saw none of it.
stage "$out/parts/test.jsonl" labelgen data split "$out/sgd.jsonl" "$out/parts" --parts train=0.87,valid=0.03,test=0.1
if [ -n "$given" ]; then
  stage "$out/$tested/test.raw.jsonl" labelgen data convert "$test" "$out/$tested/test.raw.jsonl" --format sgd
  unseen "$out/$tested/test.jsonl" "$out/parts/train.jsonl"
else
  stage "$out/test/test.jsonl" labelgen data convert "$test" "$out/test/test.jsonl" --format sgd
fi
recipe "$public"
pretrained=$public/pretrained/model
if [ -n "${ENCODER:-}" ]; then
  stage "$out/pretrained/model/digests.json" labelgen pretrain "${recipe[@]}" --config configs/pretrain.yaml --out "$out/pretrained" \
    --data.train "[$out/parts/train.jsonl]"
  pretrained=$out/pretrained/model
fi
there "$pretrained" "the pretrained model of make public DATA=DIR" >/dev/null
for seed in "${seeds[@]}"; do
  model=$out/seed$seed/model
  # An epoch is a half of the dialogues, drawn anew: one and a half passes in all.
  stage "$model/digests.json" labelgen finetune "${recipe[@]}" --out "$out/seed$seed" --seed "$seed" --init "$pretrained" --batch.turns 48 \
    --data.train "[$out/parts/train.jsonl]" --data.valid "[$out/parts/valid.jsonl]" --data.mix '[0.5]' \
    --tasks '{goals: {weight: 2}, outcome: {}, intents: {}, slots: {weight: 10}}'
  for part in parts "$tested"; do
    stage "$out/evaluation-$part/seed$seed/evaluation.json" labelgen evaluate "$out/$part/test.jsonl" --against sgd \
      --model "model=$model" --train "$out/parts/train.jsonl" --out "$out/evaluation-$part/seed$seed" --title "SGD: ${part/parts/known services}"
    # As in the published task, where the services of a dialogue are given.
    stage "$out/evaluation-given-$part/seed$seed/evaluation.json" labelgen evaluate "$out/$part/test.jsonl" --against sgd --domains-from services \
      --model "model, services given=$model" --out "$out/evaluation-given-$part/seed$seed"
  done
done
results=results
# The table's seeds are of the small encoder.
if [ -n "$given${ENCODER:-}${CONFIG:-}" ]; then results=$out/$tested; fi
python scripts/public_sgd.py "$out" --tested "$tested" --out "$results/sgd_full.json"
