# Sourced by the scripts that run whole corpora: one thread a process, and nothing leaves the machine unless HF_HUB_OFFLINE=0 is given.
export WANDB_MODE=offline HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

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
