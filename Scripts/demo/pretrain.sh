#!/usr/bin/env bash
# Makes the demo model's weights from nothing: corpus, random weights, full training by qwen-sft.
#
#   Scripts/demo/pretrain.sh [WORK_FOLDER]     (default: out/demo under the repository)
#
# Tokenizer and config are taken from Fixtures/demo-model as they are; make_tokenizer.py made them from the same
# corpus. Needs python3 (standard library only). The result replaces Fixtures/demo-model/model.safetensors and its log,
# pretraining.jsonl.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scripts=$root/Scripts/demo
model=$root/Fixtures/demo-model
work=${1:-$root/out/demo}
mkdir -p "$work/init"
work=$(cd "$work" && pwd)

python3 "$scripts/make_corpus.py" --count 40000 --seed 1 --output "$work/corpus.jsonl"
python3 "$scripts/make_corpus.py" --count 500 --seed 9 --split heldout --output "$work/heldout.jsonl"
for file in config.json generation_config.json tokenizer.json tokenizer_config.json chat_template.jinja; do
  cp "$model/$file" "$work/init/$file"
done
python3 "$scripts/init_weights.py" "$work/init/config.json" "$work/init/model.safetensors" --seed 7

"$root/run.sh" train --full --model "$work/init" --data "$work/corpus.jsonl" --output_dir "$work/trained" \
  --max_steps 4000 --per_device_train_batch_size 32 --gradient_accumulation_steps 1 --learning_rate 3e-3 \
  --lr_scheduler_type linear --warmup_steps 100 --weight_decay 0.01 --max_grad_norm 1.0 --max_seq_length 256 \
  --save_strategy no --logging_steps 100 --seed 42

# config.json says bfloat16, so the result is.
cp "$work/trained/model.safetensors" "$model/model.safetensors"
cp "$work/trained/metrics.jsonl" "$model/pretraining.jsonl"
"$root/run.sh" evaluate --model "$model" --data "$work/heldout.jsonl"
