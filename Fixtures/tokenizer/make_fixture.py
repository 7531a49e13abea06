#!/usr/bin/env python3
"""Make the small tokenizer of this folder and what Hugging Face `tokenizers` does with it.

    make_fixture.py            (run anywhere; writes beside itself)

tokenizer.json is a byte-level BPE tokenizer in Qwen's form, trained on the text below. variants.json holds changes to
it, each a tokenizer of its own; vectors.jsonl what every variant makes of seeded random texts and ids.
"""
import copy
import json
import pathlib
import random
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
HERE = pathlib.Path(__file__).parent
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN35 = QWEN2.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PLAIN = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
CORPUS = """
The quick brown fox jumps over the lazy dog, and the dog doesn't mind. It's what they've said: we'll see, I'm sure.
def tokenize(text: str) -> list[int]:\n    for word in text.split():\n        if word == "return":\n            return []
{"role": "user", "content": "What is 12 + 30?"} <b>bold</b> // comment # heading ```python x += 1``` $$a^2 + b^2$$
Größe, naïve café, déjà vu, señor, Việt Nam, łódź. Съешь же ещё этих мягких французских булок. Ελληνικά γράμματα.
你好,世界。人工智能是计算机科学的一个分支。こんにちは世界。今日はいい天気です。안녕하세요 세계. नमस्ते दुनिया। สวัสดี שלום مرحبا 🙂🎉👍
""" * 3
WORDS = ("the of and def return import class x=1 foo_bar self.a it's we'LL I'VE don't 'ſ don’t 12345 ½ Ⅷ １２ naïve "
         "café Привет мир 你好 世界 こんにちは 안녕하세요 नमस्ते สวัสดี שָׁלוֹם مَرْحَبًا Việt <html> // {} [] — 🙂 👩‍👩‍👧 🇩🇪 ❤️ "
         "e\u0301 a\u0323\u0302 \u1100\u1161\u11a8 각 ﬁ Å ｗ").split(" ")
LOOKALIKES = SPECIAL + PLAIN + ["<|im_start", "im_end|>", "<|", "|>", "<", "<think", "<|im_start|"]
SPACES = ["\n", "\r\n", "\n\n", "  ", "   ", "\t", " \n", "\r", "\u00a0", "\u3000", "\u2028", "\x0b"]
MARKS = [c for c in range(0x20000) if unicodedata.combining(chr(c))]
COMPOSITE = [c for c in range(0x30000) if unicodedata.decomposition(chr(c))[:1] not in ("", "<")]


def train():
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tok.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tok.train_from_iterator([CORPUS], trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tok.add_tokens([AddedToken(t, normalized=False, special=False) for t in PLAIN])
    return json.loads(tok.to_str())


def byte_level(**options):
    return {"type": "ByteLevel", "add_prefix_space": False, **options}


def variants(base):
    def added(content, special, normalized, lstrip, rstrip, single_word):
        added.next += 1
        return dict(id=added.next, content=content, special=special, normalized=normalized, lstrip=lstrip,
                    rstrip=rstrip, single_word=single_word)

    added.next = max(t["id"] for t in base["added_tokens"])
    odd = base["added_tokens"] + [added(c, *(bool(int(f)) for f in flags)) for c, flags in [
        ("<mask>", "10001"), ("the", "00010"), ("e\u0301\u0323", "01000"), (" and", "00000"), ("<|im", "00100"),
        ("foo bar", "10101"), ("self", "01111"), ("世", "01010"), ("  ", "01010"), ("a\u0323", "00100"), ("\u017f", "11000")]]
    split35 = copy.deepcopy(base["pre_tokenizer"])
    split35["pretokenizers"][0]["pattern"]["Regex"] = QWEN35
    alphabet = [t for t in base["model"]["vocab"] if len(t) == 1]
    merged = {c for pair in base["model"]["merges"] for c in "".join(pair)}
    unused = [t for t in alphabet if t not in merged]
    return {
        "plain": {},
        "qwen35": {"pre_tokenizer": split35},
        "gpt2": {"normalizer": None, "pre_tokenizer": byte_level(trim_offsets=True, use_regex=True),
                 "post_processor": byte_level(trim_offsets=True, use_regex=True)},
        "added": {"added_tokens": odd},
        "trimmed": {"added_tokens": odd, "post_processor": byte_level(trim_offsets=True, use_regex=False)},
        "ignore_merges": {"ignore_merges": True, "dropped_merges": [100, 130]},
        "missing_bytes": {"dropped_tokens": unused[::2]},
    }


def apply(base, change):
    out = copy.deepcopy(base)
    for key, value in change.items():
        if key == "ignore_merges":
            out["model"][key] = value
        elif key == "dropped_merges":
            del out["model"]["merges"][value[0]:value[1]]
        elif key == "dropped_tokens":
            for token in value:
                del out["model"]["vocab"][token]
        else:
            out[key] = value
    return out


def character(r):
    k = r.random()
    if k < .3:
        return chr(r.randrange(32, 127))
    if k < .4:
        return chr(r.choice(MARKS))
    if k < .55:
        return chr(r.choice(COMPOSITE))
    if k < .7:
        return chr(r.randrange(0x80, 0x3000))
    if k < .75:
        return chr(r.choice([r.randrange(0x1100, 0x1200), r.randrange(0xAC00, 0xD7A4)]))
    if k < .8:
        return chr(r.randrange(0, 32))
    c = r.randrange(0x110000)
    return chr(c) if not 0xD800 <= c <= 0xDFFF else "\ufffd"


def text(r):
    out = []
    for _ in range(r.randrange(0, r.choice([3, 6, 12]))):
        k = r.random()
        if k < .4:
            out.append(character(r))
        elif k < .75:
            out.append((" " if r.random() < .7 else "") + r.choice(WORDS))
        elif k < .85:
            out.append(r.choice(LOOKALIKES))
        else:
            out.append(r.choice(SPACES))
    return "".join(out)


def main():
    base = train()
    (HERE / "tokenizer.json").write_text(json.dumps(base, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    config = {"eos_token": "<|im_end|>", "pad_token": {"content": "<|endoftext|>", "special": True}, "bos_token": None,
              "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "tokenizer_class": "Qwen2Tokenizer",
              "added_tokens_decoder": {str(t.pop("id")): t for t in copy.deepcopy(base["added_tokens"])}}
    (HERE / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    changes = variants(base)
    (HERE / "variants.json").write_text(json.dumps(changes, separators=(",", ":")))
    r, lines = random.Random(20), []
    for name, change in changes.items():
        tok = Tokenizer.from_str(json.dumps(apply(base, change)))
        texts = ["", " ", "\n", "a", "é", "e\u0301"] + [text(r) for _ in range(120 if name == "plain" else 60)]
        for t in texts:
            e = tok.encode(t)
            lines.append({"variant": name, "text": t, "ids": e.ids, "offsets": [list(o) for o in e.offsets]})
        for _ in range(20):
            ids = [r.choice([r.randrange(256), r.randrange(tok.get_vocab_size()), tok.get_vocab_size() - 1 - r.randrange(18),
                             r.randrange(5000)]) for _ in range(r.randrange(12))]
            lines.append({"variant": name, "ids": ids, "decoded": tok.decode(ids, skip_special_tokens=False),
                          "skipped": tok.decode(ids, skip_special_tokens=True)})
    (HERE / "vectors.jsonl").write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


main()
