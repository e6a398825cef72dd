#!/usr/bin/env bash
# USS in the published protocol: three classes of the mean rating, the first three user turns dropped, the dialogue's row included.
# One model for the four corpora, with the weights of names of each, beside single raters; the same with other seeds, and by FOLDS folds
# of the train part's dialogues; and one that saw SGD alone, on MWOZ.
# Needs DATA/uss (docs/corpora.md), one core, no GPU.
#   [SEEDS="0 1 2"] [FOLDS=5] bash scripts/uss.sh DATA [OUT [TEST]]
# Trained on the published train part, a seventh of it kept for the weights; judged on the valid part, or on TEST, a folder of files
# such as MWOZ.txt in the published layout. What is made already is not made again; trainings go on where they stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?the folder of the unpacked corpora}
out=${2:-runs/uss}
test=${3:-}
read -ra seeds <<<"${SEEDS:-0 1 2}"
folds=${FOLDS:-5}
mkdir -p "$out"
corpora=(MWOZ SGD ReDial CCPE)

. scripts/stage.sh
train() {
  # Name of the run, its seed, its logs.
  local run=$1 seed=$2
  shift 2
  stage "$out/$run/model/digests.json" labelgen finetune "${recipe[@]}" --config configs/quality.yaml --out "$out/$run" --seed "$seed" \
    --model.words 2000 --model.dropout 0.4 --data.train "[$(IFS=,; echo "$*")]"
}
judge() {
  # Where what is labelled goes, the run whose model is taken, the log that weights are found on, the one that is labelled. No threshold
  # is wanted: nothing is to be left out.
  local name=$1 run=$2 held=$3 judged=$4
  mkdir -p "$(dirname "$out/decided/$name")" "$(dirname "$out/labelled/$name")"
  stage "$out/decided/$name/digests.json" cp -r "$out/$run/model" "$out/decided/$name"
  stage "$out/decided/$name/calibration.json" labelgen calibrate "$held" --model "$out/decided/$name" --ratings mean \
    --decide macro_f1 --max-error 0.0001
  stage "$out/labelled/$name/manifest.json" labelgen label "$judged" "$out/labelled/$name" --model "$out/decided/$name" --workers 1
}

recipe "$out"
for corpus in "${corpora[@]}"; do
  stage "$out/$corpus.raw.jsonl" labelgen data convert "$data/uss/dataset/$corpus.txt" "$out/$corpus.raw.jsonl" --format uss --option part=train
  if [ -n "$test" ]; then
    stage "$out/$corpus.test.jsonl" labelgen data convert "$test/$corpus.txt" "$out/$corpus.test.jsonl" --format uss
  else
    stage "$out/$corpus.test.jsonl" labelgen data convert "$data/uss/dataset/$corpus.txt" "$out/$corpus.test.jsonl" --format uss --option part=valid
  fi
  # The class of the mean rating is one more annotation to learn from.
  stage "$out/$corpus.train.jsonl" labelgen consensus "$out/$corpus.raw.jsonl" "$out/$corpus.train.jsonl" --ratings mean
  stage "$out/$corpus/held.jsonl" labelgen data split "$out/$corpus.train.jsonl" "$out/$corpus" --parts train=0.85,held=0.15
done
logs=()
for corpus in "${corpora[@]}"; do logs+=("$out/$corpus/train.jsonl"); done
runs=()
for seed in "${seeds[@]}"; do
  train "seed$seed" "$seed" "${logs[@]}"
  for corpus in "${corpora[@]}"; do
    judge "seed$seed/$corpus" "seed$seed" "$out/$corpus/held.jsonl" "$out/$corpus.test.jsonl"
  done
  runs+=("judged part=$out/labelled/seed$seed")
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
    judge "folds/$corpus/f$k" "fold$k" "$out/folds/$corpus/without$k/held.jsonl" "$out/folds/$corpus/f$k.jsonl"
  done
done
if [ "$folds" != 0 ]; then runs+=("$folds folds of the train part=$out/labelled/folds"); fi

train sgd "${seeds[0]}" "$out/SGD/train.jsonl"
judge zero-shot sgd "$out/SGD/held.jsonl" "$out/MWOZ.test.jsonl"

results=results
if [ -n "$test" ]; then results=$out; fi
text="One model for the four corpora, the text encoder frozen; its width was chosen with the valid part seen. Published figures are of BERT-base (ASAP, Ye et al. 2023) on other test rows."
python scripts/measure_quality.py "$out/labelled/$first" --ratings mean --first-turn 2 --order 4 \
  --title "USS: three classes of the mean rating" --text "$text" --published uss/MWOZ=0.556 uss/SGD=0.626 uss/ReDial=0.616 \
  --command "bash scripts/uss.sh DATA" --out "$results/uss_classes.json"
python scripts/measure_quality.py "$out/labelled/zero-shot" --ratings mean --first-turn 2 --order 4 \
  --title "USS: trained on SGD, judged on MWOZ" --command "bash scripts/uss.sh DATA" --out "$results/uss_zero_shot.json"
python scripts/measure_above_person.py "$out/labelled/$first" --model "$out/decided/$first/MWOZ" --ratings mean --first-turn 2 --order 4 \
  --title "USS: precision of dissatisfaction beside a single rater" --command "bash scripts/uss.sh DATA" \
  --out "$results/uss_above_person.json"
python scripts/measure_quality_runs.py "${runs[@]}" --ratings mean --first-turn 2 --order 4 --title "USS: seeds and folds by dialogue" \
  --text "Folds are those of the published train part, each judged by a model of the others. Later dialogues of the files were rated more strictly, which folds do not have to bear." \
  --command "bash scripts/uss.sh DATA" --out "$results/uss_runs.json"
