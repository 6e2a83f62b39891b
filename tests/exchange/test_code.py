"""Code that is written out is run: it makes the equal spec, and the hosted job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ftlab
from ftlab.exchange.code import to_python, to_sdk
from ftlab.exchange.together import to_body
from ftlab.rules import resolve
from ftlab.spec import JobSpec
from tests.exchange.oracles import SDK, environment
from tests.exchange.specs import DPO, HOSTED_WISHES, INFO, SFT, WISHES, drawn, with_and_without
from tests.fakes.together import ARCHIVE, Service

RUN_AT_ONCE = "import runpy, sys, time; time.sleep = lambda s: None; runpy.run_path(sys.argv[1])"
ROW = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}


def submitted(monkeypatch, text: str) -> tuple[JobSpec, dict]:
    """What code hands to submit()."""
    taken = []
    monkeypatch.setattr(
        ftlab, "submit", lambda spec, **how: taken.append((spec, how)), raising=False
    )
    exec(compile(text, "export.py", "exec"), {})
    return taken[0]


def specs() -> list[JobSpec]:
    texts = [
        'a "quoted" name',
        "tab\there",
        "new\nline",
        "back\\slash",
        "naïve 日本 🦜",
        "\x7f\x00",
    ]
    odd = [JobSpec(**{**SFT, "model": text, "sample_prompts": (text,)}) for text in texts]
    wished = [JobSpec(**{**SFT, **values}) for values in WISHES.values()]
    return [JobSpec(), *odd, *wished, *(drawn(seed) for seed in range(100))]


def test_our_code_makes_the_equal_spec(monkeypatch):
    for spec in specs():
        made, how = submitted(monkeypatch, to_python(spec).text)
        assert made == spec
        assert made.model_fields_set == spec.model_fields_set
        assert how == {}


def test_our_code_says_where_the_job_runs(monkeypatch):
    text = to_python(JobSpec(**SFT), "together", {"wandb_name": "x"}).text
    assert submitted(monkeypatch, text)[1] == {"provider": "together", "wandb_name": "x"}


@pytest.mark.parametrize(
    "text", [to_python(JobSpec(**SFT)).text, to_sdk(JobSpec(**SFT), None, INFO).text]
)
def test_code_is_formatted(text):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length", "100", "--diff", "-"],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def run_script(spec: JobSpec, service: Service, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script of a spec, run by itself in a folder with its data, without waiting."""
    for name, n_rows in {"train.jsonl": 1, "val.jsonl": 2}.items():
        (folder / name).write_text((json.dumps(ROW) + "\n") * n_rows, encoding="utf-8")
    (folder / "tune.py").write_text(to_sdk(spec, None, INFO).text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-c", RUN_AT_ONCE, "tune.py"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        env=environment(SDK, TOGETHER_API_KEY="k", TOGETHER_BASE_URL=service.address),
    )  # fmt: skip


@pytest.mark.parametrize(
    "values",
    [
        {
            **SFT,
            "early_stopping_enabled": True,
            "n_evals": 5,
            "lora_trainable_modules": ("q_proj",),
        },
        {**SFT, "lora": False, "learning_rate": 2e-5, "lr_scheduler_type": "linear"},
        {**DPO, "dpo_beta": 0.2, "simpo_gamma": 0.5, "suffix": "pairs"},
    ],
)
def test_the_script_uploads_trains_follows_and_downloads(tmp_path, values):
    spec = JobSpec(**values)
    with Service() as service:
        done = run_script(spec, service, tmp_path)
    assert done.returncode == 0, done.stderr
    resolved = resolve(spec, None, INFO, "together").spec
    ids = {"training_file": "file-0000", "validation_file": "file-0001"}
    assert service.bodies == [to_body(resolved.changed(**ids))[0]]
    assert [file["filename"] for file in service.files.values()] == ["train.jsonl", "val.jsonl"]
    assert service.contents["file-0000"] == (json.dumps(ROW) + "\n").encode()
    for happened in ("request created", "Training started", "at step 2", "Job finished"):
        assert done.stdout.count(f"{happened}\n") == 1
    kind = "model_output_path" if spec.lora is False else "adapter"
    assert service.downloads == [{"ft_id": "ft-0000", "checkpoint": kind}]
    assert (tmp_path / "ft-0000.tar.gz").read_bytes() == ARCHIVE


def test_the_script_takes_files_that_are_there_already(tmp_path):
    spec = JobSpec(**{**SFT, "training_file": "file-abc-1", "validation_file": "file-abc-2"})
    with Service() as service:
        done = run_script(spec, service, tmp_path)
    assert done.returncode == 0, done.stderr
    assert service.files == {}
    assert service.bodies[0]["validation_file"] == "file-abc-2"


@pytest.mark.parametrize(
    ("misfortune", "told"),
    [
        ({"ends_as": "error"}, "the job ended as error"),
        ({"file_status": "INVALID_FORMAT"}, "train.jsonl is not accepted: INVALID_FORMAT"),
    ],
)
def test_the_script_ends_with_the_reason_when_it_goes_wrong(tmp_path, misfortune, told):
    with Service(**misfortune) as service:
        done = run_script(JobSpec(**SFT), service, tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not service.downloads


@pytest.mark.parametrize("name", HOSTED_WISHES)
def test_every_wish_is_in_the_script_or_in_the_list(name):
    wish, rest = with_and_without(name, HOSTED_WISHES[name])
    script = to_sdk(wish, None, INFO)
    compile(script.text, "tune.py", "exec")
    other = to_sdk(rest, None, INFO).text
    assert script.text != other or name in {issue.where for issue in script.lost}


def test_names_can_not_break_out_of_the_script():
    spec = JobSpec(**{**SFT, "model": 'm""" + exit() #', "training_file": 'a"); exit(); ("'})
    text = to_sdk(spec, None, INFO).text
    compile(text, "tune.py", "exec")
    assert "fine-tunes m___ _ exit__ _ on Together" in text
    assert 'training_file=upload("a\\"); exit(); (\\"")' in text
