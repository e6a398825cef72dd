#!/usr/bin/env bash
# Intents and slots of MultiWOZ, MultiDoGO, SNIPS and SLURP: one model for all four, each with the labels of its own, with context and
# without. Needs the corpora in DATA (docs/corpora.md), two cores, no GPU.
#   [SEEDS="0 1 2"] bash scripts/requests.sh DATA [OUT [TEST]]
# Test parts: the published test file of MultiWOZ, the published dev part of MultiDoGO, a tenth of SNIPS and a fifth of SLURP by a
# stable hash; or, of each corpus that the folder TEST holds in its published layout, what stands there. What is made already is
# not made again; trainings go on where they stopped. ENCODER and CONFIG: scripts/stage.sh.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(there "${1:?the folder of the unpacked corpora}" "the folder of the unpacked corpora")
out=$(place "${2:-$root/runs/requests}")
test=$(there "${3:-}" "the test parts")
tested=$(tested "$test")
cd "$root"
read -ra seeds <<<"${SEEDS:-0 1 2}"
mkdir -p "$out"
convert() {
  # Corpus and name of the log, what is read, then options.
  local log=$out/$1/$2.jsonl from=$3 format=$1
  shift 3
  stage "$log" labelgen data convert "$from" "$log" --format "$format" "$@"
}
split() {
  # Corpus, log, parts.
  stage "$out/$1/parts/train.jsonl" labelgen data split "$out/$1/$2.jsonl" "$out/$1/parts" --parts "$3"
}
given() {
  # What TEST holds of a corpus, whatever the case of its name; nothing where it holds none.
  [ -z "$test" ] || find "$test/" -mindepth 1 -maxdepth 1 -iname "$1" | sort | head -n 1
}
test_part() {
  # Corpus, what of it is its test part where TEST has none, then options of the reader.
  local corpus=$1 from=$2 held
  shift 2
  held=$(given "$corpus")
  if [ -n "$held" ]; then
    convert "$corpus" "$tested.raw" "$held"
    unseen "$out/$corpus/$tested.jsonl" "$out/$corpus/parts/train.jsonl"
  elif [ "$from" != "${from%.jsonl}" ]; then
    stage "$out/$corpus/$tested.jsonl" cp "$from" "$out/$corpus/$tested.jsonl"
  else
    convert "$corpus" "$tested" "$from" "$@"
  fi
}

if [ -n "$test" ]; then
  judged=()
  for corpus in multiwoz multidogo snips slurp; do
    if [ -n "$(given "$corpus")" ]; then judged+=("$corpus"); else echo "$test has no $corpus, which is judged on a part of DATA" >&2; fi
  done
  if [ ${#judged[@]} = 0 ]; then
    echo "$0: $test has none of the folders multiwoz, multidogo, snips, slurp" >&2
    exit 2
  fi
fi

recipe "$out"
# In so few steps the small encoder has to move faster (docs/decisions.md); any other has its own config.
if [ -z "${CONFIG:-}" ]; then recipe+=(--optimiser.encoder_learning_rate 3e-4); fi
convert multiwoz train "$data/multiwoz/val.json"
split multiwoz train train=0.95,valid=0.05
test_part multiwoz "$data/multiwoz/test.json"
convert multidogo train "$data/multidogo" --option part=train --sample 1200
split multidogo train train=0.95,valid=0.05
test_part multidogo "$data/multidogo" --option part=dev --sample 400
convert snips all "$data/snips" --sample 8000
split snips all train=0.88,valid=0.02,test=0.1
convert slurp all "$data/slurp"
split slurp all train=0.75,valid=0.05,test=0.2
test_part snips "$out/snips/parts/test.jsonl"
test_part slurp "$out/slurp/parts/test.jsonl"

logs() {
  # A part of every corpus.
  local part=$1 all=() corpus
  for corpus in multiwoz multidogo snips slurp; do all+=("$out/$corpus/parts/$part.jsonl"); done
  (IFS=,; echo "${all[*]}")
}
train() {
  # Name of the run, the parts of its logs, then what differs.
  local run=$1 train=$2 valid=$3
  shift 3
  stage "$out/seed$seed/$run/model/digests.json" labelgen finetune "${recipe[@]}" --out "$out/seed$seed/$run" --seed "$seed" \
    --data.train "[$train]" --data.valid "[$valid]" \
    --tasks '{intents: {}, slots: {weight: 10}}' --batch.turns 48 --length.keep last "$@" >"$out/seed$seed/$run.log" 2>&1
}
evaluate() {
  # Name, the log, its corpus, what was trained on, then the models.
  local name=$1 log=$2 corpus=$3 trained=$4
  shift 4
  stage "$out/seed$seed/evaluation-$tested/$name/evaluation.json" labelgen evaluate "$log" --against "$corpus" --train "$trained" "$@" \
    --out "$out/seed$seed/evaluation-$tested/$name" --title "${name//-/ }: intents and slots"
}
convert snips whole "$data/snips"
stage "$out/snips/whole/train.jsonl" labelgen data split "$out/snips/whole.jsonl" "$out/snips/whole" --parts train=0.88,valid=0.02,test=0.1
whole_test=$out/snips/whole/test.jsonl
if [ -n "$(given snips)" ]; then whole_test=$out/snips/$tested.jsonl; fi

for seed in "${seeds[@]}"; do
  models=$out/seed$seed
  mkdir -p "$models"
  four=(--data.mix '[1, 1, 1, 4]' --length.max_epochs 3)
  train context "$(logs train)" "$(logs valid)" "${four[@]}" &
  train alone "$(logs train)" "$(logs valid)" "${four[@]}" --model.dialogue_layers 0 &
  for _ in 1 2; do
    wait -n || {
      tail -n 20 "$models"/{context,alone}.log >&2
      kill $(jobs -p) 2>/dev/null
      exit 1
    }
  done
  # SNIPS by itself: all of its sentences, shown more often than among the others. More of them are right where the loss on valid
  # has begun to rise.
  train snips-by-itself "$out/snips/whole/train.jsonl" "$out/snips/whole/valid.jsonl" --length.max_epochs 8
  evaluate snips-by-itself "$whole_test" snips "$out/snips/whole/train.jsonl" --model "context=$models/snips-by-itself/model"
  for corpus in multiwoz multidogo snips slurp; do
    evaluate "$corpus" "$out/$corpus/$tested.jsonl" "$corpus" "$out/$corpus/parts/train.jsonl" \
      --model "context=$models/context/model" --model "no context=$models/alone/model"
  done
done
results=results
# The tables' trainings are of the small encoder.
if [ -n "$test${ENCODER:-}${CONFIG:-}" ]; then results=$out/$tested; fi
mkdir -p "$results"

# MultiWOZ by itself: what a request is read with. The encoder is trained, so nothing of it is remembered. No model is kept here, so
# another test part asks for other trainings.
all=1000000 context=$out/multiwoz-context
if [ -n "$(given multiwoz)" ]; then context=$out/multiwoz-context-$tested; fi
python scripts/train_ablations.py "$context" --table context --train "$out/multiwoz/parts/train.jsonl" \
  --test "$out/multiwoz/$tested.jsonl" --against multiwoz --encoder "$encoder" --dialogues $all --judged $all --seeds 1 2 3 \
  --config "${recipe[1]}" -- "${recipe[@]:2}" --model.encoder_frozen false --model.label_refresh_steps 50 \
  --tasks '{intents: {}, slots: {weight: 10}}' --batch.turns 48 --length.max_epochs 1 --length.keep last
python scripts/measure_ablations.py "$context" --table context --against multiwoz --judged $all --force \
  --out "$results/requests_context.json"
python scripts/public_requests.py "$out" --tested "$tested" --out "$results/requests.json"
