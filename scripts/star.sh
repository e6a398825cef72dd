#!/usr/bin/env bash
# Outcomes of STAR against users' own answers, by a model that does not read the wizard's action labels and by one that does. Goes on
# from what `make public` made in PUBLIC: the parts by user, the rules beside which a model is judged, the pretrained model. One core,
# a quarter of an hour a seed. What is made already is not made again; trainings go on where they stopped.
#   [SEEDS="0 1 2"] bash scripts/star.sh [OUT [PUBLIC [TEST]]]
# TEST: a folder in STAR's published layout in the place of the test users of `make public`; dialogues of training users are left out.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
out=$(place "${1:-$root/runs/star}")
public=$(place "${2:-$root/runs/public}")
there "$public/pretrained/model" "the pretrained model of make public DATA=DIR" >/dev/null
test=$(there "${3:-}" "the test part")
tested=$(tested "$test")
cd "$root"
read -ra seeds <<<"${SEEDS:-0 1 2}"
mkdir -p "$out"
judged=$public/star-judged/star.jsonl results=results
if [ -n "$test" ]; then
  judged=$out/$tested/star.jsonl results=$out/$tested
  stage "$out/$tested/users.raw.jsonl" labelgen data convert "$test" "$out/$tested/users.raw.jsonl" --format star
  unseen "$out/$tested/users.jsonl" "$public/star-parts/train.jsonl" "$public/star-parts/valid.jsonl" --users
  stage "$judged" python scripts/public_star.py "$public/star-parts/train.jsonl" "$out/$tested/users.jsonl" "$judged"
fi
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
  stage "$out/evaluation-$tested/seed$seed/evaluation.json" labelgen evaluate "$judged" --against user --task outcome \
    --model "model=$out/seed$seed/plain/model" --model "model with actions=$out/seed$seed/actions/model" \
    --out "$out/evaluation-$tested/seed$seed" --title "STAR: outcomes against users' own answers"
done
python scripts/collect_star.py "$out/evaluation-$tested" "$public/star-parts/train.jsonl" "$judged" --out "$results/star.json"
