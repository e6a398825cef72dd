# Sourced by the scripts that run whole corpora: what a stage makes, then its command; what is there is not made again.
stage() {
  local made=$1
  shift
  [ -e "$made" ] && return
  printf '== %(%H:%M:%S)T %s\n' -1 "$*"
  "$@"
}
