#!/usr/bin/env bash
# DBDC3: breakdown of single responses beside single annotators, of whom thirty labelled each; by bot, since the bot alone tells much.
# Needs DATA/dbdc3 (docs/corpora.md), one core, no GPU.
#   bash scripts/dbdc3.sh DATA [OUT [TEST]]
# Five folds by dialogue; or, with TEST, a folder of `*.log.json` files in the published layout, trained on all of DATA/dbdc3 and judged
# there. What is made already is not made again; trainings go on where they stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?the folder of the unpacked corpora}
out=${2:-runs/dbdc3}
test=${3:-}
mkdir -p "$out"
export WANDB_MODE=offline HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

. scripts/stage.sh
fold() {
  # Name, the log that is labelled, the logs that are learnt from. A seventh of the latter is kept for the weights of names.
  local name=$1 judged=$2
  shift 2
  stage "$out/$name/parts/held.jsonl" labelgen data split "$@" "$out/$name/parts" --parts train=0.85,held=0.15 --seed 1
  stage "$out/$name/run/model/digests.json" labelgen finetune --config configs/quality.yaml --out "$out/$name/run" \
    --model.encoder "$out/encoder" --hardware.threads 1 --data.train "[$out/$name/parts/train.jsonl]" --length.max_epochs 20
  stage "$out/$name/run/model/calibration.json" labelgen calibrate "$out/$name/parts/held.jsonl" --model "$out/$name/run/model" \
    --decide macro_f1 --max-error 0.0001
  stage "$out/labelled/$name/manifest.json" labelgen label "$judged" "$out/labelled/$name" --model "$out/$name/run/model" --workers 1
}

stage "$out/encoder/origin.json" labelgen encoder "$out/encoder" --force
stage "$out/all.raw.jsonl" labelgen data convert "$data/dbdc3" "$out/all.raw.jsonl" --format dbdc3
stage "$out/all.jsonl" labelgen consensus "$out/all.raw.jsonl" "$out/all.jsonl"
if [ -n "$test" ]; then
  stage "$out/test.jsonl" labelgen data convert "$test" "$out/test.jsonl" --format dbdc3
  fold test "$out/test.jsonl" "$out/all.jsonl"
else
  stage "$out/folds/f0.jsonl" labelgen data split "$out/all.jsonl" "$out/folds" --parts f0=0.2,f1=0.2,f2=0.2,f3=0.2,f4=0.2
  for k in 0 1 2 3 4; do
    others=()
    for other in 0 1 2 3 4; do [ "$other" = "$k" ] || others+=("$out/folds/f$other.jsonl"); done
    fold "f$k" "$out/folds/f$k.jsonl" "${others[@]}"
  done
fi
python scripts/measure_quality.py "$out/labelled" --order 5 --title "DBDC3: breakdown beside single annotators" \
  --text "Names are those of quality: bad is a breakdown, fair a possible one, good none. One model for the four bots." \
  --command "bash scripts/dbdc3.sh DATA" --out results/dbdc3.json
for others in 3 0; do
  name=$([ "$others" = 3 ] && echo "three others drawn" || echo "all others")
  python scripts/measure_above_person.py "$out/labelled" --others "$others" --judged 5 --order 5 \
    --title "DBDC3: breakdowns found more precisely than by a single annotator, against $name" --command "bash scripts/dbdc3.sh DATA" \
    --out "results/dbdc3_above_person_$others.json"
done
