#!/usr/bin/env python3
"""Write the Unicode tables of the Tokenizer module by asking the peer, Hugging Face `tokenizers`.

    generate_unicode_tables.py            (from the package root)

The split regex of a tokenizer and its NFC follow the Unicode versions of two C and Rust libraries inside
`tokenizers`, which are neither each other's nor Swift's. So every class is read off the peer's behaviour, code point
by code point; only the values of combining classes and decompositions come from Python's `unicodedata`, and each one
is kept only if the peer shows that it knows it.
"""
import pathlib
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

VERSION = "0.23.3"
assert tokenizers.__version__ == VERSION, f"made for tokenizers {VERSION}, found {tokenizers.__version__}"

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
TARGET = pathlib.Path("Sources/Tokenizer")


def points_matching(pattern):
    """Code points that the peer's regex engine matches with a one-character pattern."""
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed")
    found = set(POINTS)
    for i in range(0, len(POINTS), 1024):
        chunk = POINTS[i:i + 1024]
        for _, (start, end) in split.pre_tokenize_str("".join(map(chr, chunk))):
            found.difference_update(chunk[start:end])
    return found


def word_points():
    """Code points that count as part of a word for an added token with single_word."""
    tok = Tokenizer(models.BPE(vocab={"\n": 0}, merges=[]))
    tok.add_tokens([AddedToken("X", single_word=True, normalized=False)])
    found = set()
    for i in range(0, len(POINTS), 1024):
        chunk = [c for c in POINTS[i:i + 1024] if chr(c) != "X"]
        text = "".join("\nX" + chr(c) for c in chunk)
        hits = {start for (start, _), t in zip(*(lambda e: (e.offsets, e.tokens))(tok.encode(text))) if t == "X"}
        found.update(c for k, c in enumerate(chunk) if 3 * k + 1 not in hits)
    return found | {ord("X")}


def runs(points):
    """Alternating gap and length of the runs of a set of code points."""
    out, end, points = [], 0, sorted(points)
    i = 0
    while i < len(points):
        j = i
        while j + 1 < len(points) and points[j + 1] == points[j] + 1:
            j += 1
        out += [points[i] - end, j - i + 1]
        end = points[j] + 1
        i = j + 1
    return out


def array(name, comment, numbers, element="UInt32"):
    lines, line = [], "   "
    for n in numbers:
        if len(line) + len(f" {n},") > 100:
            lines.append(line)
            line = "   "
        line += f" {n},"
    lines.append(line)
    doc = "".join(f"  /// {c}\n" for c in comment)
    return doc + f"  static let {name}: [{element}] = [\n" + "\n".join(lines) + "\n  ]\n"


def nfc(text):
    return normalizers.NFC().normalize_str(text)


def nfd(text):
    return normalizers.NFD().normalize_str(text)


def combining_classes():
    """ccc of each code point that the peer reorders: triples gap, length, class."""
    base, low, high = "\u4e00", "\u0334", "\u0345"  # classes 0, 1 and 240; none of them composes
    classes = {}
    for c in POINTS:
        s = chr(c)
        if nfd(s) != s:
            continue
        reordered = nfc(base + s + low) == base + low + s or nfc(base + high + s) == base + s + high
        if reordered and s not in low + high:
            classes[c] = unicodedata.combining(s)
            assert classes[c] > 0, hex(c)
    classes[ord(low)], classes[ord(high)] = 1, 240
    out, end, i, points = [], 0, 0, sorted(classes)
    while i < len(points):
        j = i
        while j + 1 < len(points) and points[j + 1] == points[j] + 1 and classes[points[j + 1]] == classes[points[i]]:
            j += 1
        out += [points[i] - end, j - i + 1, classes[points[i]]]
        end = points[j] + 1
        i = j + 1
    return out


def decompositions():
    """Canonical decompositions by one step (gap, first, second or 0) and those that never recompose."""
    out, excluded, last = [], set(), 0
    for c in POINTS:
        s = chr(c)
        d = unicodedata.decomposition(s)
        if not d or d.startswith("<") or 0xAC00 <= c <= 0xD7A3 or nfd(s) == s:
            assert 0xAC00 <= c <= 0xD7A3 or nfd(s) == s, hex(c)
            continue
        parts = [int(p, 16) for p in d.split()]
        out += [c - last] + (parts + [0])[:2]
        last = c
        assert nfd(s) == unicodedata.normalize("NFD", s), hex(c)
        if len(parts) == 2 and nfc(s) != s:
            excluded.add(c)
    return out, excluded


HEADER = """// {what}
// Written by Scripts/generate_unicode_tables.py from the behaviour of tokenizers {version}; do not
// edit. It holds numbers only: {reader} reads them.

"""


def main():
    classes = HEADER.format(what="Unicode classes of the split patterns.", version=VERSION, reader="UnicodeClasses")
    classes += "/// Code-point classes as runs: gap since the end of the last run, length of the run, and so on.\n"
    classes += "enum UnicodeTables {\n" + "\n".join([
        array("letters", [r"`\p{L}`"], runs(points_matching(r"\p{L}"))),
        array("numbers", [r"`\p{N}`"], runs(points_matching(r"\p{N}"))),
        array("marks", [r"`\p{M}`"], runs(points_matching(r"\p{M}"))),
        array("whitespace", [r"`\s`"], runs(points_matching(r"\s"))),
    ]) + "}\n"
    (TARGET / "UnicodeTables.swift").write_text(classes)
    words = HEADER.format(what="Word characters beside added tokens.", version=VERSION, reader="UnicodeClasses")
    words += "extension UnicodeTables {\n" + array(
        "words", [r"`\w` as an added token with `single_word` sees it, in runs like the other classes."],
        runs(word_points())) + "}\n"
    (TARGET / "UnicodeTables+Words.swift").write_text(words)
    pairs, excluded = decompositions()
    tables = HEADER.format(what="Canonical normalisation data.", version=VERSION, reader="NormalizationData")
    tables += "/// What NFC needs, Hangul left out (it is computed).\nenum NormalizationTables {\n" + "\n".join([
        array("combiningClasses", ["Runs of equal non-zero combining class: gap, length, class."], combining_classes()),
        array("excluded", ["Pairs that decompose and never recompose, as runs: gap, length."], runs(excluded)),
        array("decompositions", [
            "One-step canonical decompositions: distance from the last entry, first, second (0: none)."], pairs),
    ]) + "}\n"
    (TARGET / "NormalizationTables.swift").write_text(tables)


main()
