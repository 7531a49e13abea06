"""Writes random float32 weights for a dense Qwen3 config.json with a tied head: model.safetensors.

    init_weights.py CONFIG.json OUT/model.safetensors [--seed 7]

Normal with the config's initializer_range; the projections that write into the residual stream (o_proj, down_proj)
are divided by √(2·layers), as GPT-2 does; norms are 1. Python's standard library only; same seed, same bytes.
"""
import argparse
import array
import json
import math
import random
import struct
import sys


def tensors(config):
    """Yields (name, shape, standard deviation); None stands for a norm."""
    hidden, inner, depth = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    queries = config["num_attention_heads"] * config["head_dim"]
    values = config["num_key_value_heads"] * config["head_dim"]
    std = config["initializer_range"]
    residual = std / math.sqrt(2 * depth)
    yield "model.embed_tokens.weight", [config["vocab_size"], hidden], std
    for i in range(depth):
        at = f"model.layers.{i}."
        yield at + "input_layernorm.weight", [hidden], None
        yield at + "self_attn.q_proj.weight", [queries, hidden], std
        yield at + "self_attn.k_proj.weight", [values, hidden], std
        yield at + "self_attn.v_proj.weight", [values, hidden], std
        yield at + "self_attn.o_proj.weight", [hidden, queries], residual
        yield at + "self_attn.q_norm.weight", [config["head_dim"]], None
        yield at + "self_attn.k_norm.weight", [config["head_dim"]], None
        yield at + "post_attention_layernorm.weight", [hidden], None
        yield at + "mlp.gate_proj.weight", [inner, hidden], std
        yield at + "mlp.up_proj.weight", [inner, hidden], std
        yield at + "mlp.down_proj.weight", [hidden, inner], residual
    yield "model.norm.weight", [hidden], None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("output")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    config = json.load(open(arguments.config, encoding="utf-8"))
    if config["model_type"] != "qwen3" or not config["tie_word_embeddings"]:
        sys.exit(f"{arguments.config}: expected a tied qwen3 config")
    r = random.Random(arguments.seed)
    header, body, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, shape, std in tensors(config):
        count = math.prod(shape)
        values = array.array("f", [1.0] * count if std is None else (r.gauss(0, std) for _ in range(count)))
        if sys.byteorder == "big":
            values.byteswap()
        data = values.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        body.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(arguments.output, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(body)
    print(f"{arguments.output}: {offset // 4} parameters, seed {arguments.seed}")


if __name__ == "__main__":
    main()
