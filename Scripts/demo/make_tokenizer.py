"""Trains the demo model's tokenizer on the generated corpus and writes its configuration files.

    make_tokenizer.py CORPUS.jsonl OUT [--vocab 1280]

A byte-level BPE in Qwen's own format (NFC, Qwen's splitting expression, special tokens after the merges), so that
nothing in the library is special to the demo. Needs the `tokenizers` package. OUT gets tokenizer.json,
tokenizer_config.json, config.json and generation_config.json; chat_template.jinja is written by hand and stays.
"""
import argparse
import json
import os

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PLAIN = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
HIDDEN, INTERMEDIATE, LAYERS, HEADS, KEY_VALUE_HEADS, HEAD_DIM, POSITIONS = 128, 384, 4, 4, 2, 32, 1024


def train(texts, size):
    byte_level = dict(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"), pre_tokenizers.ByteLevel(**byte_level)])
    tokenizer.post_processor = processors.ByteLevel(**byte_level)
    tokenizer.decoder = decoders.ByteLevel(**byte_level)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size - len(SPECIAL) - len(PLAIN), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in PLAIN])
    return tokenizer


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("out")
    parser.add_argument("--vocab", type=int, default=1280)
    arguments = parser.parse_args()
    texts = [message["content"] for line in open(arguments.corpus, encoding="utf-8")
             for message in json.loads(line)["messages"]]
    # Roles are plain text of the template: without them here they would fall apart into letters.
    tokenizer = train(texts + ["system", "user", "assistant"] * 1000, arguments.vocab)
    os.makedirs(arguments.out, exist_ok=True)
    tokenizer.save(os.path.join(arguments.out, "tokenizer.json"))
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL + PLAIN}
    end_of_text, end_of_turn = ids["<|endoftext|>"], ids["<|im_end|>"]
    write_json(os.path.join(arguments.out, "tokenizer_config.json"), {
        "add_bos_token": False, "add_prefix_space": False,
        "added_tokens_decoder": {str(i): {
            "content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": token in SPECIAL} for token, i in ids.items()},
        "bos_token": None, "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>", "errors": "replace",
        "model_max_length": POSITIONS, "pad_token": "<|endoftext|>", "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None})
    write_json(os.path.join(arguments.out, "config.json"), {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": end_of_text, "eos_token_id": end_of_turn, "head_dim": HEAD_DIM, "hidden_act": "silu",
        "hidden_size": HIDDEN, "initializer_range": 0.02, "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": POSITIONS, "max_window_layers": LAYERS, "model_type": "qwen3",
        "num_attention_heads": HEADS, "num_hidden_layers": LAYERS, "num_key_value_heads": KEY_VALUE_HEADS,
        "pad_token_id": end_of_text, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 10000.0,
        "sliding_window": None, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True,
        "use_sliding_window": False, "vocab_size": tokenizer.get_vocab_size()})
    write_json(os.path.join(arguments.out, "generation_config.json"), {
        "bos_token_id": end_of_text, "do_sample": False, "eos_token_id": [end_of_turn, end_of_text],
        "pad_token_id": end_of_text})
    print(f"tokenizers {tokenizers.__version__}: {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
