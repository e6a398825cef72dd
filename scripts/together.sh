#!/usr/bin/env bash
# One model for eight corpora, each with the questions and the labels of its own: SGD (goals, outcomes, intents, slots), STAR (users' own
# answers), MultiWOZ, MultiDoGO, SNIPS, SLURP (intents, slots), USS and DBDC3 (quality). Each is judged on a part that was held out. Needs
# the corpora in DATA (docs/reference/corpora.md), one core, no GPU. What is made already is not made again; the training goes on where it stopped.
#   [SEEDS="0"] bash scripts/together.sh DATA [OUT]
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
out=$(path "${2:-}" runs/together)
read -ra seeds <<<"${SEEDS:-0}"
mkdir -p "$out"
convert() {
  # The log that is made, what of DATA is read, its form, then options.
  local log=$out/$1.jsonl from=$data/$2 format=$3
  shift 3
  stage "$log" labelgen data convert "$from" "$log" --format "$format" "$@"
}
split() {
  # The log that is cut, parts.
  stage "$out/$1/train.jsonl" labelgen data split "$out/$1.jsonl" "$out/$1" --parts "$2"
}
agreed() {
  # What the raters of a log say together is one more annotation of it; how ratings are put together.
  stage "$out/$1.jsonl" labelgen consensus "$out/$1.raw.jsonl" "$out/$1.jsonl" --ratings "$2"
}

recipe "$out"
# Cut as in the tables of each corpus, of which it has the test part.
convert sgd sgd/train sgd --sample 2400
split sgd train=0.85,valid=0.05,test=0.1
convert star star star
split star train=0.65,valid=0.1,test=0.25
convert multiwoz multiwoz/val.json multiwoz
split multiwoz train=0.95,valid=0.05
convert multiwoz/test multiwoz/test.json multiwoz
convert multidogo multidogo multidogo --option part=train --sample 1200
split multidogo train=0.93,valid=0.07
convert multidogo/test multidogo multidogo --option part=dev --sample 400
convert snips snips snips --sample 8000
split snips train=0.88,valid=0.02,test=0.1
convert slurp slurp slurp
split slurp train=0.75,valid=0.05,test=0.2
uss=(MWOZ SGD ReDial CCPE)
for corpus in "${uss[@]}"; do
  convert "uss-$corpus.raw" "uss/dataset/$corpus.txt" uss --option part=train
  agreed "uss-$corpus" mean
  split "uss-$corpus" train=0.93,valid=0.07
  convert "uss-$corpus/test" "uss/dataset/$corpus.txt" uss --option part=valid
done
convert dbdc3.raw dbdc3 dbdc3
agreed dbdc3 vote
split dbdc3 train=0.75,valid=0.05,test=0.2

# Shares of an epoch, so that no corpus drowns the others.
declare -A mix=([sgd]=0.5 [star]=1 [multiwoz]=1 [multidogo]=1 [snips]=1 [slurp]=4 [dbdc3]=1)
for corpus in "${uss[@]}"; do mix[uss-$corpus]=0.4; done
names=(sgd star multiwoz multidogo snips slurp "${uss[@]/#/uss-}" dbdc3)
logs() {
  # Of a part, with commas between.
  local name all=()
  for name in "${names[@]}"; do all+=("$out/$name/$1.jsonl"); done
  (IFS=,; echo "${all[*]}")
}
shares() {
  local name all=()
  for name in "${names[@]}"; do all+=("${mix[$name]}"); done
  (IFS=,; echo "${all[*]}")
}
rate=()
# In so few steps the small encoder has to move faster (docs/explanation/decisions.md); any other has its own config.
if [ -z "${CONFIG:-}" ]; then rate=(--optimizer.encoder_learning_rate 3e-4); fi
for seed in "${seeds[@]}"; do
  own=$out/seed$seed
  stage "$own/model/digests.json" labelgen finetune "${recipe[@]}" "${rate[@]}" --out "$own" --seed "$seed" \
    --data.train "[$(logs train)]" --data.valid "[$(logs valid)]" --data.mix "[$(shares)]" --length.max_epochs 3 --length.keep last \
    --tasks '{goals: {weight: 2}, outcome: {}, quality: {}, intents: {}, slots: {weight: 10}}' --batch.turns 48 \
    --targets.annotators '[sgd, user, multiwoz, multidogo, snips, slurp, consensus]'
  judge() {
    # Name, who is right, then options; the log is the held-out part of the name.
    local name=$1 against=$2
    shift 2
    stage "$own/evaluation-$name/evaluation.json" labelgen evaluate "$out/$name/test.jsonl" --reference "$against" \
      --model "together=$own/model" --train "$out/$name/train.jsonl" --out "$own/evaluation-$name" --title "${name//-/ }: one model for eight corpora" "$@"
  }
  judge sgd sgd
  judge star user --task outcome
  for corpus in multiwoz multidogo snips slurp; do judge "$corpus" "$corpus"; done
  for corpus in "${uss[@]}"; do judge "uss-$corpus" consensus --task quality --ratings mean; done
  judge dbdc3 consensus --task quality
done
results=results
# The table's trainings are of the small encoder.
if [ -n "${ENCODER:-}${CONFIG:-}" ]; then results=$out; fi
python scripts/collect_together.py "$out" --out "$results/together.json"
