"""What is made to break a reader gives an Issue; nothing raises, hangs or grows without end."""

from __future__ import annotations

import json
import re
import time

import pytest

from ftlab import demo
from ftlab.data.report import scan
from tests.data.hostile import GOOD, HOSTILE

SECONDS = 5
# Rows that hold nothing wrong, only much of it or something that a page must not run.
ALLOWED = {"a gigantic line", "a script", "many messages", "a tiny exponent"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_gives_an_issue_on_its_line(name, tmp_path):
    file = tmp_path / "hostile.jsonl"
    file.write_bytes(b"\n".join([GOOD, HOSTILE[name], GOOD.replace(b"hello", b"hi"), b""]))
    for model in (None, demo.MODEL):
        started = time.monotonic()
        report = scan(file, model)
        assert time.monotonic() - started < SECONDS
        about_it = [issue for issue in report.issues if 2 in issue.lines]
        assert about_it or name in ALLOWED or b"\n" in HOSTILE[name]
        assert not any({1, 3} & set(i.lines) for i in report.issues if "local" in i.blocks)
        shown = report._repr_html_()
        assert "<script" not in shown
        assert "<img" not in shown
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
        json.loads(report.model_dump_json())
        assert report.model_dump_json().encode()  # no half of a surrogate pair in it


def test_a_file_without_a_newline_in_it_is_passed_over(tmp_path, monkeypatch):
    from ftlab.data import blocks

    monkeypatch.setattr(blocks, "LONGEST_LINE", 1 << 20)
    file = tmp_path / "long.jsonl"
    file.write_bytes(GOOD + b"\n" + b"[" * (3 << 20) + b"\n" + GOOD.replace(b"hello", b"hi"))
    report = scan(file)
    assert report.n_rows == 3
    (issue,) = [i for i in report.issues if i.code == "line_too_long"]
    assert issue.lines == (2,)
