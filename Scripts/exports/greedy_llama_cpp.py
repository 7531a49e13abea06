"""Greedy answers of a GGUF file in llama.cpp, one JSON list of token ids a prompt.

    greedy_llama_cpp.py MODEL.gguf [ADAPTER.gguf]      prompts: JSON lists of ids on standard input

Needs llama-cpp-python.
"""
import json, sys
from llama_cpp import Llama

model = Llama(sys.argv[1], n_ctx=512, verbose=False, lora_path=sys.argv[2] if len(sys.argv) > 2 else None, n_threads=1)
for line in sys.stdin:
    out = []
    for token in model.generate(json.loads(line), temp=0.0, top_k=1, repeat_penalty=1.0):
        if len(out) == 32 or token in (model.token_eos(),):
            break
        out.append(token)
    model.reset()
    print(json.dumps(out))
