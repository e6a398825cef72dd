#!/usr/bin/env bash
# All steps on public corpora: SGD and STAR, unpacked in one folder. `make public DATA=DIR` runs it.
# The corpora are subsampled by a stable hash, so that two cores need less than an hour with the small encoder. Finished steps are
# cached; interrupted trainings continue. Two lanes run side by side, one thread each, with a log each; if one fails, or the
# script is interrupted, everything is stopped.
set -euo pipefail
. "$(dirname "$0")/stage.sh"
data=$(path "${1:?the folder of the unpacked corpora}")
out=$(path "${2:-}" runs/public)
mkdir -p "$out"

exec 3>&1
lanes=() # process -> name of the lane
stop() {
  local lane
  for lane in "${!lanes[@]}"; do kill -- "-$lane" 2>/dev/null || true; done
  wait
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

took() {
  # Seconds, then the output that took them; printed here, also from within a lane.
  printf '== took %d:%02d:%02d: %s\n' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60)) "$2" >&3
}
stage() {
  # The output of a stage, then its command.
  local made=$1 began=$SECONDS
  shift
  [ -e "$made" ] && return
  printf '== %(%H:%M:%S)T %s\n' -1 "$*"
  "$@"
  took $((SECONDS - began)) "$made"
}
side_by_side() {
  # Names of functions. Each gets its own process group, so that everything it started can be stopped.
  local name ended
  for name in "$@"; do
    set -m
    "$name" </dev/null >"$out/$name.log" 2>&1 &
    set +m
    lanes[$!]=$name
  done
  while [ ${#lanes[@]} -gt 0 ]; do
    wait -n -p ended "${!lanes[@]}" || {
      local code=$?
      printf '== %s failed, see %s\n' "${lanes[$ended]}" "$out/${lanes[$ended]}.log" >&2
      tail -n 20 "$out/${lanes[$ended]}.log" >&2
      exit "$code"
    }
    unset "lanes[$ended]"
  done
}
sample() {
  # A corpus's name, its published folder, how many dialogues.
  stage "$out/$1/$1.jsonl" labelgen data convert "$data/$2" "$out/$1/$1.jsonl" --format "${2%%/*}" --sample "$3"
}
train() {
  # Name of the run, then what differs from configs/public_cpu.yaml.
  local run=$1
  shift
  stage "$out/$run/model/digests.json" labelgen "$command" --config configs/public_cpu.yaml --out "$out/$run" \
    --model.encoder "$out/encoder" --hardware.threads 1 "$@"
}

stage "$out/encoder/origin.json" labelgen encoder "$out/encoder" --force
sample sgd-train sgd/train 2400
sample sgd-dev sgd/dev 150
sample sgd-test sgd/test 150
stage "$out/star/star.jsonl" labelgen data convert "$data/star" "$out/star/star.jsonl" --format star
# SGD: held-out dialogues of training services, and samples of dev and test, whose services are mostly new.
stage "$out/sgd/test.jsonl" labelgen data split "$out/sgd-train/sgd-train.jsonl" "$out/sgd" --parts train=0.85,valid=0.05,test=0.1
# STAR by user: no user is in two parts.
stage "$out/star-parts/test.jsonl" labelgen data split "$out/star/star.jsonl" "$out/star-parts" --parts train=0.65,valid=0.1,test=0.25

command=pretrain
train pretrained --config configs/pretrain.yaml --data.train "[$out/sgd/train.jsonl, $out/star-parts/train.jsonl]" \
  --data.mix '[0.5, 0.25]' --model.leave_out '[wizard_action]'
command=finetune
from=(--init "$out/pretrained/model")
# Small batches: few dialogues and many labels.
sgd_logs=(--data.train "[$out/sgd/train.jsonl]" --data.valid "[$out/sgd/valid.jsonl]" --batch.turns 32 \
  --tasks '{goals: {weight: 2}, outcome: {}, intents: {}, slots: {weight: 10}}')

sgd_context() {
  train sgd-context "${from[@]}" "${sgd_logs[@]}"
}
sgd_alone() {
  train sgd-alone "${from[@]}" "${sgd_logs[@]}" --model.dialogue_layers 0
}
side_by_side sgd_context sgd_alone

evaluate_sgd() {
  stage "$out/evaluation-sgd/evaluation.json" labelgen evaluate "$out/sgd/test.jsonl" "$out/sgd-dev/sgd-dev.jsonl" "$out/sgd-test/sgd-test.jsonl" \
    --reference sgd --model "context=$out/sgd-context/model" --model "no context=$out/sgd-alone/model" \
    --train "$out/sgd/train.jsonl" --out "$out/evaluation-sgd" --title "SGD: held-out dialogues"
}
star() {
  train star-outcomes "${from[@]}" --data.train "[$out/star-parts/train.jsonl]" --data.valid "[$out/star-parts/valid.jsonl]" \
    --tasks '{outcome: {}}' --targets.annotators '[user]' --model.leave_out '[wizard_action]'
  stage "$out/evaluation-star/evaluation.json" labelgen evaluate "$out/star-parts/test.jsonl" --reference user --task outcome \
    --model "model=$out/star-outcomes/model" --train "$out/star-parts/train.jsonl" --out "$out/evaluation-star" \
    --title "STAR: outcomes against the users' own answers"
}
side_by_side evaluate_sgd star

stage "$out/labeled/manifest.json" labelgen label "$out/sgd-dev" "$out/labeled" --model "$out/sgd-context/model" \
  --labels "$out/sgd-dev/labels.json"
labelgen verify "$out/labeled" --input "$out/sgd-dev"
labelgen show "$out/labeled" --count 1
printf '\nreports: %s\n' "$out"/evaluation-*/report.html
took "$SECONDS" "all of it"
