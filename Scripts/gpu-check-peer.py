"""What gpu-check needs of Python: models with random weights, and a LoRA step of transformers + peft, timed.

    gpu-check-peer.py make Qwen3-0.6B|Qwen3-4B FOLDER
    gpu-check-peer.py bench FOLDER qlora|bf16 --tokens 2048 --batch 1 --steps 4 [--no-checkpointing]

The last line of `bench` is one JSON object. Half of every row is trained, as in `qwen-sft bench`; the best step but the
first counts.
"""
import argparse
import json
import sys
import time

import torch

SIZES = {
    "Qwen3-0.6B": dict(hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16),
    "Qwen3-4B": dict(hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32),
}


def make(name, folder):
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=151936, num_key_value_heads=8, head_dim=128, rms_norm_eps=1e-6, max_position_embeddings=32768,
        tie_word_embeddings=True, rope_theta=1e6, **SIZES[name])
    torch.set_default_dtype(torch.bfloat16)
    # Billions of random numbers: minutes on a processor.
    with torch.device("cuda"):
        model = Qwen3ForCausalLM(config)
    model.save_pretrained(folder)


def bench(a):
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    torch.manual_seed(42)
    options = dict(attn_implementation="sdpa", torch_dtype=torch.bfloat16, device_map="cuda")
    if a.mode == "qlora":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(a.folder, **options)
    checkpointing = not a.no_checkpointing
    if a.mode == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=checkpointing)
    elif checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM"))
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4)
    times = []
    for _ in range(a.steps):
        ids = torch.randint(0, model.config.vocab_size - 1000, (a.batch, a.tokens), device="cuda")
        labels = ids.clone()
        labels[:, : a.tokens // 2] = -100
        torch.cuda.synchronize()
        start = time.perf_counter()
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    best = min(times[1:] or times)
    print(json.dumps({
        "tokens_per_second": a.batch * a.tokens / best, "step_seconds": times, "loss": loss.item(),
        "gradient_norm": norm.item(), "peak_bytes": torch.cuda.max_memory_allocated(), "torch": torch.__version__}))


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("make")
    command.add_argument("name", choices=SIZES)
    command.add_argument("folder")
    command = commands.add_parser("bench")
    command.add_argument("folder")
    command.add_argument("mode", choices=["qlora", "bf16"])
    command.add_argument("--tokens", type=int, default=2048)
    command.add_argument("--batch", type=int, default=1)
    command.add_argument("--steps", type=int, default=4)
    command.add_argument("--no-checkpointing", action="store_true")
    a = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch finds no GPU")
    if a.command == "make":
        make(a.name, a.folder)
    else:
        bench(a)


if __name__ == "__main__":
    main()
