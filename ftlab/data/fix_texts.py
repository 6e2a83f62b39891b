"""Repairs of one text: characters that say nothing, or that were read in the wrong encoding."""

from __future__ import annotations

import re

_SPECIAL = bytes(set(range(0x80, 0xA0)) - {0x81, 0x8D, 0x8F, 0x90, 0x9D}).decode("cp1252")
# A byte from 0x80 to 0xBF as Windows-1252 or Latin-1 shows it.
_REST = f"[\x80-\xbf{_SPECIAL}]"
_PAIR = f"[Â-ß]{_REST}|[à-ï]{_REST}{{2}}|[ð-ô]{_REST}{{3}}"
# Two such letters by themselves may be meant (a word in capitals before a closing quote), so that
# one pair counts only with the commonest first letters.
_MOJIBAKE = re.compile(f"(?:{_PAIR}){{2,}}|[ÂÃ]{_REST}|[âï]{_REST}{{2}}|ð{_REST}{{3}}")
_ANY_PAIRS = re.compile(f"(?:{_PAIR})+")
_SUSPECT = re.compile("[\x80-\x9fÂ-ô]")
_QUOTES = frozenset("“”‘’„‚…–—™›‹•")
_C1 = re.compile("[\x80-\x9f]")

_TERMINAL = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]{0,500}(?:\x07|\x1b\\\\)")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_ZERO_WIDTH = re.compile("[\u200b-\u200d\u2060]{2,}")
_ANY_CONTROL = re.compile(f"{_CONTROLS.pattern}|{_ZERO_WIDTH.pattern}")
_UTF8_START = re.compile(b"[\xc2-\xf4][\x80-\xbf]")
_BLANK_START = re.compile(r"\A(?:[^\S\n]*\n)+")


def right_encoding(text: str) -> str:
    """Undo UTF-8 that was read as Windows-1252 or Latin-1: `cafÃ©` is `café`."""
    if text.isascii() or not _SUSPECT.search(text):
        return text
    for _ in range(3):  # some texts went wrong more than once
        mended = _MOJIBAKE.sub(_as_utf8, text)
        if mended != text:  # then the doubtful ones come from the same mistake
            mended = _ANY_PAIRS.sub(_as_utf8, text)
        if mended == text:
            break
        text = mended
    return _C1.sub(_from_windows, text)


def _as_utf8(found: re.Match[str]) -> str:
    run = found.group()
    if len(run) == 2 and run[1] in _QUOTES and _may_be_meant(found):
        return run
    try:
        return b"".join(map(_byte, run)).decode("utf-8")
    except UnicodeError:
        return run


def _may_be_meant(found: re.Match[str]) -> bool:
    """At the end of a word, a letter and a quote are more likely just that."""
    text, start, end = found.string, *found.span()
    before = start > 0 and text[start - 1].isalpha()
    after = end < len(text) and text[end].isalpha()
    return before and not after


def _byte(char: str) -> bytes:
    return char.encode("latin-1") if ord(char) < 0x100 else char.encode("cp1252")


def _from_windows(found: re.Match[str]) -> str:
    return found.group().encode("latin-1").decode("cp1252", "ignore") or found.group()


def without_controls(text: str) -> str:
    """Without control characters, colours of a terminal, halves of characters, hidden spaces."""
    if not _ANY_CONTROL.search(text):
        return text
    return _ZERO_WIDTH.sub("", _CONTROLS.sub("", _TERMINAL.sub("", text)))


def unix_newlines(text: str) -> str:
    return text.replace("\r\n", "\n") if "\r" in text else text


def stripped(text: str) -> str:
    """Without white space around it; code keeps the indent of its first line."""
    inner = text.strip()
    if not inner or inner == text:
        return text
    text = _BLANK_START.sub("", text.rstrip())
    indented = any(line[:1] in (" ", "\t") for line in text.split("\n")[1:])
    return text if indented else text.lstrip()


def as_utf8(line: bytes) -> bytes:
    """A line in Windows-1252 or Latin-1 as UTF-8; unchanged where it may be something else.

    A letter of those stands as one byte that is no UTF-8. A line that holds whole or cut letters
    of UTF-8 too is damaged, and no reading of it is sure.
    """
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        if b"\x00" in line or _UTF8_START.search(line):
            return line
    else:
        return line
    try:
        return line.decode("cp1252").encode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1").encode("utf-8")
