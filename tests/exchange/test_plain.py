"""A spec as JSON and TOML, there and back."""

from __future__ import annotations

import json
import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftlab.exchange import read
from ftlab.exchange.plain import from_json, from_toml, from_yaml, to_json, to_toml
from ftlab.spec import JobSpec
from tests.exchange.specs import SFT, WISHES, drawn

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize(("write", "read"), [(to_json, from_json), (to_toml, from_toml)])
def test_there_and_back_is_the_same_spec(write, read):
    wished = [JobSpec(**{**SFT, **values}) for values in WISHES.values()]
    for spec in [JobSpec(), *wished, *(drawn(seed) for seed in range(200))]:
        text, lost = write(spec)
        found = read(text)
        assert (found.lost, found.hints) == ([], [])
        again = JobSpec(**found.values)
        assert {issue.where for issue in lost} == ({"lora"} & set(_different(spec, again)))
        assert not set(_different(spec, again)) - {"lora"}


def _different(one: JobSpec, other: JobSpec) -> list[str]:
    return [name for name in JobSpec.model_fields if getattr(one, name) != getattr(other, name)]


@given(
    st.fixed_dictionaries(
        {
            "model": texts,
            "sample_prompts": st.lists(texts, max_size=3),
            "learning_rate": st.floats(0, 1, exclude_min=True),
            "n_epochs": st.integers(1, 2**53),
        }
    )
)
def test_any_text_and_number_survives_toml(values):
    spec = JobSpec(**values)
    assert JobSpec(**tomllib.loads(to_toml(spec).text)) == spec
    assert JobSpec(**json.loads(to_json(spec).text)) == spec


def test_toml_is_grouped_for_people():
    text = to_toml(JobSpec(lora_r=8, model="m", n_epochs=2)).text
    assert text == '# Model\nmodel = "m"\n\n# Length\nn_epochs = 2\n\n# LoRA\nlora_r = 8\n'


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (from_json, "{"),
        (from_json, "[1]"),
        (from_json, "[" * 100_000),
        (from_toml, "a ="),
        (from_toml, "a = " + "[" * 100_000),
        (from_yaml, "a: ["),
        (from_yaml, "- 1"),
        (from_yaml, "just words"),
        (from_yaml, "a: " + "[" * 5_000),
        (from_yaml, "!!python/object/apply:os.system ['true']"),
        (from_yaml, "a: \x00"),
        (from_yaml, 'a: !!int ""'),
        (from_yaml, 'a: !!float ""'),
        (from_yaml, "a: !!bool foo"),
        (from_yaml, "a: !!timestamp foo"),
        (from_yaml, f"a: !!int {'x' * 9999}"),
        (from_yaml, "a: 1" + ":0" * 500 + ".5"),
        (from_yaml, "a: " + "9" * 6000),
        (from_yaml, "r: &a [*a]\nlora_r: &b [*b]"),
    ],
)
def test_what_can_not_be_read_is_one_issue(read, text):
    values, lost, hints = read(text)
    assert (values, hints) == ({}, [])
    (issue,) = lost
    assert issue.level == "error"
    assert len(issue.message) < 400


@pytest.mark.parametrize("part", ["[*a{n}, *a{n}]", "{{<<: [*a{n}, *a{n}]}}"])
def test_yaml_of_a_few_lines_that_stands_for_gigabytes_is_told_at_once(part):
    lines = ["a0: &a0 {x: 1}", *(f"a{n + 1}: &a{n + 1} " + part.format(n=n) for n in range(40))]
    start = time.perf_counter()
    (issue,) = read("\n".join(lines)).lost
    assert time.perf_counter() - start < 0.5
    assert "line 2 holds the alias *a0; write out what it stands for" in issue.message
