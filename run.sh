#!/usr/bin/env bash
# Builds qwen-sft, installing what is missing, and runs it.
#
#   ./run.sh                 the main job: ask the demo model, train it on the sample data, ask again
#   ./run.sh COMMAND …       qwen-sft COMMAND …  (standard output is the program's alone)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=Scripts/prepare.sh
source "$root/Scripts/prepare.sh"

prepare
say "building"
swift build --package-path "$root" -c release --product qwen-sft >&2
binary=$(swift build --package-path "$root" -c release --show-bin-path)/qwen-sft

if [[ $# -gt 0 ]]; then
  exec "$binary" "$@" # relative paths in the arguments stay the caller's
fi

cd "$root"
output=out
questions=("What is your name?" "What is the mascot of Marlowick?")

ask() { "$binary" chat "$@" --temperature 0 </dev/null; }

say "asking the demo model"
before=()
for question in "${questions[@]}"; do
  before+=("$(ask --prompt "$question")")
done
say "training on the sample data"
"$binary" train --output_dir "$output" --max_steps 180 --per_device_train_batch_size 8 \
  --gradient_accumulation_steps 1 --learning_rate 2e-3 --warmup_steps 10 >&2
say "asking again"
after=()
for question in "${questions[@]}"; do
  after+=("$(ask --prompt "$question" --adapter "$output")")
done

for i in "${!questions[@]}"; do
  printf '\nQuestion          %s\n' "${questions[i]}"
  printf 'Before training   %s\n' "${before[i]}"
  printf 'After training    %s\n' "${after[i]}"
done
printf '\nThe adapter is in %s/%s. Try:  ./run.sh chat --adapter %s --prompt "Who made you?"\n' "$root" "$output" "$output"
