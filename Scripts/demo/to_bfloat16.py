"""Rewrites a float32 safetensors file in bfloat16, rounding to nearest, ties to even.

    to_bfloat16.py IN.safetensors OUT.safetensors

Tensors that are bfloat16 already are copied. Python's standard library only.
"""
import array
import json
import struct
import sys


def narrowed(data):
    words = array.array("I", data)
    if sys.byteorder == "big":
        words.byteswap()
    halves = array.array("H", ((w + 0x7FFF + ((w >> 16) & 1)) >> 16 & 0xFFFF for w in words))
    if sys.byteorder == "big":
        halves.byteswap()
    return halves.tobytes()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        source = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        content = file.read()
    header, body, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, entry in sorted((n, e) for n, e in source.items() if n != "__metadata__"):
        data = content[slice(*entry["data_offsets"])]
        if entry["dtype"] == "F32":
            data = narrowed(data)
        elif entry["dtype"] != "BF16":
            sys.exit(f"{sys.argv[1]}: {name} is {entry['dtype']}, expected F32 or BF16")
        header[name] = {"dtype": "BF16", "shape": entry["shape"], "data_offsets": [offset, offset + len(data)]}
        body.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(sys.argv[2], "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(body)


if __name__ == "__main__":
    main()
