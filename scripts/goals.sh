#!/usr/bin/env bash
# Goals without goal labels: a model that learned from splices alone is judged on splices of other dialogues that interleave,
# and on STAR's multi-task dialogues, there beside models that learned from the wizard's clicks. It goes on from a pretrained model, if
# no other is given the one that scripts/pretraining.sh made in runs/pretraining, on the encoder's vectors as they are. Needs the corpora in DATA/star,
# DATA/uss and DATA/multiwoz (docs/reference/corpora.md), one core, no GPU. What is made already is not made again; trainings go on where they stopped.
#   [SEEDS="0 1 2"] bash scripts/goals.sh DATA [OUT [PRETRAINED [TEST]]]
# TEST: a folder in STAR's published layout, whose multi-task dialogues are judged in the place of those of STAR's test users; dialogues of users
# who were learned from are left out.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
out=$(path "${2:-}" runs/goals)
pretrained=$(path "${3:-}" runs/pretraining/frozen/model)
judging "${4:-}"
needs "$pretrained/digests.json" "bash scripts/pretraining.sh $data"
read -ra seeds <<<"${SEEDS:-0 1 2}"
mkdir -p "$out"
train() {
  # Name of the run, then the command and what differs.
  local run=$1 command=$2
  shift 2
  stage "$out/seed$seed/$run/model/digests.json" labelgen "$command" --config configs/public_cpu.yaml --out "$out/seed$seed/$run" \
    --seed "$seed" --model.encoder "$out/encoder" --hardware.threads 1 --length.keep last "$@"
}
# The label of the wizard's reply names the task.
left_out='[latency_s, gap_before_s, gap_after_s, wizard_action]'

stage "$out/encoder/origin.json" labelgen encoder "$out/encoder" --force
for corpus in star uss multiwoz; do
  stage "$out/$corpus.jsonl" labelgen data convert "$data/$corpus" "$out/$corpus.jsonl" --format "$corpus"
done
# By user, or by dialogue where the user is not known, before anything is spliced.
stage "$out/parts/test.jsonl" labelgen data split "$out/star.jsonl" "$out/uss.jsonl" "$out/multiwoz.jsonl" "$out/parts" --parts train=0.65,valid=0.1,test=0.25
for part in train test; do
  stage "$out/whole/$part.jsonl" python scripts/spliced_goals.py parts "$out/parts/$part.jsonl" "$out/whole/$part.jsonl"
done
stage "$out/spliced.jsonl" python scripts/spliced_goals.py splice "$out/whole/test.jsonl" "$out/spliced.jsonl" --most 30
stage "$out/several/train.jsonl" python scripts/spliced_goals.py several "$out/parts/train.jsonl" "$out/several/train.jsonl"
of_star=$out/parts/test.jsonl
if [ -n "$test" ]; then
  of_star=$judged/held-out.jsonl
  stage "$judged/star.jsonl" labelgen data convert "$test" "$judged/star.jsonl" --format star
  held_out "$judged/star.jsonl" "$of_star" "$out/parts/train.jsonl" "$out/parts/valid.jsonl" --users
fi
stage "$judged/several/test.jsonl" python scripts/spliced_goals.py several "$of_star" "$judged/several/test.jsonl" --completed

# All learn on the vectors of the encoder as it is, which are made once.
learned=(--model.encoder_frozen true --model.leave_out "$left_out")
clicks=("${learned[@]}" --data.train "[$out/several/train.jsonl]" --tasks '{goals: {}}' --targets.annotators '[wizard]' \
  --length.max_epochs 6)
for seed in "${seeds[@]}"; do
  own=$out/seed$seed
  train splices-alone pretrain --config configs/goals_from_splices.yaml --init "$pretrained" "${learned[@]}" \
    --batch.turns 64 --length.max_steps 1500 --data.train "[$out/whole/train.jsonl]"
  models=(--model "splices alone=$own/splices-alone/model")
  stage "$own/evaluation-spliced/evaluation.json" labelgen evaluate "$out/spliced.jsonl" --reference splice --task goals \
    "${models[@]}" --out "$own/evaluation-spliced" --title "Goals in spliced dialogues of people"
  train clicks finetune "${clicks[@]}"
  train splices-then-clicks finetune "${clicks[@]}" --init "$own/splices-alone/model"
  models+=(--model "clicks=$own/clicks/model" --model "splices then clicks=$own/splices-then-clicks/model")
  on_star=$judged/seed$seed/evaluation-star
  stage "$on_star/evaluation.json" labelgen evaluate "$judged/several/test.jsonl" --reference wizard --task goals \
    "${models[@]}" --out "$on_star" --title "STAR: goals in completed multi-task dialogues"
done
python scripts/spliced_goals.py collect "$out" --judged "$judged" --out "$results"
printf '\nreports: %s\n' "$out"/seed*/evaluation-spliced/report.html "$judged"/seed*/evaluation-star/report.html
