#!/usr/bin/env bash
# USS in the published protocol: three classes of the mean rating, the first three user turns dropped, the dialogue's row included.
# One model for the four corpora, with the weights of names of each, beside single raters; the same with other seeds, and by FOLDS folds
# of the train part's dialogues; and one that saw SGD alone, on MWOZ.
# Needs DATA/uss (docs/corpora.md), one core, no GPU.
#   [SEEDS="0 1 2"] [FOLDS=5] bash scripts/uss.sh DATA [OUT [TEST]]
# Trained on the published train part, a seventh of it kept for the weights; judged on the valid part, or on TEST, a folder of files
# such as MWOZ.txt in the published layout, of some corpora or all; of a whole published file its last tenth is judged. What is made already is not made again; trainings go on where they stopped.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(there "${1:?the folder of the unpacked corpora}" "the folder of the unpacked corpora")
out=$(place "${2:-$root/runs/uss}")
test=$(there "${3:-}" "the test part")
tested=$(tested "$test")
cd "$root"
read -ra seeds <<<"${SEEDS:-0 1 2}"
folds=${FOLDS:-5}
mkdir -p "$out"
corpora=(MWOZ SGD ReDial CCPE)

train() {
  # Name of the run, its seed, its logs.
  local run=$1 seed=$2
  shift 2
  stage "$out/$run/model/digests.json" labelgen finetune "${recipe[@]}" --out "$out/$run" --seed "$seed" \
    --model.words 2000 --model.dropout 0.4 --data.train "[$(IFS=,; echo "$*")]"
}
test_part() {
  # Of a corpus: the valid part, or what TEST holds of it, and is then no training dialogue.
  local corpus=$1 published=$data/uss/dataset/$1
  if [ -z "$test" ]; then
    stage "$out/$corpus.test.jsonl" labelgen data convert "$published.txt" "$out/$corpus.test.jsonl" --format uss --option part=valid
    return
  fi
  # The parts that are known of a file lie beside it.
  mkdir -p "$out/$tested"
  ln -sf "$held/$corpus.txt" "$out/$tested/$corpus.txt"
  ln -sf "$published.splits.json" "$out/$tested/$corpus.splits.json"
  stage "$out/$corpus.$tested.jsonl" labelgen data convert "$out/$tested/$corpus.txt" "$out/$corpus.$tested.jsonl" --format uss --option part=test
}
judge() {
  # A folder, the name in it of what is labelled, the run whose model is taken, the log that weights are found on, the one that is
  # labelled. No threshold is wanted: nothing is to be left out.
  local decided=$1/decided/$2 labelled=$1/labelled/$2 run=$3 held=$4 judged=$5
  mkdir -p "$(dirname "$decided")" "$(dirname "$labelled")"
  stage "$decided/digests.json" cp -r "$out/$run/model" "$decided"
  stage "$decided/calibration.json" labelgen calibrate "$held" --model "$decided" --ratings mean --decide macro_f1 --max-error 0.0001
  stage "$labelled/manifest.json" labelgen label "$judged" "$labelled" --model "$decided" --workers 1
}

recipe "$out"
of_quality
held=$test judged=("${corpora[@]}")
if [ -n "$test" ]; then
  [ ! -d "$test/dataset" ] || held=$test/dataset
  judged=()
  for corpus in "${corpora[@]}"; do [ ! -e "$held/$corpus.txt" ] || judged+=("$corpus"); done
  if [ ${#judged[@]} = 0 ]; then
    echo "$0: $held has none of the files ${corpora[*]/%/.txt}" >&2
    exit 2
  fi
fi
for corpus in "${judged[@]}"; do test_part "$corpus"; done
for corpus in "${corpora[@]}"; do
  stage "$out/$corpus.raw.jsonl" labelgen data convert "$data/uss/dataset/$corpus.txt" "$out/$corpus.raw.jsonl" --format uss --option part=train
  # The class of the mean rating is one more annotation to learn from.
  stage "$out/$corpus.train.jsonl" labelgen consensus "$out/$corpus.raw.jsonl" "$out/$corpus.train.jsonl" --ratings mean
  stage "$out/$corpus/held.jsonl" labelgen data split "$out/$corpus.train.jsonl" "$out/$corpus" --parts train=0.85,held=0.15
done
logs=()
for corpus in "${corpora[@]}"; do logs+=("$out/$corpus/train.jsonl"); done
base=$out${test:+/$tested} runs=()
for seed in "${seeds[@]}"; do
  train "seed$seed" "$seed" "${logs[@]}"
  for corpus in "${judged[@]}"; do
    judge "$base" "seed$seed/$corpus" "seed$seed" "$out/$corpus/held.jsonl" "$out/$corpus.$tested.jsonl"
  done
  runs+=("judged part=$base/labelled/seed$seed")
done
first=seed${seeds[0]}

parts=()
for ((k = 0; k < folds; k++)); do parts+=("f$k=$(python -c "print(1 / $folds)")"); done
for ((k = 0; k < folds; k++)); do
  logs=()
  for corpus in "${corpora[@]}"; do
    of=$out/folds/$corpus
    stage "$of/f0.jsonl" labelgen data split "$out/$corpus.train.jsonl" "$of" --parts "$(IFS=,; echo "${parts[*]}")" --seed 1
    others=()
    for ((other = 0; other < folds; other++)); do [ "$other" = "$k" ] || others+=("$of/f$other.jsonl"); done
    stage "$of/without$k/held.jsonl" labelgen data split "${others[@]}" "$of/without$k" --parts train=0.85,held=0.15 --seed 2
    logs+=("$of/without$k/train.jsonl")
  done
  train "fold$k" "${seeds[0]}" "${logs[@]}"
  for corpus in "${corpora[@]}"; do
    judge "$out" "folds/$corpus/f$k" "fold$k" "$out/folds/$corpus/without$k/held.jsonl" "$out/folds/$corpus/f$k.jsonl"
  done
done
if [ "$folds" != 0 ]; then runs+=("$folds folds of the train part=$out/labelled/folds"); fi

train sgd "${seeds[0]}" "$out/SGD/train.jsonl"
results=results
if [ -n "$test${ENCODER:-}${CONFIG:-}" ]; then results=$out/$tested; fi
mkdir -p "$results"
text="One model for the four corpora, the text encoder frozen; its width was chosen with the valid part seen. The aim was .540, .600 and .514 on MWOZ, SGD and ReDial, which an ensemble with boosted trees had on the same part, without an interval. Published figures are of BERT-base (ASAP, Ye et al. 2023) on other test rows."
python scripts/measure_quality.py "$base/labelled/$first" --ratings mean --first-turn 2 --order 4 \
  --title "USS: three classes of the mean rating" --text "$text" --published uss/MWOZ=0.556 uss/SGD=0.626 uss/ReDial=0.616 \
  --command "bash scripts/uss.sh DATA" --out "$results/uss_classes.json"
if [ -e "$out/MWOZ.$tested.jsonl" ]; then
  judge "$base" zero-shot sgd "$out/SGD/held.jsonl" "$out/MWOZ.$tested.jsonl"
  python scripts/measure_quality.py "$base/labelled/zero-shot" --ratings mean --first-turn 2 --order 4 \
    --title "USS: trained on SGD, judged on MWOZ" --command "bash scripts/uss.sh DATA" --out "$results/uss_zero_shot.json"
fi
python scripts/measure_dissatisfied.py "$base/labelled/$first" --ratings mean --first-turn 2 --order 4 \
  --title "USS: dissatisfied or not" --command "bash scripts/uss.sh DATA" --out "$results/uss_dissatisfied.json"
if [ "$folds" != 0 ]; then
  python scripts/measure_dissatisfied.py "$out/labelled/folds" --ratings mean --first-turn 2 --order 4 --command "bash scripts/uss.sh DATA" \
    --title "USS: dissatisfied or not, $folds folds of the train part" --out "$results/uss_dissatisfied_folds.json"
fi
python scripts/measure_above_person.py "$base/labelled/$first" --model "$base/decided/$first/${judged[0]}" --ratings mean --first-turn 2 --order 4 \
  --title "USS: precision of dissatisfaction beside a single rater" --command "bash scripts/uss.sh DATA" \
  --out "$results/uss_above_person.json"
python scripts/measure_quality_runs.py "${runs[@]}" --ratings mean --first-turn 2 --order 4 --title "USS: seeds and folds by dialogue" \
  --text "Folds are those of the published train part, each judged by a model of the others. Later dialogues of the files were rated more strictly, which folds do not have to bear." \
  --command "bash scripts/uss.sh DATA" --out "$results/uss_runs.json"
