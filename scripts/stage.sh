# Sourced first by the scripts that run whole corpora: one thread a process, and nothing leaves the machine unless HF_HUB_OFFLINE=0 is given.
export WANDB_MODE=offline HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

# Where the script was called, and the repository, where it runs.
here=$(pwd -P)
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

path() {
  # A path as it was given, seen from where the script was called; else what stands for it. A relative one in the repository is told from there,
  # so that a training that was begun goes on under the same options.
  case $1 in
    '') echo "$2" ;;
    /*) echo "$1" ;;
    *) (root=$PWD && cd "$here" && realpath -ms --relative-base="$root" -- "$1") ;;
  esac
}
for named in ENCODER CONFIG INIT; do
  # Each may be a path from here, else one in the repository, or a name.
  if [ -n "${!named:-}" ] && [ -e "$(path "${!named}")" ]; then printf -v "$named" %s "$(path "${!named}")"; fi
done

refuse() {
  printf '%s: %s\n' "$0" "$*" >&2
  exit 2
}

needs() {
  # What must be there, then the command that makes it.
  [ -e "$1" ] || refuse "there is no $1; first run: $2"
}

first_of() {
  # The first of these paths that is there, else the last.
  local one
  for one in "$@"; do
    if [ -e "$one" ]; then break; fi
  done
  echo "$one"
}

judging() {
  # TEST as it was given, or nothing. Sets `test`, its path or nothing; `judged`, the folder for what is made of the test part: OUT or, for TEST, a
  # folder in it that is named by what TEST holds, so that the trainings of an OUT can be judged on any; and `results`, where tables go:
  # those of other tests or encoders to OUT.
  test='' judged=$out results=results
  if [ -n "$1" ]; then
    test=$(path "$1")
    [ -e "$test" ] || refuse "there is no $1 to be judged on"
    judged=$out/test-$(digest "$test")
  fi
  if [ -n "$test${ENCODER:-}${CONFIG:-}" ]; then results=$out; fi
}

digest() {
  # Eight digits that tell what a file, or the files of a folder, hold.
  if [ -d "$1" ]; then
    (cd "$1" && find -L . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum) | sha256sum | cut -c1-8
  else
    sha256sum <"$1" | cut -c1-8
  fi
}

stage() {
  # What a stage makes, then its command; what is there is not made again.
  local made=$1
  shift
  [ -e "$made" ] && return
  printf '== %(%H:%M:%S)T %s\n' -1 "$*"
  "$@"
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

quality_recipe() {
  # Where the run's folder is, then what differs for the frozen small encoder: `recipe` of models of quality. A CONFIG says itself how is learned.
  recipe "$1"
  shift
  if [ -z "${CONFIG:-}" ]; then
    recipe+=(--config configs/quality.yaml "$@")
  else
    recipe+=(--config configs/quality_trained.yaml)
  fi
}

held_out() {
  # A test log, what of it may be judged, the logs that were learned from, then options.
  stage "$2" python scripts/held_out.py "$1" "$2" --train "${@:3}"
}
