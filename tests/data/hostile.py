"""Lines that are made to break a reader."""

from __future__ import annotations

import json


def chat(text: str) -> bytes:
    """A row whose answer is that text."""
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": text}]
    return json.dumps({"messages": messages}).encode()


GOOD = chat("good day to you")
HOSTILE: dict[str, bytes] = {
    "a gigantic line": chat("word " * 1_000_000),
    "deep nesting": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep nesting, unclosed": b'{"a":' * 100_000,
    "NUL": GOOD.replace(b"good", b"go\x00od"),
    "escaped NUL": chat("go\x00od"),
    "invalid UTF-8": GOOD.replace(b"good", b"go\xff\xfeod"),
    "overlong UTF-8": GOOD.replace(b"good", b"go\xc0\xafod"),
    "UTF-16": chat("good").decode().encode("utf-16"),
    "half a surrogate pair": GOOD.replace(b"good", b"\\ud83d"),
    "raw surrogate": GOOD.replace(b"good", b"\xed\xa0\xbd"),
    "a key twice": GOOD.replace(b'"role": "user"', b'"role": "user", "role": "system"'),
    "NaN": GOOD[:-1] + b', "weight": NaN}',
    "Infinity": GOOD[:-1] + b', "weight": Infinity}',
    "a number of 10,000 digits": GOOD[:-1] + b', "weight": ' + b"9" * 10_000 + b"}",
    "a tiny exponent": GOOD[:-1] + b', "weight": 1e-999999}',
    "a script": chat("<script>document.title = 'run'</script><img src=x onerror=alert(1)>"),
    "terminal escapes": chat("\x1b[2J\x1b]0;owned\x07 \x9b31m"),
    "a role that is a list": b'{"messages": [{"role": ["user"], "content": "a"}]}',
    "a role that is an object": b'{"messages": [{"role": {"a": 1}, "content": "a"}]}',
    "a content that is an object": b'{"messages": [{"role": "assistant", "content": {"a": []}}]}',
    "many messages": json.dumps({"messages": json.loads(GOOD)["messages"] * 50_000}).encode(),
    "many keys": json.dumps({f"k{i}": i for i in range(100_000)}).encode(),
    "only quotes": b'"' * 100_000,
    "only backslashes": b"\\" * 100_000,
    "words for regexes": chat("a" * 50_000 + "@" * 50_000 + "1 " * 50_000 + "- " * 20_000),
}
