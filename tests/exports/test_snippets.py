"""How an export is used: what is printed, and what can't be served."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from ftlab.errors import RunError
from ftlab.exports.snippets import (
    QUESTION,
    VLLM_RANKS,
    transformers_snippet,
    vllm_snippet,
    why_not_vllm,
)
from ftlab.exports.system import system_prompt
from ftlab.files import sha256_of
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec
from tests.small import chat_rows, write_rows

PLAIN = {"r": 16, "base_model_name_or_path": "Qwen/Qwen3-8B", "revision": "abc"}
OPTIONS = {
    *("--enable-lora", "--lora-modules", "--max-lora-rank"),
    *("--revision", "--served-model-name"),
}
"""Of `vllm serve`, as its documentation has them."""


def adapter(folder, **config):
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**PLAIN, **config}))
    return folder


def served(text):
    return shlex.split(text.splitlines()[0])


def test_an_adapter_is_served_over_its_base_at_its_commit(tmp_path):
    folder = adapter(tmp_path / "my tuned")
    words = served(vllm_snippet(folder, "adapter"))
    assert words[:3] == ["vllm", "serve", "Qwen/Qwen3-8B"]
    assert {word for word in words if word.startswith("--")} <= OPTIONS
    assert words[words.index("--revision") + 1] == "abc"
    assert words[words.index("--lora-modules") + 1] == f"tuned={folder}"


@pytest.mark.parametrize(("rank", "given"), [(4, 8), (16, 16), (17, 32), (300, 320), (512, 512)])
def test_vllm_is_told_a_rank_that_it_takes(tmp_path, rank, given):
    words = served(vllm_snippet(adapter(tmp_path, r=rank), "adapter"))
    assert words[words.index("--max-lora-rank") + 1] == str(given)
    assert given in VLLM_RANKS


def test_the_largest_of_all_ranks_counts(tmp_path):
    words = served(vllm_snippet(adapter(tmp_path, rank_pattern={"q_proj": 64}), "adapter"))
    assert words[words.index("--max-lora-rank") + 1] == "64"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "biases"),
        ({"r": 600}, "rank 600"),
        ({"target_parameters": ["experts.down_proj"]}, "experts"),
        ({"target_modules": ["model.embed_tokens"]}, "embeddings"),
    ],
)
def test_what_vllm_does_not_take_is_said(tmp_path, config, said):
    assert said in why_not_vllm({**PLAIN, **config})
    with pytest.raises(RunError, match="merged it does"):
        vllm_snippet(adapter(tmp_path, **config), "adapter")


def test_rslora_is_taken():
    assert why_not_vllm({**PLAIN, "use_rslora": True, "target_modules": ["q_proj"]}) == ""


@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_the_program_is_one_whatever_the_folder_is_called(kind):
    compile(transformers_snippet('a "quoted" folder\\', kind), "snippet", "exec")


def test_the_system_prompt_of_all_rows_stands_in_the_snippets(tmp_path):
    said = 'Say "no", don\'t argue: ✓\n'
    rows = chat_rows(3)
    for row in rows:
        row["messages"].insert(0, {"role": "system", "content": said})
    file = write_rows(tmp_path / "t.jsonl", rows)
    spec = JobSpec(model="m", training_file=str(file))
    job = Job(spec=spec, provider="local", data_sha256=sha256_of(file))
    run = Run.create(job, tmp_path / "runs")
    assert system_prompt(run) == said
    tree = ast.parse(transformers_snippet("there", "merged", said))
    (messages,) = (
        ast.literal_eval(one.value)
        for one in tree.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "messages"
    )
    command = shlex.split(vllm_snippet(tmp_path, "merged", said).splitlines()[-1])
    asked = [{"role": "system", "content": said}, {"role": "user", "content": QUESTION}]
    assert messages == json.loads(command[-1])["messages"] == asked
    write_rows(file, chat_rows(3))
    assert system_prompt(run) == ""  # the rows are not those that it was trained on


@pytest.mark.parametrize("more", [[], ["Be long."]])
def test_what_only_some_rows_begin_with_stands_in_no_snippet(tmp_path, more):
    rows = chat_rows(2)
    for row, text in zip(rows, ["Be short.", *more], strict=False):
        row["messages"].insert(0, {"role": "system", "content": text})
    file = write_rows(tmp_path / "t.jsonl", rows)
    spec = JobSpec(model="m", training_file=str(file))
    job = Job(spec=spec, provider="local", data_sha256=sha256_of(file))
    assert system_prompt(Run.create(job, tmp_path / "runs")) == ""


def test_a_gguf_file_is_for_llama_cpp(tmp_path):
    with pytest.raises(RunError, match=r"made for llama\.cpp"):
        transformers_snippet(tmp_path, "gguf")
