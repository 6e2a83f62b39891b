"""What a run starts from stays the same, whatever becomes of it between two of its processes."""

from __future__ import annotations

import shutil

import pytest
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file

from ftlab.adapter_files import WEIGHTS, read_adapter
from ftlab.job import Job, LocalOptions
from ftlab.rules import resolve
from ftlab.run import Run
from tests.fake_hub import own_cache
from tests.small import chat_rows, preference_rows, save_model, write_rows
from tests.train.warm import KILLED, Warm, outcome

pytestmark = [
    pytest.mark.slow,
    # peft 0.21 asks for a name that transformers 5.23 gave up.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

NAME = "somebody/small"
OLD, NEW = "1" * 40, "2" * 40


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A hub's cache with two commits of a model, without a network."""
    with pytest.MonkeyPatch.context() as patch:
        cache = own_cache(tmp_path_factory.mktemp("cache"), patch)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("FTLAB_LEASES", str(tmp_path_factory.mktemp("leases")))
        snapshots = cache / "models--somebody--small" / "snapshots"
        for commit, size in ((OLD, 64), (NEW, 96)):
            save_model(snapshots / commit, intermediate_size=size)
        (snapshots.parent / "refs").mkdir()
        yield cache


@pytest.fixture(scope="module")
def warm(cache):
    process = Warm()
    yield process
    process.close()


@pytest.fixture
def branch(cache):
    """The file that says which commit the branch is at."""
    file = cache / "models--somebody--small" / "refs" / "main"
    file.write_text(OLD)
    return file


@pytest.fixture
def new_run(tmp_path):
    def make(**changes):
        rows = write_rows(tmp_path / "rows.jsonl", chat_rows(12))
        common = {"model": NAME, "training_file": str(rows), "batch_size": 4, "lora_r": 4}
        spec = resolve({**common, "n_epochs": 2, "learning_rate": 1e-2, **changes}).spec
        options = LocalOptions(device="cpu").model_dump()
        return Run.create(Job(spec=spec, provider="local", options=options), tmp_path / "runs")

    return make


def carry_out(warm, run, **plan):
    assert warm.carry_out(run, **plan) == 0, run.log_file.read_text()
    return run


def test_a_run_goes_on_with_the_commit_that_it_began_with(warm, branch, new_run):
    whole = outcome(carry_out(warm, new_run()))
    run = carry_out(warm, new_run(), pause=2)
    branch.write_text(NEW)
    assert outcome(carry_out(warm, run)) == whole


def test_a_paused_run_is_stopped_without_its_model(warm, branch, new_run, cache):
    run = carry_out(warm, new_run(), every=1, pause=2)
    (cache / "models--somebody--small").rename(cache / "away")
    try:
        carry_out(warm, run, ask="stop")
    finally:
        (cache / "away").rename(cache / "models--somebody--small")
    assert run.state == ("completed", f"stopped at step 2 of {run.history.n_steps}")
    assert (run.adapter / WEIGHTS).exists()


def test_a_run_stopped_where_it_paused_tells_of_damage_and_of_no_later_step(warm, branch, new_run):
    run = new_run(max_seq_length=20, n_checkpoints=3)
    warm.carry_out(run, every=1, kill={"at": "step", "n": 6})
    (run.checkpoint(5) / "optimizer.safetensors").write_bytes(b"")
    carry_out(warm, run, ask="stop")
    assert run.state == ("completed", f"stopped at step 4 of {run.history.n_steps}")
    assert list(run.history.series["train_loss"]) == [1, 2, 3, 4]
    damaged, cut = [log.text for log in run.history.logs if log.level == "warning"]
    assert "step-00000005 is damaged" in damaged
    assert cut.startswith("At least 12 rows were cut at 20 tokens;")


def test_a_run_killed_between_a_state_and_its_event_tells_of_it_later(warm, branch, new_run):
    run = new_run(n_checkpoints=3)
    assert warm.carry_out(run, kill={"at": "saved", "n": 1}) == KILLED
    assert run.history.checkpoints == []
    carry_out(warm, run)
    assert [saved.step for saved in run.history.checkpoints] == [2, 4, 6]
    carry_out(warm, run := new_run(n_checkpoints=3), pause=3)
    carry_out(warm, run)
    assert [saved.step for saved in run.history.checkpoints] == [2, 4, 6]


def test_a_run_goes_on_from_its_own_copy_of_an_adapter(warm, branch, new_run, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(carry_out(warm, new_run()).adapter, source)
    rows = write_rows(tmp_path / "pairs.jsonl", preference_rows(12))
    changes = {"training_method": "dpo", "training_file": str(rows), "n_epochs": 1}
    whole, run = (new_run(from_checkpoint=str(source), **changes) for _ in range(2))
    carry_out(warm, whole)
    carry_out(warm, run, pause=2)
    shutil.rmtree(source)
    assert outcome(carry_out(warm, run)) == outcome(whole)


@pytest.mark.parametrize("layer", ["embed_tokens", "lm_head"])
def test_an_adapter_of_embeddings_goes_on(warm, branch, new_run, layer):
    first = carry_out(warm, new_run(lora_trainable_modules=["q_proj", layer], learning_rate=5e-2))
    names = load_file(first.adapter / WEIGHTS)
    assert all("lora_" in name for name in names)
    assert any(layer in name for name in names)
    more = carry_out(warm, new_run(from_checkpoint=str(first.adapter), n_epochs=1), pause=2)
    carry_out(warm, more)
    before, after = (list(run.history.series["train_loss"].values()) for run in (first, more))
    assert after[0] < (before[0] + before[-1]) / 2  # not as from the base again


def test_what_peft_adds_to_an_adapter_of_embeddings_is_the_models_own(warm, branch, new_run):
    folder = carry_out(warm, new_run(lora_trainable_modules=["embed_tokens"])).adapter
    names = {*load_file(folder / WEIGHTS)}
    model = AutoPeftModelForCausalLM.from_pretrained(folder)
    model.save_pretrained(folder, save_embedding_layers=True)  # as peft does unless told
    assert len(load_file(folder / WEIGHTS)) > len(names)
    assert {*read_adapter(folder).shapes} == names
    carry_out(warm, new_run(from_checkpoint=str(folder), n_epochs=1))
