"""Every kind of source gives the same rows; what is wrong with it is said and stops nothing."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from datetime import date

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftlab.data import blocks, elements, sources, tables
from ftlab.data.blocks import TOO_LONG
from ftlab.data.sources import open_source
from tests.small import chat_rows, write_rows

TWO = [{"text": "a"}, {"text": "b"}]


def put(folder, name, data):
    file = folder / name
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return file


def values(source):
    return [json.loads(line) for _, line in source.lines()]


def codes(source):
    return [problem.code for problem in source.problems]


# --- one content, many forms -----------------------------------------------------------------


def as_jsonl(folder, rows):
    return write_rows(folder / "d.jsonl", rows)


def as_array(folder, rows):
    return put(folder, "d.json", json.dumps(rows))


def as_indented_array(folder, rows):
    return put(folder, "d.json", json.dumps(rows, indent=2))


def as_indented_objects(folder, rows):
    return put(folder, "d.json", "\n".join(json.dumps(row, indent=2) for row in rows))


def as_parquet(folder, rows):
    pq.write_table(pa.Table.from_pylist(rows), folder / "d.parquet")
    return folder / "d.parquet"


def as_csv(folder, rows):
    with (folder / "d.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["messages"])
        writer.writerows([[json.dumps(row["messages"])] for row in rows])
    return folder / "d.csv"


FILES = {
    "jsonl": ("jsonl", as_jsonl, []),
    "array": ("json", as_array, ["json_array"]),
    "indented array": ("json", as_indented_array, ["json_array"]),
    "indented objects": ("json", as_indented_objects, ["pretty_printed"]),
    "parquet": ("parquet", as_parquet, ["parquet_text"]),
    "csv": ("csv", as_csv, ["csv"]),
}


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_every_file_gives_its_rows(tmp_path, form, packed):
    kind, write, wrong = FILES[form]
    rows = chat_rows(700)  # more than one batch
    file = write(tmp_path, rows)
    if packed:
        file = put(tmp_path, f"{file.name}.gz", gzip.compress(file.read_bytes()))
    source = open_source(file)
    assert source.kind == kind
    assert values(source) == rows
    assert codes(source) == [*wrong, *(["gzip"] if packed else [])]
    assert source.zipped == packed
    assert source.position == source.n_bytes == file.stat().st_size
    assert [number for number, _ in source.lines()] == list(range(1, 701))
    assert all(b"\n" not in line for _, line in source.lines())


TABLES = {
    "list": lambda rows: rows,
    "tuple": tuple,
    "generator": iter,
    "frame": pd.DataFrame,
    "data set": datasets.Dataset.from_list,
    "stream": lambda rows: datasets.Dataset.from_list(rows).to_iterable_dataset(),
    "arrow": pa.Table.from_pylist,
}


@pytest.mark.parametrize("form", TABLES)
def test_every_table_gives_its_rows(form):
    rows = chat_rows(700)
    source = open_source(TABLES[form](rows))
    assert (source.kind, source.path, source.n_bytes) == ("rows", None, None)
    assert values(source) == rows
    assert source.problems == []
    assert source.position == 700


def test_opening_a_list_imports_no_table_package():
    code = (
        "import sys; from ftlab.data.sources import open_source;"
        "list(open_source([{'text': 'a'}]).lines());"
        "print([n for n in ('pandas', 'pyarrow', 'datasets') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_source_is_opened_once():
    source = open_source(TWO)
    assert open_source(source) is source


# --- JSON that is not one value per line -----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[]", []),
        (" [ ] ", []),
        ('[{"text": "a"},\n{"text": "b"}]', TWO),
        ('\ufeff[{"text": "a"}, {"text": "b"}]\n', TWO),
        (
            '[{"text": "a], [{ \\" \\\\"}, 5, [1, 2], "x, y"]',
            [{"text": 'a], [{ " \\'}, 5, [1, 2], "x, y"],
        ),
        ('{"text":\n"a"}\n{"text":\n"b"}', TWO),
        ('{"text":\n"a"},\n{"text":\n"b"}', TWO),
    ],
)
def test_arrays_and_objects_are_cut(tmp_path, text, rows):
    source = open_source(put(tmp_path, "d.json", text))
    assert source.kind == "json"
    assert values(source) == rows
    assert len(source.problems) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_chunks_may_end_anywhere(tmp_path, monkeypatch, size):
    rows = [{"a": 'q"uo\\te\\\\', "b": [1, {"c": "}],"}]}, {"ü": "é\n\t"}]
    file = put(tmp_path, "d.json", json.dumps(rows, ensure_ascii=False, indent=1))
    monkeypatch.setattr(elements, "READ_SIZE", size)
    assert values(open_source(file)) == rows


def test_a_bad_element_stops_no_other(tmp_path):
    long_number = "9" * 10_000
    parts = [
        '{"a": NaN}',
        '{"a": 1, "a": 2}',
        '{"a": oops}',
        '{"a": "\\ud800"}',
        long_number,
        '{"b": 1}',
    ]
    source = open_source(put(tmp_path, "d.json", f"[{', '.join(parts)}]"))
    assert [line.decode() for _, line in source.lines()] == parts
    assert codes(source) == ["json_array"]


def test_bytes_that_are_no_utf_8_come_through(tmp_path):
    source = open_source(put(tmp_path, "d.json", b'[{"a": "\xff"}, {"b": 1}]'))
    assert [line for _, line in source.lines()] == [b'{"a": "\xff"}', b'{"b": 1}']


def test_an_array_that_breaks_off_is_said(tmp_path):
    source = open_source(put(tmp_path, "d.json", '[{"text": "a"}, {"text": "b'))
    assert [line for _, line in source.lines()] == [b'{"text": "a"}', b'{"text": "b']
    assert codes(source) == ["json_array", "json_not_closed"]
    assert "after 1 whole values" in source.problems[1].message


def test_what_follows_an_array_is_said(tmp_path):
    source = open_source(put(tmp_path, "d.json", '[\n{"text": "a"}\n]\n{"text": "b"}'))
    assert values(source) == [{"text": "a"}]
    assert codes(source) == ["json_array", "json_goes_on"]


@pytest.mark.parametrize(
    "text",
    [
        '{"text": "a"}\n{"text": "b"}',
        '{"text": "a"\n{"text": "b"}\n',  # a first line that is broken
        '[1]\n{"text": "b"}',
        "not JSON\n",
        '{"text": "a"} x\n{"text": "b"}',
        "",
    ],
)
def test_lines_stay_lines_good_or_bad(tmp_path, text):
    source = open_source(put(tmp_path, "d.jsonl", text))
    assert (source.kind, source.problems) == ("jsonl", [])
    assert [line.decode() for _, line in source.lines()] == text.splitlines()


def test_deep_nesting_is_one_element(tmp_path):
    deep = "[" * 100_000 + "]" * 100_000
    source = open_source(put(tmp_path, "d.json", f'[\n{deep},\n{{"text": "b"}}]'))
    assert [len(line) for _, line in source.lines()] == [200_000, 13]


def test_a_giant_element_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(elements, "LONGEST_LINE", 1000)
    giant = json.dumps({"text": "x" * 5000})
    source = open_source(put(tmp_path, "d.json", f'[{{"text": "a"}}, {giant}, {{"text": "b"}}]'))
    assert [line for _, line in source.lines()] == [b'{"text": "a"}', TOO_LONG, b'{"text": "b"}']


# --- lines -----------------------------------------------------------------------------------


def test_blank_and_bad_lines_keep_their_numbers(tmp_path):
    source = open_source(put(tmp_path, "d.txt", b'{"text": "a"}\r\n\n\x00\xff\n{"text": "b"}'))
    assert list(source.lines()) == [
        (1, b'{"text": "a"}\r'),
        (2, b""),
        (3, b"\x00\xff"),
        (4, b'{"text": "b"}'),
    ]
    assert codes(source) == ["suffix"]


def test_a_giant_line_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LONGEST_LINE", 1000)
    data = gzip.compress(b'{"text": "a"}\n' + b"x" * 3_000_000 + b'\n{"text": "b"}\n')
    source = open_source(put(tmp_path, "d.jsonl.gz", data))
    assert [line for _, line in source.lines()] == [b'{"text": "a"}', TOO_LONG, b'{"text": "b"}']


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("d.jsonl", []), ("d.JSONL", ["suffix"]), ("d.json", ["suffix"]), ("d", ["suffix"])],
)
def test_the_suffix_is_the_services(tmp_path, name, wrong):
    source = open_source(put(tmp_path, name, '{"text": "a"}\n{"text": "b"}\n'))
    assert values(source) == TWO
    assert codes(source) == wrong


# --- what can't be read ----------------------------------------------------------------------


def test_an_archive_that_breaks_off_gives_what_it_has(tmp_path):
    rows = [{"text": os.urandom(40).hex()} for _ in range(5000)]
    whole = gzip.compress(write_rows(tmp_path / "w.jsonl", rows).read_bytes())
    source = open_source(put(tmp_path, "d.jsonl.gz", whole[: len(whole) // 2]))
    read = list(source.lines())
    assert 1000 < len(read) < 5000
    assert json.loads(read[0][1]) == rows[0]
    assert codes(source) == ["gzip", "broken"]
    assert source.problems[1].blocks == ("together", "local")


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("d.jsonl.gz", b"\x1f\x8b\x08\x00garbage that is no archive", "broken"),
        ("d.parquet", b"PAR1 and then nothing that is Parquet PAR1", "broken"),
        ("d.parquet", b"text", "broken"),
        ("d.jsonl", b"PK\x03\x04zip", "other_kind"),
        ("d.csv", "a,b\n1,2\n".encode("utf-16"), "other_kind"),
        ("d.csv", b"", "no_header"),
        ("d.csv", b"\n\n", "no_header"),
    ],
)
def test_what_is_no_source_says_so(tmp_path, name, data, code):
    source = open_source(put(tmp_path, name, data))
    assert list(source.lines()) == []
    assert code in codes(source)


def test_parquet_that_breaks_off_inside_gives_what_it_has(tmp_path):
    texts = [os.urandom(200).hex() for _ in range(4000)]
    file = tmp_path / "d.parquet"
    pq.write_table(pa.table({"text": texts}), file, row_group_size=500, use_dictionary=False)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 100_000] = b"\x00" * 100_000
    file.write_bytes(data)
    source = open_source(file)
    read = values(source)
    assert 0 < len(read) < 4000
    assert [row["text"] for row in read] == texts[: len(read)]
    assert codes(source)[-1] == "broken"


@pytest.mark.parametrize("path", ["nowhere.jsonl", "a\x00b", "~nobody/x", "x" * 5000, "."])
def test_a_missing_file_is_a_problem(path):
    source = open_source(path)
    assert (codes(source), list(source.lines())) == (["no_file"], [])


@pytest.mark.parametrize("data", [5, None, {"text": "a"}, b"bytes"])
def test_what_holds_no_rows_is_a_problem(data):
    source = open_source(data)
    assert (codes(source), list(source.lines())) == (["not_rows"], [])


def test_a_split_must_be_chosen():
    both = datasets.DatasetDict({"train": datasets.Dataset.from_list(TWO)})
    assert codes(open_source(both)) == ["choose_split"]
    assert "'train'" in open_source(both).problems[0].message


# --- tables ----------------------------------------------------------------------------------


def test_csv_of_a_spreadsheet(tmp_path):
    text = '\ufefffrage;antwort\r\n"Wo, bitte?";"Dort.\r\n""Hier"", sagte er"\r\n\r\nA;\r\n'
    source = open_source(put(tmp_path, "d.csv", text))
    assert values(source) == [
        {"frage": "Wo, bitte?", "antwort": 'Dort.\r\n"Hier", sagte er'},
        {"frage": "A", "antwort": ""},
    ]


def test_ragged_rows_are_kept_as_cells_and_counted(tmp_path):
    source = open_source(put(tmp_path, "d.csv", "q,a\n1,2\n3\n4,5,6\n7,8\n"))
    assert values(source) == [{"q": "1", "a": "2"}, ["3"], ["4", "5", "6"], {"q": "7", "a": "8"}]
    problem = source.problems[1]
    assert problem.code == "ragged_row"
    assert "row 2 has 1 cells; the header names 2" in problem.message
    assert problem.message.endswith("One more row has this.")


def test_csv_with_nul_bad_bytes_and_bad_quotes(tmp_path):
    source = open_source(put(tmp_path, "d.csv", b'q,a\n1,a\x00b\n2,\xff\n"3"x,4\n5,6\n'))
    lines = [line for _, line in source.lines()]
    assert json.loads(lines[0]) == {"q": "1", "a": "a\x00b"}
    assert lines[1] == b'{"q": "2", "a": "\xff"}'
    assert '"3"x,4' in json.loads(lines[2])
    assert json.loads(lines[3]) == {"q": "5", "a": "6"}
    assert codes(source) == ["csv", "bad_record"]


def test_a_quote_that_never_closes_is_said_and_reading_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_CELL", 1000)
    text = 'q,a\n1,2\n3,"open\n' + "x,y\n" * 400
    source = open_source(put(tmp_path, "d.csv", text))
    before = csv.field_size_limit()
    rows = values(source)
    assert rows[0] == {"q": "1", "a": "2"}
    assert "open" in rows[1]
    assert rows[-1] == {"q": "x", "a": "y"}
    assert "bad_record" in codes(source)
    assert csv.field_size_limit() == before


def test_cells_may_be_longer_than_pythons_limit(tmp_path):
    assert csv.field_size_limit() < 200_000
    source = open_source(put(tmp_path, "d.csv", f"q,a\n{'x' * 200_000},2\n"))
    assert len(values(source)[0]["q"]) == 200_000


def test_a_column_name_that_stands_twice_is_said(tmp_path):
    source = open_source(put(tmp_path, "d.csv", "q,q\n1,2\n"))
    assert values(source) == [{"q": "2"}]
    assert codes(source) == ["csv", "column_twice"]


def test_keys_that_a_table_invents_are_left_out():
    rows = [
        {"messages": [{"role": "user", "content": "q"}], "weight": None},
        {"messages": [{"role": "assistant", "content": None, "name": "x"}], "weight": 0.5},
    ]
    kept = [
        {"messages": [{"role": "user", "content": "q"}]},
        {"messages": [{"role": "assistant", "content": None, "name": "x"}], "weight": 0.5},
    ]
    assert values(open_source(datasets.Dataset.from_list(rows))) == kept
    assert values(open_source(pd.DataFrame(rows))) != rows
    assert values(open_source(rows)) == rows  # one's own rows stay as they are


def test_a_frame_with_missing_values_and_numpy():
    frame = pd.DataFrame({"text": ["a", None], "n": [1.5, np.nan], "day": [date(2026, 1, 2)] * 2})
    assert values(open_source(frame)) == [
        {"text": "a", "n": 1.5, "day": "2026-01-02"},
        {"text": None, "day": "2026-01-02"},
    ]
    assert values(open_source([{"n": np.int64(3), "v": np.array([1, 2])}])) == [
        {"n": 3, "v": [1, 2]}
    ]


def test_tokenized_parquet(tmp_path):
    table = pa.table({"input_ids": [[1, 2], [3]], "labels": [[-100, 2], [3]]})
    pq.write_table(table, tmp_path / "t.parquet")
    source = open_source(tmp_path / "t.parquet")
    assert (source.kind, source.n_rows, source.problems) == ("tokenized", 2, [])
    assert values(source) == [
        {"input_ids": [1, 2], "labels": [-100, 2]},
        {"input_ids": [3], "labels": [3]},
    ]
    pq.write_table(table.append_column("id", [[1, 2]]), tmp_path / "t.parquet")
    assert codes(open_source(tmp_path / "t.parquet")) == ["parquet_columns"]


# --- iterables -------------------------------------------------------------------------------


def test_values_that_are_no_json_are_a_line_and_a_problem():
    loop: list = []
    loop.append(loop)
    source = open_source([{"text": object()}, {"text": loop}, {"text": "a"}, {("k",): 1}])
    assert values(source) == [
        "row 1 can't be written as JSON",
        "row 2 can't be written as JSON",
        {"text": "a"},
        "row 4 can't be written as JSON",
    ]
    assert codes(source) == ["not_json_value"]
    assert source.problems[0].message.endswith("2 more rows have this.")


def test_surrogates_and_odd_rows_come_through():
    source = open_source([{"text": "\udcff"}, {"text": "\ud800"}, "text", None, 5])
    assert [line for _, line in source.lines()] == [
        b'{"text": "\\udcff"}',
        b'{"text": "\\ud800"}',
        b'"text"',
        b"null",
        b"5",
    ]


def test_an_iterable_that_fails_gives_what_it_had():
    def rows():
        yield {"text": "a"}
        raise RuntimeError("the line to the server broke")

    source = open_source(rows())
    assert values(source) == [{"text": "a"}]
    assert codes(source) == ["broken"]
    assert "row 1" in source.problems[0].message
    assert "the line to the server broke" in source.problems[0].message


def test_a_short_iterator_is_kept():
    source = open_source(iter(TWO))
    next(source.lines())  # also by whoever looks at the first row only
    for _ in range(2):
        assert values(source) == TWO
        assert source.problems == []


def test_a_long_iterator_says_when_it_is_used_up(monkeypatch):
    monkeypatch.setattr("ftlab.data.sources.MOST_KEPT", 1)
    source = open_source(iter(TWO))
    assert values(source) == TWO
    assert source.problems == []
    assert values(source) == []
    assert codes(source) == ["used_up"]


def test_problems_are_counted_anew_with_every_reading(tmp_path):
    source = open_source(put(tmp_path, "d.csv", "q,a\n1\n"))
    for _ in range(2):
        list(source.lines())
        assert "more" not in source.problems[1].message


# --- memory ----------------------------------------------------------------------------------


def peak(source):
    tracemalloc.start()
    n_bytes = sum(len(line) for _, line in source.lines())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return n_bytes, most


@pytest.mark.parametrize("form", ["array", "csv", "parquet", "jsonl", "bomb"])
def test_memory_stays_flat(tmp_path, form):
    row = {"messages": [{"role": "user", "content": "x" * 2000}]}
    peaks = []
    for n_rows in (5_000, 20_000):
        if form == "bomb":
            file = put(
                tmp_path,
                "d.jsonl.gz",
                gzip.compress(write_rows(tmp_path / "w", [row] * n_rows).read_bytes()),
            )
        else:
            file = FILES[form][1](tmp_path, [row] * n_rows)
        n_bytes, most = peak(open_source(file))
        assert n_bytes > 2000 * n_rows
        peaks.append(most)
    assert peaks[1] < 12e6  # of 40 MB
    assert peaks[1] < peaks[0] * 1.2 + 1e6


def test_the_limit_is_that_of_the_blocks():
    assert sources.LONGEST_LINE == elements.LONGEST_LINE == blocks.LONGEST_LINE
