"""Loads an adapter of mlx-lm's form with mlx-lm itself and compares it with the PEFT adapter it was made of.

    compare_mlx.py BASE MLX_ADAPTER MERGED

MERGED is the base with the adapter merged in (`qwen-sft merge`). Prints the greatest difference of the logits on one row.
Needs mlx, mlx-lm.
"""
import sys
import mlx.core as mx
from mlx_lm.utils import load_model
from mlx_lm.tuner.utils import load_adapters
from pathlib import Path

mx.set_default_device(mx.cpu)
base, adapter, merged = sys.argv[1:4]
model, _ = load_model(Path(base))
model = load_adapters(model, adapter)
model.eval()
other, _ = load_model(Path(merged))
ids = mx.array([[i * 7 % 900 for i in range(24)]])
plain, _ = load_model(Path(base))
a, b, c = model(ids), other(ids), plain(ids)
print("adapter against merged", mx.abs(a - b).max().item(), "| base against merged", mx.abs(c - b).max().item())
