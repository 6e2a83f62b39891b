"""What comes out of archives: nothing but plain files, in their folder, and not too much."""

from __future__ import annotations

import contextlib
import os
import random
import tarfile

import pytest

from ftlab.errors import FtlabError, UnreadableData
from ftlab.providers.together import archives
from ftlab.providers.together.archives import unpack
from tests.providers.archive_makers import ADAPTER, PACKED, archive, entry, tarred

PACKS = list(PACKED)


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder to unpack in, with something beside it that must stay as it is."""
    (tmp_path / "beside.json").write_text("mine")
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    return tmp_path


def unpacked(room, data):
    """The names of all that lies in the folder afterwards; what is outside must not change."""
    packed, into = room / "archive", room / "in" / "files"
    packed.write_bytes(data)
    before = outside(room)
    try:
        unpack(packed, into)
    finally:
        assert outside(room) == before
        found = {p.relative_to(into).as_posix() for p in into.rglob("*") if not p.is_dir()}
        plain = {n for n in found if (into / n).is_file() and not (into / n).is_symlink()}
        assert plain == found
    return found


def outside(room):
    """Every file that lies elsewhere: path, size, time of its last change, number of names."""
    found = {}
    for place, folders, names in os.walk(room):
        if place == str(room / "in"):
            folders[:] = [name for name in folders if name != "files"]
        for name in (*names, *folders):
            about = os.lstat(os.path.join(place, name))
            is_room = name in ("in", "files")
            found[place, name] = None if is_room else (about.st_size, about.st_mtime_ns)
    return found


@pytest.mark.parametrize("packed", PACKS)
def test_an_adapter_is_unpacked_with_its_folders(room, packed):
    files = {f"step-4/{name}": content for name, content in ADAPTER.items()}
    members = [(entry("step-4/", tarfile.DIRTYPE), b""), *files.items()]
    assert unpacked(room, archive(members, packed)) == set(files)
    for name, content in files.items():
        file = room / "in" / "files" / name
        assert file.read_bytes() == content
        assert not file.stat().st_mode & 0o133  # nobody executes it, only its owner writes


def test_what_was_unpacked_is_on_the_disk(room, monkeypatch):
    synced = []
    monkeypatch.setattr(archives.os, "fsync", lambda handle: synced.append(os.fstat(handle)))
    unpacked(room, archive(ADAPTER))
    assert sorted(one.st_size for one in synced) == sorted(map(len, ADAPTER.values()))


def test_what_may_run_code_stays_in_the_archive(room):
    more = {"optimizer.pt": b"p", "adapter_model.bin": b"p", "model.py": b"p", "run": b"p"}
    assert unpacked(room, archive({**ADAPTER, **more})) == set(ADAPTER)


@pytest.mark.parametrize("packed", PACKS)
def test_several_frames_are_one_archive(room, packed):
    whole = tarred(ADAPTER.items())
    pieces = [PACKED[packed](whole[at : at + 700]) for at in range(0, len(whole), 700)]
    assert unpacked(room, b"".join(pieces)) == set(ADAPTER)


# --- what is never taken ---------------------------------------------------------------------

X = b'{"canary": 1}'
NAMES = {
    "parent": "../evil.json",
    "parent twice": "../../evil.json",
    "parent within": "a/../../evil.json",
    "parent at the end": "a/..",
    "parent that returns": "../in/files/evil.json",
    "absolute": "/tmp/evil.json",
    "absolute twice": "//tmp/evil.json",
    "backslash": "..\\evil.json",
    "drive": "C:\\evil.json",
    "escape": "\x1b[2Jevil.json",
    "turned around": "evil\u202enosj.json",
    "line break": "a\nb.json",
    "long": "a" * 250 + ".json",
    "long path": "/".join(["abcdefgh"] * 7) * 9 + ".json",
    "deep": "a/" * 50 + "evil.json",
}
KINDS = {
    "link out": (tarfile.SYMTYPE, "../../beside.json"),
    "absolute link": (tarfile.SYMTYPE, "/etc/passwd"),
    "link within": (tarfile.SYMTYPE, "adapter_config.json"),
    "hard link out": (tarfile.LNKTYPE, "../../beside.json"),
    "hard link within": (tarfile.LNKTYPE, "adapter_config.json"),
    "characters": (tarfile.CHRTYPE, ""),
    "blocks": (tarfile.BLKTYPE, ""),
    "pipe": (tarfile.FIFOTYPE, ""),
    "contiguous": (tarfile.CONTTYPE, ""),
    "unknown": (b"Z", ""),
}


def refused(room, data, match=None):
    with pytest.raises(UnreadableData, match=match) as caught:
        unpacked(room, data)
    assert str(caught.value).isprintable()
    assert "archive is not taken" in str(caught.value)
    assert "Download it again" in str(caught.value)


@pytest.mark.parametrize("packed", PACKS)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_that_lead_elsewhere_are_refused(room, name, packed):
    refused(room, archive({**ADAPTER, name: X}, packed), "leads out of it|too long")


@pytest.mark.parametrize("packed", PACKS)
@pytest.mark.parametrize(("kind", "to"), KINDS.values(), ids=KINDS)
def test_links_and_devices_are_refused(room, kind, to, packed):
    odd = entry("odd.json", kind, linkname=to, devmajor=1, devminor=5)
    refused(room, archive([*ADAPTER.items(), (odd, b"")], packed), "neither a file nor a folder")


@pytest.mark.parametrize("packed", PACKS)
def test_nothing_is_written_through_a_link(room, packed):
    link = entry("there", tarfile.SYMTYPE, linkname="../..")
    refused(room, archive([(link, b""), ("there/evil.json", X)], packed))


@pytest.mark.parametrize("packed", PACKS)
@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"path": "../evil.json"}, "leads out"),
        ({"path": "/tmp/evil.json"}, "leads out"),
        ({"path": "a/" * 40 + "x.json"}, "too long"),
        ({"size": "-1"}, None),
        ({"size": str(2**62)}, "by its own word"),
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" * 15}, None),
        ({"GNU.sparse.size": "9" * 15, "GNU.sparse.map": "0,1"}, "neither"),
    ],
)
def test_what_a_header_adds_is_looked_at_too(room, told, match, packed):
    odd = entry("odd.json", pax_headers=told)
    refused(room, archive([(odd, X)], packed), match)


# --- what is too much ------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(archives, "FREE_OF_RATIO", 2**16)
    monkeypatch.setattr(archives, "BLOCK", 2**14)
    monkeypatch.setattr(archives, "LONGEST_HEADER", 2**14)


def written(room):
    return sum(f.stat().st_size for f in (room / "in" / "files").rglob("*") if f.is_file())


@pytest.mark.parametrize("packed", ["gz", "zst"])
@pytest.mark.parametrize("name", ["bomb.json", "bomb.bin"])
def test_a_bomb_is_left_before_it_fills_the_disk(room, small, name, packed):
    data = archive({name: bytes(2**24)}, packed)
    refused(room, data, "unpacks to more than")
    assert written(room) <= 2**16 + 50 * len(data) + 2**15


def test_a_whole_is_bounded_however_it_is_packed(room, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 30_000)
    refused(room, archive({f"{n}.json": os.urandom(9000) for n in range(9)}), "more than 30 kB")
    assert written(room) <= 30_000


def test_more_files_than_an_adapter_has_are_refused(room, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 20)
    many = archive({f"{n}.json": b"" for n in range(30)})
    refused(room, many, "more than 20 files")


@pytest.mark.parametrize("packed", PACKS)
def test_a_header_without_end_does_not_fill_the_memory(room, small, packed):
    odd = entry("odd.json", pax_headers={"comment": "x" * 2**20})
    refused(room, archive([(odd, X), *ADAPTER.items()], packed), "header without end")


@pytest.mark.parametrize("packed", PACKS)
def test_headers_in_headers_are_left(room, packed):
    one = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=2)
    refused(room, PACKED[packed]((one.tobuf() + b"x\0".ljust(512, b"\0")) * 3000))


def test_a_disk_without_room_is_told(room, monkeypatch):
    nearly_full = archives.shutil._ntuple_diskusage(100, 90, 10)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: nearly_full)
    with pytest.raises(FtlabError, match=r"adapter_config.json of the archive.*10 bytes free"):
        unpacked(room, archive(ADAPTER))


# --- what is damaged -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("packed", ["gz", "zst"])
def test_half_an_archive_is_refused(room, packed, seed):
    data = archive({**ADAPTER, "more.json": random.Random(seed).randbytes(3000)}, packed)
    refused(room, data[: random.Random(seed).randrange(10, len(data) - 8)])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("packed", PACKS)
def test_a_damaged_archive_never_writes_elsewhere(room, packed, seed):
    draw = random.Random(seed)
    data = bytearray(archive({**ADAPTER, "more.json": draw.randbytes(3000)}, packed))
    for _ in range(8):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    with contextlib.suppress(UnreadableData):
        unpacked(room, bytes(data))


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"(\xb5/\xfd", b"<html></html>", b"PK\x03\x04"])
def test_what_is_no_archive_is_refused(room, data):
    refused(room, data)
