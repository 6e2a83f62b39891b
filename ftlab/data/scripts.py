"""Which writing system a text is in, by the characters it holds most of."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

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
_PLACES, _NAMES = list(_STARTS), list(_STARTS.values())


def script_of(text: str) -> str:
    """latin, cyrillic, han, …, by most of the first characters; "none" for a text without letters
    of a known script. Kana tells Japanese even among more Chinese characters."""
    start = text[:LOOKED_AT]
    plain = start.encode("ascii", "ignore")
    if len(plain) * 8 >= len(start) * 7 and any(map(str.isalpha, start[:40])):
        return "latin"  # an accent or an emoji here and there
    n_plain = sum(map(str.isalpha, plain.decode()))
    counts = Counter({"latin": n_plain})
    for code in map(ord, start):
        if code >= 0xC0:
            counts[_NAMES[bisect_right(_PLACES, code) - 1]] += 1
    del counts[""]
    if counts["kana"] * 5 > counts["han"] and counts["kana"]:
        return "kana"
    name, n = counts.most_common(1)[0]
    return name if n else "none"
