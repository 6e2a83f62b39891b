"""The one way in and the one way out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftlab.errors import FtlabError
from ftlab.exchange import FORMS, export, read
from ftlab.spec import JobSpec, parse
from tests.exchange.specs import DPO, INFO, REPORT, SFT, WISHES

READABLE = ("json", "toml", "request", "nemo")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_writes_a_text(form):
    text, lost = export(JobSpec(**SFT), form, REPORT, INFO)
    assert text.endswith("\n")
    assert "org/some-model-8B" in text
    assert not [issue for issue in lost if issue.level == "error"]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_lost_is_said_in_three_facts(form):
    for values in WISHES.values():
        for issue in export(JobSpec(**{**SFT, **values}), form, REPORT, INFO).lost:
            assert issue.where
            assert ";" in issue.message
            assert issue.message.endswith(".")
            assert issue.message.count(". ") >= 1, issue.message


def test_an_unknown_form_names_those_there_are():
    with pytest.raises(FtlabError, match="axolotl"):
        export(JobSpec(), "yaml")


@pytest.mark.parametrize("form", READABLE)
def test_a_text_is_read_whatever_its_form(form):
    spec = JobSpec(**SFT, lora_r=8, learning_rate=1e-4, batch_size=16)
    found = read(export(spec, form, REPORT, INFO).text, REPORT)
    again, issues = parse(found.values)
    assert issues == []
    for name in ("model", "training_file", "validation_file", "n_evals", "lora_r"):
        assert getattr(again, name) == getattr(spec, name)
    assert again.learning_rate == 1e-4


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("num_train_epochs = 3\nr = 8", {"n_epochs": 3, "lora": True, "lora_r": 8}),
        ("num_train_epochs: 3", {"n_epochs": 3}),
        ('{"num_train_epochs": 3}', {"n_epochs": 3}),
        ('{"n_epochs": 3, "model": "m"}', {"n_epochs": 3, "model": "m"}),
        ("[lora_config]\nr = 3", {}),
    ],
)
def test_keywords_are_read_from_any_notation(text, values):
    assert read(text).values == values


@pytest.mark.parametrize("text", ["", "  ", "{", "just words", "[1, 2]", "\x00", "{" * 9999])
def test_what_is_none_of_them_is_one_issue(text):
    values, lost, _ = read(text)
    assert values == {}
    assert [issue.level for issue in lost] == ["error"]


pieces = st.sampled_from(
    [
        *("{", "}", "[", "]", ":", "=", "\n", " ", "- ", '"', "'", "1e-5", "null", "&a ", "*a"),
        *("!!x ", "recipe", "step_scheduler", "training_type", "lr_scheduler", "r", "eval_steps"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join) | st.text(max_size=30))
def test_no_text_is_more_than_an_issue(text):
    found = read(text, REPORT)
    assert isinstance(found.values, dict)
    assert isinstance(parse(found.values)[0], JobSpec)


def test_the_forms_of_preferences():
    for form in FORMS:
        text, lost = export(JobSpec(**DPO, dpo_beta=0.3), form, None, INFO)
        assert bool(text) == (form != "nemo")
        assert ("0.3" in text) or lost


def test_reading_and_writing_load_nothing_heavy():
    code = (
        "import sys, json; from ftlab.exchange import FORMS, export, engines, read;"
        "from ftlab.spec import JobSpec; from ftlab.models import ModelInfo;"
        "from ftlab.exchange.engines import side_by_side;"
        f"spec = JobSpec(**{SFT!r});"
        "[export(spec, f, None, ModelInfo(name='m')) for f in ('json', 'toml', 'python', 'sdk')];"
        "side_by_side(spec, None, ModelInfo(name='m'));"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    heavy = {"torch", "transformers", "pandas", "httpx", "yaml", "together", "trl", "ipywidgets"}
    assert not set(json.loads(out)) & heavy
