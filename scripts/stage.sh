# shellcheck shell=bash disable=SC2034,SC2154  # variables of the script that sources it
# Sourced by the scripts that run whole corpora: one thread per process; offline unless HF_HUB_OFFLINE=0 is set.
export WANDB_MODE=offline HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

# The folder where the script was called, and the repository, where it runs.
here=$(pwd -P)
cd -P "$(dirname "${BASH_SOURCE[0]}")/.." || exit

path() {
  # A path relative to where the script was called, or the default. A path within the repository stays relative to it, so that an
  # interrupted training continues with the same options.
  case $1 in
    '') echo "$2" ;;
    /*) echo "$1" ;;
    *) (root=$PWD && cd "$here" && realpath -ms --relative-base="$root" -- "$1") ;;
  esac
}
for named in ENCODER CONFIG INIT; do
  # Each may be a path from here, a path in the repository, or a name.
  if [ -n "${!named:-}" ] && [ -e "$(path "${!named}")" ]; then printf -v "$named" %s "$(path "${!named}")"; fi
done

refuse() {
  printf '%s: %s\n' "$0" "$*" >&2
  exit 2
}

judging() {
  # Sets `test`, the path of the test data, and `judged`, a folder in OUT that is named by its content, so that the trainings of one OUT
  # can be evaluated on any test data.
  test='' judged=$out
  if [ -n "$1" ]; then
    test=$(path "$1")
    [ -e "$test" ] || refuse "there is no $1 to be judged on"
    judged=$out/test-$(digest "$test")
  fi
}

digest() {
  # Eight digits of a digest of a file, or of a folder's files.
  if [ -d "$1" ]; then
    (cd "$1" && find -L . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum) | sha256sum | cut -c1-8
  else
    sha256sum <"$1" | cut -c1-8
  fi
}

stage() {
  # The output of a stage, then its command; an existing output is kept.
  local made=$1
  shift
  [ -e "$made" ] && return
  printf '== %(%H:%M:%S)T %s\n' -1 "$*"
  "$@"
}
