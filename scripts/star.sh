#!/usr/bin/env bash
# Outcomes of STAR against users' own answers, by a model that does not read the wizard's action labels and by one that does. Goes on
# from what `make public` made in PUBLIC: the parts by user, the rules beside which a model is judged, the pretrained model. One core,
# a quarter of an hour a seed. What is made already is not made again; trainings go on where they stopped.
#   [SEEDS="0 1 2"] bash scripts/star.sh [OUT [PUBLIC [TEST]]]
# TEST: a folder in STAR's published layout, judged in the place of the test users' part; dialogues of users who were learned from are left out.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
out=$(path "${1:-}" runs/star)
public=$(path "${2:-}" runs/public)
judging "${3:-}"
for made in star-parts/train.jsonl star-judged/with_rules.jsonl pretrained/model/digests.json; do
  needs "$public/$made" "bash scripts/public.sh DATA $public"
done
read -ra seeds <<<"${SEEDS:-0 1 2}"
mkdir -p "$out"
log=$public/star-judged/with_rules.jsonl
if [ -n "$test" ]; then
  log=$judged/star-judged/with_rules.jsonl
  stage "$judged/star.jsonl" labelgen data convert "$test" "$judged/star.jsonl" --format star
  held_out "$judged/star.jsonl" "$judged/held-out.jsonl" "$public/star-parts/train.jsonl" "$public/star-parts/valid.jsonl" --users
  stage "$log" python scripts/public_star.py "$public/star-parts/train.jsonl" "$judged/held-out.jsonl" "$log"
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
  stage "$judged/evaluation-seed$seed/evaluation.json" labelgen evaluate "$log" --reference user --task outcome \
    --model "model=$out/seed$seed/plain/model" --model "model with actions=$out/seed$seed/actions/model" \
    --out "$judged/evaluation-seed$seed" --title "STAR: outcomes against users' own answers"
done
python scripts/collect_star.py "$judged" "$public/star-parts/train.jsonl" --out "$results/star.json"
