#!/usr/bin/env bash
# Installs what is missing, checks the format, builds in release and runs every test. Exits with the tests' status.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=Scripts/prepare.sh
source "$root/Scripts/prepare.sh"

prepare
cd "$root"
if swift format --version >/dev/null 2>&1; then
  say "checking the format"
  swift format lint --strict --recursive Sources Tests Package.swift
else
  say "no swift format in this toolchain: format not checked"
fi
say "building"
swift build -c release
swift build -c release --build-tests

# NVRTC compiles the CUDA kernels without a GPU. Where it cannot be had the tests that need it skip themselves, saying so.
nvrtc=${XDG_CACHE_HOME:-$HOME/.cache}/qwen-sft-tests/nvrtc-13.0.88
fetch_nvrtc() {
  local folder
  folder=$(mktemp -d)
  timeout 180 python3 -m pip download --quiet --no-deps --dest "$folder" nvidia-cuda-nvrtc==13.0.88 >&2 &&
    python3 -m zipfile -e "$folder"/*.whl "$folder/wheel" &&
    mkdir -p "$(dirname "$nvrtc")" && mv -T "$folder"/wheel/nvidia/cu13/lib "$nvrtc"
  local status=$?
  rm -rf "$folder"
  return $status
}
if [[ ! -e $nvrtc/libnvrtc.so.13 ]] && ! { python3 -m pip --version >/dev/null 2>&1 && fetch_nvrtc; }; then
  say "no NVRTC here and none to be had from PyPI: kernels are not compiled for GPUs"
fi
export QWEN_SFT_CUDA_LIBRARIES=${QWEN_SFT_CUDA_LIBRARIES:+$QWEN_SFT_CUDA_LIBRARIES:}$nvrtc

say "testing"
exec swift test -c release --skip-build
