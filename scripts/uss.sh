#!/usr/bin/env bash
# USS in the published protocol: three classes of the mean rating, the first three user turns dropped, the dialogue's row included.
# One model for the four corpora, with the weights of names of each, beside single raters; the same with other seeds, and by FOLDS folds
# of the train part's dialogues; and one that saw SGD alone, on MWOZ.
# Needs DATA/uss (docs/reference/corpora.md), one core, no GPU.
#   [SEEDS="0 1 2"] [FOLDS=5] bash scripts/uss.sh DATA [OUT [TEST]]
# Trained on the published train part, a seventh of it kept for the weights; judged on the valid part, or on TEST, a folder of MWOZ.txt,
# SGD.txt, ReDial.txt and CCPE.txt, or some of them, in the published layout, or its parent with dataset/. Of a file with more dialogues than
# the shared parts have, those that DATA's *.splits.json hold back are judged; of any other, those that are not in the train part. What is
# made already is not made again; trainings go on where they stopped. ENCODER and CONFIG: scripts/stage.sh.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
out=$(path "${2:-}" runs/uss)
judging "${3:-}"
corpora=(MWOZ SGD ReDial CCPE)
asked=("${corpora[@]}")
if [ -n "$test" ]; then
  if [ -d "$test/dataset" ]; then test=$test/dataset; fi
  asked=()
  for corpus in "${corpora[@]}"; do
    if [ -f "$test/$corpus.txt" ]; then asked+=("$corpus"); else echo "$0: $3 has no $corpus.txt: not judged" >&2; fi
  done
  [ ${#asked[@]} -gt 0 ] || refuse "$3 has none of ${corpora[*]/%/.txt}"
fi
read -ra seeds <<<"${SEEDS:-0 1 2}"
folds=${FOLDS:-5}
mkdir -p "$out"

train() {
  # Name of the run, its seed, its logs.
  local run=$1 seed=$2
  shift 2
  stage "$out/$run/model/digests.json" labelgen finetune "${recipe[@]}" --out "$out/$run" --seed "$seed" \
    --data.train "[$(IFS=,; echo "$*")]"
}
judge() {
  # The folder and the name of what is labeled, the run whose model is taken, the log that weights are found on, the one that is labeled. No
  # threshold is wanted: nothing is to be left out.
  local labeled=$1/labeled/$2 name=$2 run=$3 held=$4 log=$5
  mkdir -p "$(dirname "$out/decided/$name")" "$(dirname "$labeled")"
  stage "$out/decided/$name/digests.json" cp -r "$out/$run/model" "$out/decided/$name"
  stage "$out/decided/$name/calibration.json" labelgen calibrate "$held" --model "$out/decided/$name" --ratings mean \
    --decide macro_f1 --max-error 0.0001
  stage "$labeled/manifest.json" labelgen label "$log" "$labeled" --model "$out/decided/$name" --workers 1
}

quality_recipe "$out" --model.words 2000 --model.dropout 0.4
for corpus in "${corpora[@]}"; do
  stage "$out/$corpus.raw.jsonl" labelgen data convert "$data/uss/dataset/$corpus.txt" "$out/$corpus.raw.jsonl" --format uss --option part=train
  # The class of the mean rating is one more annotation to learn from.
  stage "$out/$corpus.train.jsonl" labelgen consensus "$out/$corpus.raw.jsonl" "$out/$corpus.train.jsonl" --ratings mean
  stage "$out/$corpus/held.jsonl" labelgen data split "$out/$corpus.train.jsonl" "$out/$corpus" --parts train=0.85,held=0.15
done
for corpus in "${asked[@]}"; do
  log=$judged/$corpus.test.jsonl
  if [ -n "$test" ]; then
    stage "$judged/$corpus.given.jsonl" labelgen data convert "$test/$corpus.txt" "$judged/$corpus.given.jsonl" --format uss
    held_out "$judged/$corpus.given.jsonl" "$log" "$out/$corpus.raw.jsonl" --splits "$data/uss/dataset/$corpus.splits.json"
  else
    stage "$log" labelgen data convert "$data/uss/dataset/$corpus.txt" "$log" --format uss --option part=valid
  fi
done
logs=()
for corpus in "${corpora[@]}"; do logs+=("$out/$corpus/train.jsonl"); done
runs=()
for seed in "${seeds[@]}"; do
  train "seed$seed" "$seed" "${logs[@]}"
  for corpus in "${asked[@]}"; do
    judge "$judged" "seed$seed/$corpus" "seed$seed" "$out/$corpus/held.jsonl" "$judged/$corpus.test.jsonl"
  done
  runs+=("judged part=$judged/labeled/seed$seed")
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
if [ "$folds" != 0 ]; then runs+=("$folds folds of the train part=$out/labeled/folds"); fi

text="One model for the four corpora, the text encoder frozen; its width was chosen with the valid part seen. The aim was .540, .600 and .514 on MWOZ, SGD and ReDial. Published figures are of BERT-base (ASAP, Ye et al. 2023) on other test rows."
declare -A of_asap=([MWOZ]=0.556 [SGD]=0.626 [ReDial]=0.616)
published=()
for corpus in "${asked[@]}"; do
  if [ -n "${of_asap[$corpus]:-}" ]; then published+=("uss/$corpus=${of_asap[$corpus]}"); fi
done
python scripts/measure_quality.py "$judged/labeled/$first" --ratings mean --first-turn 2 --order 4 \
  --title "USS: three classes of the mean rating" --text "$text" --published "${published[@]}" \
  --command "bash scripts/uss.sh DATA" --out "$results/uss_classes.json"
if [ -f "$judged/MWOZ.test.jsonl" ]; then
  train sgd "${seeds[0]}" "$out/SGD/train.jsonl"
  judge "$judged" zero-shot sgd "$out/SGD/held.jsonl" "$judged/MWOZ.test.jsonl"
  python scripts/measure_quality.py "$judged/labeled/zero-shot" --ratings mean --first-turn 2 --order 4 \
    --title "USS: trained on SGD, judged on MWOZ" --command "bash scripts/uss.sh DATA" --out "$results/uss_zero_shot.json"
fi
python scripts/measure_dissatisfied.py "$judged/labeled/$first" --ratings mean --first-turn 2 --order 4 \
  --title "USS: dissatisfied or not" --command "bash scripts/uss.sh DATA" --out "$results/uss_dissatisfied.json"
if [ "$folds" != 0 ]; then
  python scripts/measure_dissatisfied.py "$out/labeled/folds" --ratings mean --first-turn 2 --order 4 --command "bash scripts/uss.sh DATA" \
    --title "USS: dissatisfied or not, $folds folds of the train part" --out "$results/uss_dissatisfied_folds.json"
fi
python scripts/measure_above_person.py "$judged/labeled/$first" --model "$out/decided/$first/${asked[0]}" --ratings mean --first-turn 2 --order 4 \
  --title "USS: precision of dissatisfaction beside a single rater" --command "bash scripts/uss.sh DATA" \
  --out "$results/uss_above_person.json"
python scripts/measure_quality_runs.py "${runs[@]}" --ratings mean --first-turn 2 --order 4 --title "USS: seeds and folds by dialogue" \
  --text "Folds are those of the published train part, each judged by a model of the others. Later dialogues of the files were rated more strictly, which folds do not have to bear." \
  --command "bash scripts/uss.sh DATA" --out "$results/uss_runs.json"
# Beside plain rivals: all seeds on the judged part, one training of each fold.
list() { local IFS=,; echo "$*"; }
train_logs=("${corpora[@]/#/$out/}")
logs=()
for corpus in "${asked[@]}"; do logs+=("$judged/labeled/$first/$corpus/$corpus.test.jsonl"); done
python scripts/beside_rivals.py --labeled "${seeds[@]/#/$judged/labeled/seed}" --split "$(list "${train_logs[@]/%/.train.jsonl}")=$(list "${logs[@]}")" \
  --ratings mean --first-turn 2 --order 1 --title "USS beside plain rivals" --command "bash scripts/uss.sh DATA" --out "$results/uss_rivals.json"
if [ "$folds" != 0 ]; then
  splits=()
  for ((k = 0; k < folds; k++)); do
    learned=() logs=()
    for corpus in "${corpora[@]}"; do
      for ((other = 0; other < folds; other++)); do [ "$other" = "$k" ] || learned+=("$out/folds/$corpus/f$other.jsonl"); done
      logs+=("$out/labeled/folds/$corpus/f$k/f$k.jsonl")
    done
    splits+=("$(list "${learned[@]}")=$(list "${logs[@]}")")
  done
  python scripts/beside_rivals.py --labeled "$out/labeled/folds" --split "${splits[@]}" --ratings mean --first-turn 2 --order 1 \
    --title "USS beside plain rivals, $folds folds of the train part" --command "bash scripts/uss.sh DATA" --out "$results/uss_rivals_folds.json"
fi
