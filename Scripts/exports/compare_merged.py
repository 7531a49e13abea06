"""Compares a merged folder, loaded by transformers, with the adapter on its base, loaded by peft.

    compare_merged.py BASE ADAPTER MERGED

Prints the greatest difference of log-probabilities on the sample data and whether 32 greedy tokens are the same.
"""
import json, os, sys, warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import torch, transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
base, adapter, merged = sys.argv[1:4]
root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
tokenizer = AutoTokenizer.from_pretrained(merged)
rows = [json.loads(l)["messages"] for l in open(os.path.join(root, "Fixtures/sample.jsonl"))][:8]
a = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).eval()
b, info = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32, output_loading_info=True)
b.eval()
assert not info["missing_keys"] and not info["unexpected_keys"], info
worst, same = 0.0, 0
with torch.no_grad():
    for row in rows:
        ids = tokenizer(tokenizer.apply_chat_template(row, tokenize=False), return_tensors="pt").input_ids
        p, q = (m(input_ids=ids).logits.double().log_softmax(-1) for m in (a, b))
        worst = max(worst, (p - q).abs().max().item())
        prompt = tokenizer(tokenizer.apply_chat_template(row[:1], tokenize=False, add_generation_prompt=True), return_tensors="pt")
        x, y = (m.generate(**prompt, max_new_tokens=32, do_sample=False).tolist() for m in (a, b))
        same += x == y
print(json.dumps({"greatest_difference": worst, "greedy_equal": f"{same}/{len(rows)}", "dtype": str(b.config.dtype)}))
