"""The service's tokens of rows beside ours: where they part, and what is told of it."""

from __future__ import annotations

import json

import pytest

import ftlab
from ftlab.cli import main
from ftlab.data.chat import IGNORED, tokenise
from ftlab.data.rows import Rows
from ftlab.data.tokens import load_tokenizer
from ftlab.errors import InvalidSpec, ServiceError
from ftlab.issues import Issue
from ftlab.providers.together import beginnings
from ftlab.providers.together.account import secret
from ftlab.providers.together.client import Client
from ftlab.providers.together.preview import differences, first_difference
from ftlab.spec import JobSpec
from tests.fakes.together import Fault, Service
from tests.small import chat_rows, preference_rows, save_tokenizer, write_rows

MODEL = "Qwen/Qwen3-8B"


@pytest.fixture
def service(monkeypatch):
    pause = Client.pause
    monkeypatch.setattr(Client, "pause", lambda client, _: pause(client, 0))
    with Service(key="k") as service:
        yield service


@pytest.fixture
def tokenizer(tmp_path):
    return load_tokenizer(save_tokenizer(tmp_path / "model", "chatml"))


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "train.jsonl", chat_rows(6))


def previewed(file, tokenizer, how="auto"):
    """Rows as a service previews them whose template and tokenizer are the same."""
    whole = Rows(file)
    read = [tokenise(whole[at], tokenizer, how)[0] for at in range(len(whole))]
    return [{"input_ids": list(r.ids), "labels": list(r.labels), "new": 1} for r in read]


def compared(service, file, tokenizer, n_rows=10, **values):
    spec = JobSpec(model=MODEL, training_file=str(file), **values)
    with Client(secret("k"), service.address) as client:
        return differences(client, spec, "file-1", file, tokenizer, n_rows)


def test_the_same_tokens_and_labels_are_no_issue(service, rows, tokenizer):
    service.artefacts.previewed = previewed(rows, tokenizer)
    assert compared(service, rows, tokenizer) == []
    (request,) = service.requests
    assert json.loads(request.body) == {
        "model": MODEL,
        "training_file": "file-1",
        "top_k": 10,
        "training_method": "sft",
    }


def test_the_first_token_that_is_another_is_named(service, rows, tokenizer):
    theirs = previewed(rows, tokenizer)
    ours = theirs[2]["input_ids"][7]
    theirs[2]["input_ids"][7] = other = tokenizer.backend.token_to_id("<|end|>")
    theirs[4]["input_ids"][3] = other
    service.artefacts.previewed = theirs
    (issue,) = compared(service, rows, tokenizer)
    assert (issue.code, issue.level, issue.lines, issue.count) == (
        "tokens_differ",
        "warning",
        (3, 5),
        2,
    )
    assert f"train.jsonl line 3, token 8: Together has '<|end|>' (id {other})" in issue.message
    assert f"ftlab {tokenizer.decode([ours])!r} (id {ours})" in issue.message
    assert issue.message.endswith("Also in 1 more row.")


def test_a_row_that_goes_on_is_told(service, rows, tokenizer):
    theirs = previewed(rows, tokenizer)
    n = len(theirs[0]["input_ids"])
    theirs[0]["input_ids"].append(1)
    theirs[0]["labels"].append(1)
    theirs[1] = {"input_ids": theirs[1]["input_ids"][:5], "labels": theirs[1]["labels"][:5]}
    service.artefacts.previewed = theirs
    (issue,) = compared(service, rows, tokenizer)
    assert f"line 1, token {n + 1}" in issue.message
    assert "ftlab the end of the row" in issue.message
    assert issue.lines == (1, 2)


def test_where_only_one_trains_it_is_named(service, rows, tokenizer):
    theirs = previewed(rows, tokenizer)
    trains = next(at for at, label in enumerate(theirs[0]["labels"]) if label != IGNORED)
    theirs[0]["labels"][trains] = IGNORED
    service.artefacts.previewed = theirs
    (issue,) = compared(service, rows, tokenizer)
    assert issue.code == "labels_differ"
    assert issue.where == "train_on_inputs"
    assert f"line 1, token {trains + 1}: ftlab trains on" in issue.message
    assert "Together does not" in issue.message


def test_what_the_job_asks_for_is_asked_of_both(service, rows, tokenizer):
    service.artefacts.previewed = previewed(rows, tokenizer, how=True)
    assert compared(service, rows, tokenizer, train_on_inputs=True) == []
    assert json.loads(service.requests[0].body)["train_on_inputs"] is True
    (issue,) = compared(service, rows, tokenizer, train_on_inputs=False)
    assert "Together trains on" in issue.message


def test_only_the_rows_that_came_are_compared(service, rows, tokenizer):
    service.artefacts.previewed = previewed(rows, tokenizer)
    service.artefacts.previewed[3]["input_ids"][0] = 0
    assert compared(service, rows, tokenizer, n_rows=3) == []


def test_blank_lines_are_no_rows(service, tmp_path, tokenizer):
    file = tmp_path / "blank.jsonl"
    first, second = (json.dumps(row) for row in chat_rows(2))
    file.write_text(f"\ufeff{first}\n\n  \n{second}\n")
    service.artefacts.previewed = previewed(file, tokenizer)
    service.artefacts.previewed[1]["input_ids"][2] = 0
    (issue,) = compared(service, file, tokenizer)
    assert issue.lines == (4,)


@pytest.mark.parametrize(
    ("ids", "labels", "theirs", "place"),
    [
        ([1, 2, 3], [1, 2, 3], {"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, None),
        ([1, 2, 3], [1, 2, 3], {"input_ids": [1, 2], "labels": [1, 2], "truncated": True}, None),
        ([1, 2, 3], [1, 2, 3], {"input_ids": [1, 2], "labels": [1, 2], "truncated": False}, 3),
        ([1, 2], [1, 2], {"input_ids": [1, 2, 3], "labels": [1, 2, 3], "truncated": True}, 3),
        ([], [], {"input_ids": [], "labels": []}, None),
        ([1, 2, 3], [1, -100, 3], {"input_ids": [1, 2, 4], "labels": [1, 2, 4]}, 2),
    ],
)
def test_where_rows_part(ids, labels, theirs, place):
    found = first_difference(ids, labels, theirs)
    assert (found and found.place) == place


@pytest.mark.parametrize(
    "rows_of_reply",
    [None, [None], [{}], [{"input_ids": [1], "labels": []}], [{"input_ids": ["a"], "labels": [1]}]],
)
def test_a_reply_without_tokens_is_told(service, rows, tokenizer, rows_of_reply):
    body = json.dumps({"rows": rows_of_reply}).encode()
    service.misbehave("POST", "/preview", Fault(status=200, body=body))
    with pytest.raises(ServiceError, match="input_ids and labels"):
        compared(service, rows, tokenizer)


def test_ids_that_no_model_has_are_shown_as_they_are(service, rows, tokenizer):
    service.artefacts.previewed = previewed(rows, tokenizer)
    service.artefacts.previewed[0]["input_ids"][0] = 10**30
    (issue,) = compared(service, rows, tokenizer)
    assert "which no model has" in issue.message


def test_preferences_are_not_previewed_there(service, tmp_path, tokenizer):
    pairs = write_rows(tmp_path / "pairs.jsonl", preference_rows(3))
    (issue,) = compared(service, pairs, tokenizer, training_method="dpo")
    assert issue.code == "not_compared"
    assert service.requests == []


# --- check_template() ------------------------------------------------------------------------


@pytest.fixture
def asked(service, rows, tokenizer, monkeypatch):
    monkeypatch.setenv("TOGETHER_BASE_URL", service.address)
    monkeypatch.setenv("TOGETHER_API_KEY", "k")
    found = "ftlab.providers.together.preview.find_tokenizer"
    monkeypatch.setattr(found, lambda _: (tokenizer, []))
    service.artefacts.previewed = previewed(rows, tokenizer)
    return {"model": MODEL, "training_file": str(rows)}


def test_a_job_is_asked_about_as_a_whole(service, asked):
    assert repr(ftlab.check_template(asked)) == "no issues"
    (request,) = service.asked("POST", "/preview")
    assert json.loads(request.body)["training_file"] == "file-0000"
    assert service.bodies == []
    service.artefacts.previewed[0]["input_ids"][0] = 0
    assert "token 1: Together has" in repr(ftlab.check_template(asked))
    assert len(service.asked("PUT")) == 1  # the file is not sent again


@pytest.mark.parametrize(
    "values",
    [{"model": None}, {"model": "demo"}, {"model": "."}, {"training_file": None}, {"n_epochs": 0}],
)
def test_a_job_that_can_t_be_compared_is_refused_before_anything_is_sent(service, asked, values):
    with pytest.raises(InvalidSpec):
        ftlab.check_template({**asked, **values})
    assert service.requests == []


def test_a_file_that_the_service_refuses_is_told_in_its_words(service, asked):
    service.file_status = "INVALID_FORMAT"
    with pytest.raises(InvalidSpec, match="its state is INVALID_FORMAT"):
        ftlab.check_template(asked)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_of_a_file_that_is_there_the_first_rows_are_read(service, asked, rows, elsewhere):
    file_id = service.add_file("train.jsonl")
    service.take_content(file_id, rows.read_bytes() * 50)
    service.preprocess(file_id)
    service.artefacts.archives[file_id] = service.contents[file_id]
    if elsewhere:
        where = f"{service.address}/artefacts/kept/{file_id}?signature=s3cret"
        service.misbehave(
            "GET", "/content", Fault(status=302, headers=(("Location", where),), body=b"")
        )
    service.artefacts.previewed[2]["input_ids"][4] = 0
    (issue,) = ftlab.check_template({**asked, "training_file": file_id})
    assert f"{file_id} line 3, token 5: Together has" in issue.message
    assert service.asked("PUT") == []


def test_of_a_large_file_no_more_is_read_than_is_needed(service, asked, rows, monkeypatch):
    monkeypatch.setattr(beginnings, "MOST", rows.stat().st_size + 5)
    file_id = service.add_file("train.jsonl")
    service.take_content(file_id, rows.read_bytes() * 50)
    service.preprocess(file_id)
    assert repr(ftlab.check_template({**asked, "training_file": file_id})) == "no issues"
    (request,) = service.asked("GET", "/content")
    assert request.headers["Range"] == f"bytes=0-{rows.stat().st_size + 4}"


def test_that_nothing_was_compared_is_no_agreement(service, asked):
    service.artefacts.previewed = []
    (issue,) = ftlab.check_template(asked)
    assert (issue.code, "the service showed 0" in issue.message) == ("not_compared", True)


def test_that_there_is_no_tokenizer_here_is_no_agreement(service, asked, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("ftlab.providers.together.preview.find_tokenizer", nothing_here)
    (issue,) = ftlab.check_template(asked)
    assert issue.message == "The rows were not compared: Qwen/Qwen3-8B is not here."
    assert (issue.code, issue.blocks) == ("not_compared", ())
    assert service.requests == []


def nothing_here(model):
    text = f"Tokens were not counted: {model} is not here."
    return None, [Issue("error", text, "no_tokenizer", "model", blocks=("local",))]


# --- in a terminal ---------------------------------------------------------------------------


@pytest.fixture
def file(asked, tmp_path):
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(asked))
    return str(file)


def test_a_terminal_names_the_first_token_too(service, file, capsys):
    line = ["check", file, "--for", "together", "--template"]
    assert main(line) == 0
    assert "the same tokens of the first rows" in capsys.readouterr().err
    service.artefacts.previewed[0]["input_ids"][0] = 0
    assert main(line) == 0
    assert "token 1: Together has" in capsys.readouterr().out
    main([*line, "--json"])
    assert "tokens_differ" in {one["code"] for one in json.loads(capsys.readouterr().out)}


def test_a_terminal_compares_with_the_service_alone(service, file, capsys):
    assert main(["check", file, "--template"]) == 1
    assert "Add --for together." in capsys.readouterr().err
    assert service.requests == []


def test_tokens_of_a_job_that_is_refused_are_not_compared(service, asked, tmp_path):
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({**asked, "use_dora": True}))
    assert main(["check", str(file), "--for", "together", "--template"]) == 1
    assert service.asked("POST") == []
