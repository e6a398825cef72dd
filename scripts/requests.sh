#!/usr/bin/env bash
# Intents and slots of MultiWOZ, MultiDoGO, SNIPS and SLURP: one model for all four, each with the labels of its own, with context and
# without. Needs the corpora in DATA (docs/reference/corpora.md), two cores, no GPU.
#   [SEEDS="0 1 2"] bash scripts/requests.sh DATA [OUT [TEST]]
# Test parts: the published test file of MultiWOZ, the published dev part of MultiDoGO, a tenth of SNIPS and a fifth of SLURP by a
# stable hash; or, of each corpus of which the folder TEST holds one in its published layout (TEST/multiwoz, TEST/multidogo, TEST/snips,
# TEST/slurp), what stands there; of a whole release its test part. What is made already is not made again; trainings go on where they
# stopped. ENCODER and CONFIG: scripts/stage.sh.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
out=$(path "${2:-}" runs/requests)
judging "${3:-}"
corpora=(multiwoz multidogo snips slurp)
declare -A given=() at=() # of each corpus: its folder in TEST, and where what is made of its test part lies
of_data=()
for corpus in "${corpora[@]}"; do
  given[$corpus]='' at[$corpus]=$out
  if [ -n "$test" ]; then given[$corpus]=$(find -L "$test" -mindepth 1 -maxdepth 1 -iname "$corpus" -print -quit); fi
  if [ -n "${given[$corpus]}" ]; then at[$corpus]=$judged; else of_data+=("$corpus"); fi
done
if [ -n "$test" ]; then
  [ ${#of_data[@]} -lt ${#corpora[@]} ] || refuse "$3 has a folder of none of ${corpora[*]}"
  [ ${#of_data[@]} = 0 ] || echo "$0: $3 has no folder of ${of_data[*]}: judged on parts of DATA" >&2
fi
read -ra seeds <<<"${SEEDS:-0 1 2}"
mkdir -p "$out"
convert() {
  # The log, its corpus, what is read, then options.
  local log=$1 format=$2 from=$3
  shift 3
  stage "$log" labelgen data convert "$from" "$log" --format "$format" "$@"
}
split() {
  # Corpus, log, parts.
  stage "$out/$1/parts/train.jsonl" labelgen data split "$out/$1/$2.jsonl" "$out/$1/parts" --parts "$3"
}
holds() {
  # Whether a folder holds files of this name, at any depth.
  [ -n "$(find -L "$1" -name "$2" -print -quit)" ]
}
test_part() {
  # Corpus, what of it is its test part where TEST has none, then options of the reader. Of a whole release in TEST the part that is
  # published for tests is judged: the others were learned from.
  local corpus=$1 from=${given[$1]}
  shift
  if [ -n "$from" ]; then
    set -- "$from"
    case $corpus in
      multiwoz) set -- "$(first_of "$from/test.json" "$from")" ;;
      slurp) set -- "$(first_of "$from"/{dataset/slurp/,}test.jsonl "$from")" ;;
      snips) if holds "$from" 'validate_*.json'; then set -- "$from" --option part=validate; fi ;;
      multidogo)
        if holds "$from" test.tsv; then
          set -- "$from" --option part=test
        elif holds "$from" dev.tsv; then
          set -- "$from" --option part=dev
        fi
        ;;
    esac
  fi
  convert "${at[$corpus]}/$corpus/test.jsonl" "$corpus" "$@"
}

recipe "$out"
# In so few steps the small encoder has to move faster (docs/explanation/decisions.md); any other has its own config.
if [ -z "${CONFIG:-}" ]; then recipe+=(--optimizer.encoder_learning_rate 3e-4); fi
convert "$out/multiwoz/train.jsonl" multiwoz "$data/multiwoz/val.json"
split multiwoz train train=0.95,valid=0.05
test_part multiwoz "$data/multiwoz/test.json"
convert "$out/multidogo/train.jsonl" multidogo "$data/multidogo" --option part=train --sample 1200
split multidogo train train=0.95,valid=0.05
test_part multidogo "$data/multidogo" --option part=dev --sample 400
convert "$out/snips/all.jsonl" snips "$data/snips" --sample 8000
split snips all train=0.88,valid=0.02,test=0.1
convert "$out/slurp/all.jsonl" slurp "$data/slurp"
split slurp all train=0.75,valid=0.05,test=0.2
for corpus in snips slurp; do
  if [ -n "${given[$corpus]}" ]; then test_part "$corpus"; else stage "$out/$corpus/test.jsonl" cp "$out/$corpus/parts/test.jsonl" "$out/$corpus/test.jsonl"; fi
done

logs() {
  # A part of every corpus.
  local part=$1 all=() corpus
  for corpus in "${corpora[@]}"; do all+=("$out/$corpus/parts/$part.jsonl"); done
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
  local made=${at[$corpus]}/seed$seed/evaluation-$name
  shift 4
  stage "$made/evaluation.json" labelgen evaluate "$log" --reference "$corpus" --train "$trained" "$@" \
    --out "$made" --title "${name//-/ }: intents and slots"
}
convert "$out/snips/whole.jsonl" snips "$data/snips"
stage "$out/snips/whole/train.jsonl" labelgen data split "$out/snips/whole.jsonl" "$out/snips/whole" --parts train=0.88,valid=0.02,test=0.1
whole_test=$out/snips/whole/test.jsonl
if [ -n "${given[snips]}" ]; then whole_test=$judged/snips/test.jsonl; fi

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
  for corpus in "${corpora[@]}"; do
    evaluate "$corpus" "${at[$corpus]}/$corpus/test.jsonl" "$corpus" "$out/$corpus/parts/train.jsonl" \
      --model "context=$models/context/model" --model "no context=$models/alone/model"
  done
done

# MultiWOZ by itself: what a request is read with. The encoder is trained, so nothing of it is remembered.
all=1000000
said=${at[multiwoz]}/multiwoz-context
python scripts/train_ablations.py "$said" --models "$out/multiwoz-context/models" --table context --train "$out/multiwoz/parts/train.jsonl" \
  --test "${at[multiwoz]}/multiwoz/test.jsonl" --against multiwoz --encoder "$encoder" --dialogues $all --judged $all --seeds 1 2 3 \
  --config "${recipe[1]}" -- "${recipe[@]:2}" --model.encoder_frozen false --model.label_refresh_steps 50 \
  --tasks '{intents: {}, slots: {weight: 10}}' --batch.turns 48 --length.max_epochs 1 --length.keep last
python scripts/measure_ablations.py "$said" --table context --against multiwoz --judged $all --force \
  --out "$results/requests_context.json"
python scripts/public_requests.py "$out" --judged "$judged" --out "$results/requests.json"
