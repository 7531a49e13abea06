"""Checks a Q4_K_M (or other) GGUF file with llama.cpp: that its quantizer makes the same tensors of the float32 file.

    compare_gguf.py F32.gguf QUANTIZED.gguf TYPE        TYPE: q4_k_m, q8_0, f16 or bf16

Needs llama-cpp-python and gguf. Prints how many tensors are equal in type and bytes.
"""
import ctypes, os, sys, tempfile
import llama_cpp, gguf

source, ours, name = sys.argv[1:4]
types = {"q4_k_m": 15, "q8_0": 7, "f16": 1, "bf16": 32}
theirs = os.path.join(tempfile.mkdtemp(), "theirs.gguf")
params = llama_cpp.llama_model_quantize_default_params()
params.ftype = types[name]
params.nthread = 1
assert llama_cpp.llama_model_quantize(source.encode(), theirs.encode(), ctypes.byref(params)) == 0
a = {t.name: t for t in gguf.GGUFReader(ours).tensors}
b = {t.name: t for t in gguf.GGUFReader(theirs).tensors}
assert a.keys() == b.keys(), a.keys() ^ b.keys()
kinds, bytes_ = 0, 0
for key in a:
    kinds += a[key].tensor_type == b[key].tensor_type
    same = a[key].data.tobytes() == b[key].data.tobytes()
    bytes_ += same
    if not same:
        print(key, a[key].tensor_type.name, b[key].tensor_type.name, a[key].shape)
print(f"{len(a)} tensors: {kinds} of the same type, {bytes_} of the same bytes")
