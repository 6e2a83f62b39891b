"""Upload: what comes from a browser is written piece by piece, and trusted in nothing."""

from __future__ import annotations

import pytest

from ftlab.errors import UnreadableData
from ftlab.ui.upload import LARGEST, PIECE, Upload, safe_name


class Browser:
    """The other side: sends a file as upload.js does, and keeps the answers."""

    def __init__(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        self.told, self.uploaded, self.answers = [], [], []
        self.widget = Upload(self.uploaded.append, lambda *said: self.told.append(said))
        monkeypatch.setattr(self.widget, "send", self.answers.append)

    def say(self, *buffers, key="1", **said):
        self.widget._handle_custom_msg({"id": key, **said}, list(buffers))
        return self.answers[-1]

    def start(self, name, size, key="1"):
        return self.say(kind="start", name=name, size=size, key=key)

    def send(self, name, data, key="1"):
        answer = self.start(name, len(data), key)
        while answer["kind"] == "got":
            at = answer["n"]
            piece = memoryview(data[at : at + PIECE])
            answer = self.say(piece, kind="piece", key=key, **{"from": at})
        return answer


@pytest.fixture
def browser(tmp_path, monkeypatch):
    return Browser(tmp_path, monkeypatch)


def test_a_file_comes_in_pieces_that_are_acknowledged(browser, tmp_path):
    data = bytes(range(256)) * (PIECE // 100)  # two pieces and a half
    assert browser.send("train.jsonl", data) == {"kind": "done", "name": "train.jsonl", "id": "1"}
    counts = [answer["n"] for answer in browser.answers[:-1]]
    assert counts == [0, PIECE, 2 * PIECE]
    assert (tmp_path / "train.jsonl").read_bytes() == data
    assert browser.uploaded == [tmp_path / "train.jsonl"]
    assert [file.name for file in tmp_path.iterdir()] == ["train.jsonl"]


def test_nothing_is_written_over(browser, tmp_path):
    (tmp_path / "train.jsonl").write_text("mine")
    assert browser.send("train.jsonl", b"{}")["name"] == "train-2.jsonl"
    assert browser.send("train.jsonl", b"[]")["name"] == "train-3.jsonl"
    assert (tmp_path / "train.jsonl").read_text() == "mine"
    assert (tmp_path / "train-3.jsonl").read_text() == "[]"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/cron.jsonl", "cron.jsonl"),
        ("/abs/a.csv", "a.csv"),
        ("C:\\x\\b.json", "b.json"),
        ("..\\up.parquet", "up.parquet"),
        (".hidden.jsonl", "hidden.jsonl"),
        ("a\x00b\n<i>.jsonl", "a_b__i_.jsonl"),
        ("Zeile ä.JSONL", "Zeile ä.JSONL"),
        ("x\u202e.jsonl", "x.jsonl"),
        ("rows.jsonl.gz", "rows.jsonl.gz"),
        ("ä" * 300 + ".jsonl", "ä" * 75 + ".jsonl"),
    ],
)
def test_no_part_of_a_path_is_taken_from_a_browser(given, name):
    assert safe_name(given) == name


@pytest.mark.parametrize(
    "given", ["", None, "..", "../", ".jsonl", "run.py", "x.jsonl/", "a.ipynb", 7, "jsonl", ".gz"]
)
def test_names_of_other_kinds_are_refused(given):
    with pytest.raises(UnreadableData, match=r"\.jsonl, \.json, \.csv, \.parquet, \.gz are"):
        safe_name(given)


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "is empty"), (-1, "is empty"), ("9", "is empty"), (LARGEST + 1, "up to 2,048 MiB")],
)
def test_sizes_out_of_bounds_are_refused(browser, tmp_path, size, said):
    answer = browser.start("t.jsonl", size)
    assert answer["kind"] == "refused"
    assert said in answer["text"]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_said_beforehand(browser, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    assert "has room for 10 bytes" in browser.start("t.jsonl", 11)["text"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("start", "data"),
    [(5, b"x"), (0, b""), (0, b"x" * 11), (0, b"x" * (PIECE + 1)), (None, b"x"), ("0", b"x")],
)
def test_a_piece_out_of_turn_ends_it_and_leaves_nothing(browser, tmp_path, start, data):
    browser.start("t.jsonl", 10)
    answer = browser.say(data, kind="piece", **{"from": start})
    assert answer["kind"] == "refused"
    assert list(tmp_path.iterdir()) == []
    assert "does not know this upload" in browser.say(b"x", kind="piece", **{"from": 0})["text"]


def test_a_cancelled_upload_leaves_nothing(browser, tmp_path):
    browser.start("t.jsonl", 10)
    browser.say(b"12345", kind="piece", **{"from": 0})
    assert len(list(tmp_path.iterdir())) == 1
    assert browser.say(kind="cancel")["kind"] == "cancelled"
    assert list(tmp_path.iterdir()) == []
    assert browser.uploaded == []


def test_a_second_window_waits_until_the_first_is_silent(browser, tmp_path, monkeypatch):
    browser.start("one.jsonl", 10)
    assert "another window" in browser.start("two.jsonl", 2, key="2")["text"]
    assert browser.say(b"12345", kind="piece", **{"from": 0})["kind"] == "got"
    monkeypatch.setattr("ftlab.ui.upload.SILENCE", 0)
    assert browser.send("two.jsonl", b"{}", key="2")["kind"] == "done"
    assert [file.name for file in tmp_path.iterdir()] == ["two.jsonl"]


def test_a_folder_that_is_gone_is_said(browser, tmp_path):
    folder = tmp_path / "sub"
    folder.mkdir()
    browser.start("one.jsonl", 2)
    for file in tmp_path.glob(".*.part"):
        file.unlink()
    answer = browser.say(b"{}", kind="piece", **{"from": 0})
    assert answer["kind"] == "refused"
    assert "can't be written" in answer["text"]
    assert not (tmp_path / "one.jsonl").exists()


def test_closing_the_widget_takes_the_part_away(browser, tmp_path):
    browser.start("t.jsonl", 10)
    browser.widget.close()
    assert list(tmp_path.iterdir()) == []


def test_the_label_says_the_limit(browser):
    assert browser.widget.label == "Upload a file (at most 2 GiB)"
    assert ".parquet" in browser.widget.kinds


def test_what_is_no_message_is_told(browser):
    browser.widget._handle_custom_msg("start", [])
    assert browser.told[0][0] == "error"
