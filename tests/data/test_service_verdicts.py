"""The verdict of a scan is that of the service's own SDK, on more than a thousand files.

`together` 3.1.1 is the judge of what a file is, 2.14.0 (the last that looked into rows) of what is
in it. Both run as they are published, each in a process of its own. What a scan judges otherwise
on purpose is in `DIFFERENCES`; a file outside of it that is judged otherwise is a failure.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import ftlab
from ftlab.data.formats import LARGEST_FILE, STRUCTURAL, file_problems
from tests.data.service_files import (
    GOOD,
    WHOLE_FILES,
    ServiceFile,
    chance_files,
    faults,
    file_of,
    good_files,
    heavy_faults,
)

ORACLES = Path(__file__).parents[2] / ".venv-oracles"
TODAY, DEEP = "together-3.1.1", "together-2.14.0"
ASK = """
import json, sys
from together import __version__
from together.lib.utils.files import check_file
verdicts = {}
for name in json.load(sys.stdin):
    try:
        verdicts[name] = check_file(name)["is_check_passed"]
    except Exception as exc:  # a file on which the check breaks down can't be uploaded either
        verdicts[name] = False
json.dump([__version__, verdicts], sys.stdout)
"""

needs_oracles = pytest.mark.usefixtures("oracles")


@pytest.fixture(scope="module")
def oracles():
    for name in (TODAY, DEEP):
        found = (ORACLES / name / "together").is_dir()
        assert found, f"{name} is missing; tests/run.sh installs it."


class Difference(NamedTuple):
    """A kind of file on which a scan agrees with 3.1.1 and not with 2.14.0."""

    source: str
    cure: Callable[[bytes], bytes]
    """The same file without what 2.14.0 does not take."""
    example: bytes


def without_blanks(data: bytes) -> bytes:
    """Rows without white space around them, and no lines of nothing else."""
    try:
        lines = re.split("\r\n|\r|\n", data.decode())
    except UnicodeDecodeError:
        return data
    return "".join(line.strip() + "\n" for line in lines if line.strip()).encode() or data


def without_weights(data: bytes) -> bytes:
    """Rows without the weight of the whole row, where that is a number of 0 or more."""
    return b"".join(map(_without_weight, data.splitlines(keepends=True)))


def _without_weight(line: bytes) -> bytes:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return line
    weight = row.get("weight") if isinstance(row, dict) else None
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < 1e9:
        return line
    del row["weight"]
    return json.dumps(row).encode() + b"\n"


DIFFERENCES = {
    "blank": Difference(
        "together 3.1.1, lib/utils/files.py, _check_jsonl: `line = raw_line.strip()`",
        without_blanks,
        b'{"text": "a"}\n\n \xc2\xa0\n\x0c{"text": "b"}\xe2\x80\xa8\n\n',
    ),
    "weight": Difference(
        "https://docs.together.ai/docs/fine-tuning-data-preparation: weights of samples",
        without_weights,
        b'{"text": "a", "weight": 0.5}\n{"text": "b"}\n',
    ),
}


def oracle(name: str, files: list[Path]) -> dict[str, bool]:
    """File → whether that version of the SDK lets it through."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps([str(file) for file in files]),
        env={**os.environ, "PYTHONPATH": str(ORACLES / name), "TOGETHER_DISABLE_TQDM": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    version, verdicts = json.loads(done.stdout)
    assert name.endswith(version)
    return {Path(file).name: passed for file, passed in verdicts.items()}


def written(files: list[ServiceFile], folder: Path) -> list[Path]:
    folder.mkdir()
    for file in files:
        (folder / file.name).write_bytes(file.data)
    return [folder / file.name for file in files]


class Verdict(NamedTuple):
    accepted: bool
    structure: bool
    """Whether nothing of what 3.1.1 looks at is wrong."""


def scanned(path: Path) -> Verdict:
    report = ftlab.scan(path, cached=False)
    refused = {issue.code for issue in report.issues if "together" in issue.blocks}
    assert report.accepted_by("together") == (not refused)
    return Verdict(not refused, not refused & STRUCTURAL)


def described(paths: list[Path]) -> str:
    """The first files of those that are judged otherwise, with what the scan says of them."""
    lines = [f"{len(paths)} files"]
    for path in paths[:12]:
        codes = {issue.code: issue.blocks for issue in ftlab.scan(path, cached=False).issues}
        lines.append(f"{path.name}: {path.read_bytes()[:400]!r}\n  {codes}")
    return "\n".join(lines)


def compare(files: list[ServiceFile], folder: Path) -> None:
    paths = written(files, folder / "files")
    cured = [
        ServiceFile(file.name, without_weights(without_blanks(file.data)))
        for file in files
        if file.name.endswith(".jsonl")
    ]
    today = oracle(TODAY, paths)
    deep = {path.name: False for path in paths} | oracle(DEEP, written(cured, folder / "cured"))
    ours = {path: scanned(path) for path in paths}
    structure = [path for path in paths if ours[path].structure != today[path.name]]
    assert not structure, f"what is a file is judged otherwise: {described(structure)}"
    wrong = [p for p in paths if ours[p].accepted != (today[p.name] and deep[p.name])]
    assert not wrong, f"what is in the rows is judged otherwise: {described(wrong)}"


@needs_oracles
def test_single_faults_are_judged_as_the_service_does(tmp_path):
    draw = random.Random(1)
    listed = [
        (fault, ServiceFile(f"{fault.rule}-{index}-{copy}.jsonl", file_of(fault, draw)))
        for index, fault in enumerate(faults())
        for copy in range(2)
    ]
    files = [file for _, file in listed] + list(good_files())
    compare(files, tmp_path)
    deep = oracle(DEEP, sorted((tmp_path / "files").iterdir()))
    # The corpus is what it says: each fault is one, and each good row is none.
    assert {name for name, passed in deep.items() if passed} == {f.name for f in good_files()}
    today = oracle(TODAY, sorted((tmp_path / "files").iterdir()))
    refused = {fault.rule for fault, file in listed if not today[file.name]}
    assert refused == {"F6", "J1", "J3"}
    assert len(files) >= 350


@needs_oracles
@pytest.mark.timeout(120)
def test_a_thousand_files_made_by_chance_are_judged_as_the_service_does(tmp_path):
    files = chance_files()
    assert len(files) >= 1000
    assert files == chance_files()
    compare(files, tmp_path)
    today = oracle(TODAY, [tmp_path / "files" / file.name for file in files])
    deep = oracle(DEEP, [tmp_path / "files" / file.name for file in files])
    assert 100 < sum(not passed for passed in today.values()) < len(files) - 100
    assert 300 < sum(not passed for passed in deep.values()) < len(files) - 300


@needs_oracles
@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_difference_from_the_last_deep_check_is_one(name, tmp_path):
    source, cure, example = DIFFERENCES[name]
    file, cured = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    file.write_bytes(example)
    cured.write_bytes(cure(example))
    assert source
    assert oracle(DEEP, [file, cured]) == {"a.jsonl": False, "b.jsonl": True}
    assert scanned(file) == Verdict(accepted=True, structure=True)
    # 3.1.1 is asked in both: it takes the blank lines, and weights are no matter of its.
    assert oracle(TODAY, [file]) == {"a.jsonl": True}


@needs_oracles
def test_whole_files_are_judged_as_the_service_does(tmp_path):
    paths = written([file for _, file in WHOLE_FILES], tmp_path / "files")
    assert oracle(TODAY, paths) == dict.fromkeys([path.name for path in paths], False)
    assert [path.name for path in paths if scanned(path).accepted] == []


@needs_oracles
def test_a_missing_file_is_refused(tmp_path):
    assert oracle(TODAY, [tmp_path]) == {tmp_path.name: False}
    assert not ftlab.scan(tmp_path / "none.jsonl").accepted_by("together")
    assert not ftlab.scan(tmp_path).accepted_by("together")


@needs_oracles
def test_an_image_may_have_ten_mebibytes_and_no_more(tmp_path):
    files = [ServiceFile(f"{int(not bad)}.jsonl", line + b"\n") for bad, line in heavy_faults()]
    paths = written(files, tmp_path / "files")
    assert oracle(DEEP, paths) == {"1.jsonl": True, "0.jsonl": False}
    assert [scanned(path).accepted for path in paths] == [True, False]


TABLES = {
    "tokens": ({"input_ids": [[1, 2]], "labels": [[-100, 2]]}, True),
    "only-ids": ({"input_ids": [[1, 2]]}, True),
    "no-ids": ({"labels": [[1, 2]]}, False),
    "text": ({"text": ["a"]}, False),
    "one-more": ({"input_ids": [[1]], "id": [1]}, False),
    "no-rows": ({"input_ids": []}, False),
    "broken": (None, False),
}


@needs_oracles
def test_parquet_files_are_judged_as_the_service_does(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    paths = [tmp_path / f"{name}.parquet" for name in TABLES]
    for path, (columns, _) in zip(paths, TABLES.values(), strict=True):
        if columns is None:
            path.write_bytes(b"PAR1 and no more")
        else:
            parquet.write_table(pa.table(columns), path)
    expected = {f"{name}.parquet": passes for name, (_, passes) in TABLES.items()}
    assert oracle(TODAY, paths) == oracle(DEEP, paths) == expected
    assert {path.name: scanned(path).accepted for path in paths} == expected


@needs_oracles
def test_the_limits_are_those_of_the_sdk():
    limits = subprocess.run(
        [
            sys.executable,
            "-c",
            "from together.lib import constants as c\n"
            "print(int(c.MAX_FILE_SIZE_GB * c.NUM_BYTES_IN_GB), c.MAX_BASE64_IMAGE_LENGTH,"
            "c.MAX_IMAGES_PER_EXAMPLE, *c.POSSIBLE_ROLES_CONVERSATION)",
        ],
        env={**os.environ, "PYTHONPATH": str(ORACLES / DEEP)},
        capture_output=True,
        text=True,
        check=True,
    )
    from ftlab.data.messages import ROLES
    from ftlab.data.parts import LONGEST_IMAGE, MOST_IMAGES

    ours = [str(LARGEST_FILE), str(LONGEST_IMAGE), str(MOST_IMAGES), *ROLES]
    assert limits.stdout.split() == ours


def test_a_file_that_is_too_large_is_known_by_its_size():
    at_most = int(50.1 * 2**30)
    assert file_problems(Path("a.jsonl"), at_most) == []
    (problem,) = file_problems(Path("a.jsonl"), at_most + 1)
    assert (problem.code, problem.blocks) == ("too_large", ("together",))


def test_good_rows_of_every_format_are_in_the_files():
    assert set(GOOD) == {"conversation", "instruction", "general", "preference"}
