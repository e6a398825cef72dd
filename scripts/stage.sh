# Sourced by the scripts that run whole corpora: one thread a process, and nothing leaves the machine unless HF_HUB_OFFLINE=0 is given.
export WANDB_MODE=offline HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# As they are seen from where the script was called: an encoder's folder rather than its name, a config of one's own.
for given in ENCODER CONFIG; do
  [ ! -e "${!given:-}" ] || export "$given=$(realpath -- "${!given}")"
done

place() {
  # A path as it was given, from where the script was called; nothing where nothing was given.
  [ -z "${1:-}" ] || realpath -m -- "$1"
}

there() {
  # The same of what has to be there; what it is, for who is told that it is not.
  local found
  found=$(place "${1:-}")
  if [ -n "$found" ] && [ ! -e "$found" ]; then
    printf '%s: there is no %s, %s\n' "$0" "$found" "$2" >&2
    exit 2
  fi
  printf '%s' "$found"
}

tested() {
  # What the folders of a test part are called, so that another part is judged by the same trainings: `test` where none was given.
  if [ -z "$1" ]; then echo test; else echo "test-$(printf '%s' "$1" | sha256sum | cut -c 1-8)"; fi
}

stage() {
  # What a stage makes, then its command; what is there is not made again.
  local made=$1
  shift
  [ -e "$made" ] && return
  printf '== %(%H:%M:%S)T %s\n' -1 "$*"
  "$@"
}

unseen() {
  # The log of a test part that was given, and those that are trained on: what stands in the latter is no test.
  local log=$1
  shift
  stage "$log" python scripts/unseen.py "${log%.jsonl}.raw.jsonl" "$log" "$@"
}

recipe() {
  # Where the run's folder is. Sets `encoder`, and `recipe`, the options of a training: the small encoder on one core; or, by ENCODER and CONFIG in
  # the environment, any encoder by any config, such as ENCODER=FacebookAI/roberta-base CONFIG=configs/base_gpu.yaml.
  if [ -z "${ENCODER:-}" ]; then
    stage "$1/encoder/origin.json" labelgen encoder "$1/encoder" --force
  fi
  encoder=${ENCODER:-$1/encoder}
  recipe=(--config "${CONFIG:-configs/public_cpu.yaml}" --model.encoder "$encoder")
  if [ -z "${CONFIG:-}" ]; then recipe+=(--hardware.threads 1); fi
}

of_quality() {
  # Behind `recipe`: quality alone, as people rated it. The small encoder stays as it is; any other learns as its config says.
  if [ -z "${CONFIG:-}" ]; then
    recipe+=(--config configs/quality.yaml)
  else
    recipe+=(--tasks '{quality: {}}' --targets.annotators '[consensus]' --length.keep last)
  fi
}
