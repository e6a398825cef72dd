#!/usr/bin/env bash
# Boundaries in STAR's completed multi-task dialogues, where the wizard took up another task, by the script for any segmented dialogues
# (scripts/public_segments.sh). Goes on from the parts by user that `make public` made in PUBLIC. One core, twenty minutes.
#   bash scripts/star_segments.sh [OUT [PUBLIC]]
set -euo pipefail
. "$(dirname "$0")/stage.sh"
out=$(path "${1:-}" runs/star-segments)
public=$(path "${2:-}" runs/public)
needs "$public/star-parts/train.jsonl" "bash scripts/public.sh DATA $public"
mkdir -p "$out"
completed=()
for part in train test; do
  stage "$out/$part.jsonl" python scripts/spliced_goals.py several "$public/star-parts/$part.jsonl" "$out/$part.jsonl" "${completed[@]}"
  stage "$out/data/$part/star.jsonl" python scripts/public_segments.py write "$out/$part.jsonl" "$out/data/$part/star.jsonl" --annotator wizard
  completed=(--completed)
done
NAME=star TITLE="Boundaries in STAR's completed multi-task dialogues" COMMAND="bash scripts/star_segments.sh" \
  bash scripts/public_segments.sh "$out/data/train" "$out/data/test" "$out/run"
cp "$out/run/segments_star.json" results/
