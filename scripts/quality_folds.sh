#!/usr/bin/env bash
# Quality beside single annotators by five folds: of DBDC3 breakdown of single responses, which thirty people labeled, by bot, since the
# bot alone tells much; of AB-ReDial ratings of responses and of dialogues. Needs DATA/CORPUS (docs/reference/corpora.md), one core, no GPU.
#   [SEED=0] bash scripts/quality_folds.sh dbdc3|abredial DATA [OUT [TEST]]
# Another SEED has an OUT of its own, by default runs/CORPUS-SEED, and its figures stand beside those of the others.
# With TEST, a folder in the corpus's published layout, one model learns from all of DATA/CORPUS and is judged there: on the eval part where TEST has
# parts, and on no dialogue that is in DATA/CORPUS. What is made already is not made again; trainings go on where they stopped. ENCODER and
# CONFIG: scripts/stage.sh.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
shopt -s nullglob
corpus=${1:?dbdc3 or abredial}
data=$(path "${2:?the folder of the unpacked corpora}")
seed=${SEED:-0}
run=$corpus
if [ "$seed" != 0 ]; then run=$corpus-$seed; fi
out=$(path "${3:-}" "runs/$run")
judging "${4:-}"
case $corpus in
  dbdc3) ratings=vote drawn="3 0" tasks=() title="DBDC3: breakdown beside single annotators" \
    text="Names are those of quality: bad is a breakdown, fair a possible one, good none. One model for the four bots." ;;
  abredial) ratings=mean drawn=0 tasks=(--tasks '{quality: {}, outcome: {}}') title="AB-ReDial: responses and dialogues beside single raters" \
    text="Three classes of the mean rating. 140 dialogues: the intervals are wide." ;;
  *) refuse "$corpus is neither dbdc3 nor abredial" ;;
esac
mkdir -p "$out"
fold() {
  # Name, the log that is labeled, the logs that are learned from. A seventh of the latter is kept for the weights of names.
  local name=$1 judged=$2
  shift 2
  stage "$out/$name/parts/held.jsonl" labelgen data split "$@" "$out/$name/parts" --parts train=0.85,held=0.15 --seed 1
  stage "$out/$name/run/model/digests.json" labelgen finetune "${recipe[@]}" "${tasks[@]}" --out "$out/$name/run" --seed "$seed" \
    --data.train "[$out/$name/parts/train.jsonl]"
  stage "$out/$name/run/model/calibration.json" labelgen calibrate "$out/$name/parts/held.jsonl" --model "$out/$name/run/model" \
    --ratings "$ratings" --decide macro_f1 --max-error 0.0001
  stage "$labeled/$name/manifest.json" labelgen label "$judged" "$labeled/$name" --model "$out/$name/run/model" --workers 1
}

quality_recipe "$out" --length.max_epochs 20
stage "$out/all.raw.jsonl" labelgen data convert "$data/$corpus" "$out/all.raw.jsonl" --format "$corpus"
stage "$out/all.jsonl" labelgen consensus "$out/all.raw.jsonl" "$out/all.jsonl" --ratings "$ratings"
labeled=$judged/labeled first=$out/f0 logs=("$out/all.jsonl")
if [ -n "$test" ]; then
  first=$out/test
  # Of a whole release of DBDC3 the part that is published for tests.
  if [ "$corpus" = dbdc3 ]; then test=$(first_of "$test"/{DBDC3/,}{dbdc3_revised/en/,}eval "$test"); fi
  stage "$judged/given.jsonl" labelgen data convert "$test" "$judged/given.jsonl" --format "$corpus"
  held_out "$judged/given.jsonl" "$judged/test.jsonl" "$out/all.raw.jsonl"
  logs+=("$judged/test.jsonl")
  fold test "$judged/test.jsonl" "$out/all.jsonl"
else
  stage "$out/folds/f0.jsonl" labelgen data split "$out/all.jsonl" "$out/folds" --parts f0=0.2,f1=0.2,f2=0.2,f3=0.2,f4=0.2
  for k in 0 1 2 3 4; do
    others=()
    for other in 0 1 2 3 4; do [ "$other" = "$k" ] || others+=("$out/folds/f$other.jsonl"); done
    fold "f$k" "$out/folds/f$k.jsonl" "${others[@]}"
  done
fi
stage "$labeled.report/evaluation.json" labelgen evaluate "$labeled"/*/*.jsonl --out "$labeled.report" --title "$title"
python scripts/measure_quality.py "$labeled" --ratings "$ratings" --order 5 --title "$title" --text "$text" \
  --training "$seed" --judged "${logs[@]}" --command "bash scripts/quality_folds.sh $corpus DATA" --out "$results/$corpus.json"
if [ -z "$test" ]; then
  # All trainings that are there, beside plain rivals that learn from the same folds.
  trainings=("${out%"-$seed"}"{,-[0-9]*}/labeled.report/evaluation.json)
  splits=()
  for k in 0 1 2 3 4; do
    others=$(printf ",$out/folds/f%s.jsonl" $(for other in 0 1 2 3 4; do [ "$other" = "$k" ] || echo "$other"; done))
    splits+=("${others#,}=$labeled/f$k/f$k.jsonl")
  done
  python scripts/beside_rivals.py --labeled "${trainings[@]/%.report\/evaluation.json/}" --split "${splits[@]}" --ratings "$ratings" \
    --order 1 --title "${title%% beside*} beside plain rivals" --command "bash scripts/quality_folds.sh $corpus DATA, with SEED=0, 1 and 2" \
    --out "$results/${corpus}_rivals.json"
fi
if [ "$seed" != 0 ]; then exit; fi # The tables below are of the first training.
if [ "$corpus" = abredial ]; then
  # Outcomes are asked of the goals that people drew, which a log that is labeled does not say.
  for folder in "$labeled"/*/; do
    name=$(basename "$folder")
    log=$out/folds/$name.jsonl
    if [ -n "$test" ]; then log=$judged/test.jsonl; fi
    stage "$labeled.asked/$name/evaluation.json" labelgen evaluate "$log" --task outcome --model "model=$out/$name/run/model" \
      --out "$labeled.asked/$name"
  done
  stage "$labeled.completion/evaluation.json" labelgen evaluate "$labeled.asked"/*/predictions.jsonl --task outcome \
    --out "$labeled.completion" --title "AB-ReDial: completed tasks"
  python scripts/measure_completion.py "$labeled.completion" --out "$results/abredial_completion.json"
fi
for others in $drawn; do
  name=$([ "$others" = 3 ] && echo "three others drawn" || echo "all others")
  python scripts/measure_above_person.py "$labeled" --model "$first/run/model" --others "$others" --ratings "$ratings" --judged 5 --order 5 \
    --title "${title%% beside*}: precision of bad beside a single annotator, against $name" \
    --command "bash scripts/quality_folds.sh $corpus DATA" --out "$results/${corpus}_above_person_$others.json"
done
