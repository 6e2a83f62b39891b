"""Which writing system a text is in, by the characters it holds most of."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

LOOKED_AT = 120  # characters
# First character of a range → the script from there on; "" is none of these.
_STARTS = {
    0x00C0: "latin",
    0x0250: "",
    0x0370: "greek",
    0x0400: "cyrillic",
    0x0530: "",
    0x0590: "hebrew",
    0x0600: "arabic",
    0x0780: "",
    0x0900: "devanagari",
    0x0980: "",
    0x0E00: "thai",
    0x0E80: "",
    0x1100: "hangul",
    0x1200: "",
    0x1E00: "latin",
    0x1F00: "greek",
    0x2000: "",
    0x3040: "kana",
    0x3100: "",
    0x3400: "han",
    0xA000: "",
    0xAC00: "hangul",
    0xD7B0: "",
}
NONE, LATIN, KANA, HAN = "none", "latin", "kana", "han"
_NAMES = (NONE, *dict.fromkeys(name for name in _STARTS.values() if name))
_LAST = 0xD7B0
"""Characters from here on belong to none of these."""


def _table() -> np.ndarray:
    """Place in `_NAMES` of every character up to `_LAST`."""
    table = np.zeros(_LAST + 1, np.uint8)
    starts = [*_STARTS, _LAST]
    for start, end in pairwise(starts):
        table[start:end] = _NAMES.index(_STARTS[start] or NONE)
    for letters in (b"az", b"AZ"):
        table[letters[0] : letters[1] + 1] = _NAMES.index(LATIN)
    return table


_TABLE = _table()


def scripts_of(texts: list[str]) -> list[str]:
    """latin, cyrillic, han, … for each text, by most of the letters at its start; "none" for one
    without letters of a known script. Kana tells Japanese even among more Chinese characters."""
    starts = [text[:LOOKED_AT] for text in texts]
    codes = np.frombuffer("".join(starts).encode("utf-32-le", "surrogatepass"), "<u4")
    owner = np.repeat(np.arange(len(texts)), [len(start) for start in starts])
    cells = owner * len(_NAMES) + _TABLE[np.minimum(codes, _LAST)]
    n_letters = np.bincount(cells, minlength=len(texts) * len(_NAMES))
    counts = n_letters.reshape(len(texts), len(_NAMES))
    counts[:, 0] = 0
    kana, han = counts[:, _NAMES.index(KANA)], counts[:, _NAMES.index(HAN)]
    best = np.where((kana > 0) & (kana * 5 > han), _NAMES.index(KANA), counts.argmax(axis=1))
    return [_NAMES[place] for place in best.tolist()]
