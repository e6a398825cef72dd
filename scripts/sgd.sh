#!/usr/bin/env bash
# SGD with all of its training dialogues: goals, outcomes, intents, slots, on held-out dialogues of the training services and on parts
# whose services are mostly new, with all labels to choose from and with those of the services given. Starts from the pretrained model
# of `make public`, in PUBLIC/pretrained. An hour and a half on one core for each seed.
#   [SEEDS="0 1 2"] bash scripts/sgd.sh DATA [OUT [PUBLIC [TEST]]]
# TEST: a folder with schema.json and dialogues_*.json in the published layout, in the place of DATA/sgd/test; of a whole release its test
# part. What is made already is not made again; trainings go on where they stopped. With ENCODER (scripts/stage.sh) it pretrains by itself.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
out=$(path "${2:-}" runs/sgd)
public=$(path "${3:-}" runs/public)
judging "${4:-}"
test=${test:-$data/sgd/test}
read -ra seeds <<<"${SEEDS:-0 1 2}"
[ -n "${ENCODER:-}" ] || needs "$public/pretrained/model/digests.json" "bash scripts/public.sh $data $public"
mkdir -p "$out"
stage "$out/sgd.jsonl" labelgen data convert "$data/sgd/train" "$out/sgd.jsonl" --format sgd
# The last tenth of the same hash is what `make public` holds out too, so pretraining saw none of it.
stage "$out/parts/test.jsonl" labelgen data split "$out/sgd.jsonl" "$out/parts" --parts train=0.87,valid=0.03,test=0.1
# Of a whole release the part that is published as its test.
stage "$judged/test/test.jsonl" labelgen data convert "$(first_of "$test/test" "$test")" "$judged/test/test.jsonl" --format sgd
recipe "$public"
pretrained=$public/pretrained/model
if [ -n "${ENCODER:-}" ]; then
  stage "$out/pretrained/model/digests.json" labelgen pretrain "${recipe[@]}" --config configs/pretrain.yaml --out "$out/pretrained" \
    --data.train "[$out/parts/train.jsonl]"
  pretrained=$out/pretrained/model
fi
for seed in "${seeds[@]}"; do
  model=$out/seed$seed/model
  # An epoch is a half of the dialogues, drawn anew: one and a half passes in all.
  stage "$model/digests.json" labelgen finetune "${recipe[@]}" --out "$out/seed$seed" --seed "$seed" --init "$pretrained" --batch.turns 48 \
    --data.train "[$out/parts/train.jsonl]" --data.valid "[$out/parts/valid.jsonl]" --data.mix '[0.5]' \
    --tasks '{goals: {weight: 2}, outcome: {}, intents: {}, slots: {weight: 10}}'
  for part in parts test; do
    at=$judged
    if [ $part = parts ]; then at=$out; fi
    stage "$at/evaluation-$part/seed$seed/evaluation.json" labelgen evaluate "$at/$part/test.jsonl" --reference sgd \
      --model "model=$model" --train "$out/parts/train.jsonl" --out "$at/evaluation-$part/seed$seed" --title "SGD: ${part/parts/known services}"
    # As in the published task, where the services of a dialogue are given.
    stage "$at/evaluation-given-$part/seed$seed/evaluation.json" labelgen evaluate "$at/$part/test.jsonl" --reference sgd --domains-from services \
      --model "model, services given=$model" --out "$at/evaluation-given-$part/seed$seed"
  done
done
python scripts/public_sgd.py "$out" --judged "$judged" --out "$results/sgd_full.json"
