"""Several processes train what one does, and end together."""

from __future__ import annotations

import json
import math
import os
import queue
import random
import subprocess
import sys
from array import array
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import Gemma2Config, Gemma2ForCausalLM

from ftlab.errors import FtlabError
from ftlab.processes import environment
from ftlab.providers import prepare
from ftlab.spec import JobSpec
from ftlab.train import others, parallel, sharded, states
from ftlab.train.batches import Example
from ftlab.train.methods.method import Loss
from ftlab.train.sent import dealt
from tests.small import (
    HEADS,
    NARROW,
    byte_level,
    chat_rows,
    preference_rows,
    save_architecture,
    save_model,
    save_tokenizer,
    write_rows,
)
from tests.train.warm import KILLED, SPOILED, new_run, outcome

pytestmark = [
    pytest.mark.slow,
    # transformers 5.23 and peft 0.19 warn about each other's names.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SFT = {"gradient_accumulation_steps": 2}
DPO = {"training_method": "dpo"}
WHOLE = {"lora": False, "learning_rate": 1e-3}
KINDS = {
    "sft": SFT,
    "micro-batches": {**SFT, "batch_size": 5, "n_epochs": 10},
    "packed": {**SFT, "packing": True, "max_seq_length": 96, "n_epochs": 8, "batch_size": 1},
    "padded": {**SFT, "model": "gemma2"},  # its attention is capped
    "padded dpo": {**DPO, "model": "gemma2"},
    "experts": {**SFT, "model": "mixtral", "weight_decay": 0.1},
    "dpo": DPO,
    "dpo with rpo": {**DPO, "rpo_alpha": 0.3, "dpo_normalize_logratios_by_length": True},
    "all weights": WHOLE,
    "dpo of all weights": {**DPO, **WHOLE},
    "nobody's share": {**SFT, "batch_size": 1, "n_epochs": 1, "gradient_accumulation_steps": 1},
}
SHARDED = {
    "sharded": SFT,
    "sharded micro-batches": {**SFT, "batch_size": 5, "n_epochs": 10},
    "sharded packed": KINDS["packed"],
    "sharded padded": KINDS["padded"],
    "sharded experts": KINDS["experts"],
    "sharded dora": {**SFT, "use_dora": True, "use_rslora": True},
    "sharded dpo": DPO,
    "sharded all weights": WHOLE,
    "sharded all weights of experts": {**SFT, **WHOLE, "model": "mixtral", "weight_decay": 0.1},
    "sharded dpo of all weights": {**DPO, **WHOLE},
    "sharded nobody's share": KINDS["nobody's share"],
}
KINDS |= SHARDED
OPTIONS = {"micro-batches": {"micro_batch_size": 2}, "padded": {"gradient_checkpointing": True}}
CLOSE = 1e-5  # relative; sums in another order round otherwise


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    save_model(folder / "llama")
    save_architecture(folder / "mixtral", "mixtral")
    save_tokenizer(folder / "gemma2", "generation_tags")
    vocabulary = byte_level().get_vocab_size()
    config = Gemma2Config(**NARROW, **HEADS, head_dim=8, vocab_size=vocabulary)
    Gemma2ForCausalLM(config).save_pretrained(folder / "gemma2")
    write_rows(folder / "sft.jsonl", chat_rows(20))
    write_rows(folder / "sft-valid.jsonl", chat_rows(7, start=500))
    write_rows(folder / "dpo.jsonl", preference_rows(12))
    write_rows(folder / "dpo-valid.jsonl", preference_rows(5, start=500))
    return folder


@pytest.fixture(scope="module")
def job(files):
    """A job of a kind for so many processes; the steps of an epoch don't come out even."""

    def make(kind="sft", n=2, **changes):
        values = {"model": "llama", **KINDS[kind], **changes}
        data = values.get("training_method", "sft")
        common = {
            "training_file": str(files / f"{data}.jsonl"),
            "validation_file": str(files / f"{data}-valid.jsonl"),
            **{"batch_size": 3, "n_epochs": 5, "learning_rate": 1e-3, "n_evals": 3},
            "lora_dropout": 0.0,
        }
        model = {"model": str(files / values.pop("model"))}
        options = {"device": "cpu", "dtype": "float32", "n_gpus": n, **OPTIONS.get(kind, {})}
        options |= {"shard": n > 1 and kind in SHARDED}
        return prepare({**common, **values, **model}, **options).job

    return make


@pytest.fixture
def finished(warm, job, tmp_path):
    """A run of a kind that nobody disturbed."""

    def run_of(kind="sft", n=2, **changes):
        run = new_run(job(kind, n, **changes), tmp_path, f"{kind}-{n}")
        assert warm.carry_out(run) == 0, run.log_file.read_text()
        return run

    return run_of


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_as_one(finished, kind):
    one, two = (finished(kind, n).history.series for n in (1, 2))
    assert one.keys() == two.keys()
    assert len(one["train_loss"]) >= 20
    for name in one.keys() - {"tokens_per_second", "memory_gib", "step_seconds", "loader_seconds"}:
        assert one[name].keys() == two[name].keys()
        for step, value in one[name].items():
            small = 1e-5 if "rewards" in name else 1e-9  # differences of sums of about 50
            assert math.isclose(two[name][step], value, rel_tol=CLOSE, abs_tol=small), (name, step)


def test_three_processes_train_as_one(finished):
    one, three = (finished("sft", n).history.series for n in (1, 3))
    for name in ("train_loss", "grad_norm", "eval_loss"):
        assert list(three[name].values()) == pytest.approx(list(one[name].values()), rel=CLOSE)


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_the_losses_of_rows_are_told_with_their_lines(finished, kind):
    one, two = (list(finished(kind, n).told_of_rows()) for n in (1, 2))
    for ours, theirs in zip(one, two, strict=True):
        assert (theirs.step, theirs.file) == (ours.step, ours.file)
        expected = dict(zip(ours.lines, ours.losses, strict=True))
        found = dict(zip(theirs.lines, theirs.losses, strict=True))
        if ours.file == "validation":
            assert list(theirs.lines) == list(ours.lines)
        assert found == pytest.approx(expected, rel=1e-4)  # five digits are told


def test_a_process_that_had_less_room_makes_all_pieces_smaller(warm, job, finished, tmp_path):
    run = new_run(job(n=2), tmp_path, "short")
    assert warm.carry_out(run, room_elsewhere=1) == 0, run.log_file.read_text()
    alone = finished(n=1)
    found, expected = (r.history.series["train_loss"] for r in (run, alone))
    assert list(found.values()) == pytest.approx(list(expected.values()), rel=CLOSE)
    for ours, theirs in zip(run.told_of_rows(), alone.told_of_rows(), strict=True):
        losses = dict(zip(theirs.lines, theirs.losses, strict=True))
        assert dict(zip(ours.lines, ours.losses, strict=True)) == pytest.approx(losses, rel=1e-4)
    assert any("The memory did not suffice" in log.text for log in run.history.logs)
    again = new_run(job(n=2), tmp_path, "again")
    assert warm.carry_out(again, every=1, kill={"at": "step", "n": 4}, room_elsewhere=1) == KILLED
    assert warm.carry_out(again, room_elsewhere=9) == 0  # smaller pieces stay
    assert outcome(again) == outcome(run)


DROPOUT = {"lora_dropout": 0.1}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("sft", {**DROPOUT, "sample_prompts": ("Where is order 3?",)}),
        ("dpo", DROPOUT),
        ("dpo of all weights", {}),
        ("packed", DROPOUT),
        ("sharded", {**DROPOUT, "sample_prompts": ("Where is order 3?",)}),
        ("sharded dpo", DROPOUT),
        ("sharded all weights", {"sample_prompts": ("Where is order 3?",)}),
    ],
)
def test_a_run_that_is_killed_and_paused_ends_bit_by_bit_as_one_that_never_was(
    warm, job, finished, tmp_path, kind, changes
):
    run = new_run(job(kind, **changes), tmp_path, "killed")
    plans = (
        {"kill": {"at": "step", "n": 4}},
        {"lose": 2},
        {"kill": {"at": "loading", "n": 1}},
        {"pause": 2},
        {"kill": {"at": "manifest", "n": 2}},
        {"signal": 2},
    )
    ends = [warm.carry_out(run, every=1, **plan) for plan in plans]
    assert ends == [KILLED, 1, KILLED, 0, KILLED, 0], run.log_file.read_text()
    assert warm.carry_out(run) == 0, run.log_file.read_text()
    assert outcome(run) == outcome(finished(kind, **changes))


@pytest.mark.parametrize(
    ("kind", "changes"), [("sft", DROPOUT), ("sharded", DROPOUT), ("sharded all weights", {})]
)
def test_kills_of_either_at_random_times(warm, job, finished, tmp_path, kind, changes):
    draw = random.Random(5)
    for trial in range(3):
        run, n_kills = new_run(job(kind, **changes), tmp_path, f"{trial}"), 0
        while n_kills < 5 and run.status != "completed":
            after = draw.uniform(0.1, 0.8)
            plan = {"lose_after": after} if n_kills % 2 else {"kill": {"after": after}}
            assert warm.carry_out(run, every=1, **plan) in (0, 1, KILLED)
            n_kills += 1
        if run.status != "completed":
            assert warm.carry_out(run) == 0, run.log_file.read_text()
        assert outcome(run) == outcome(finished(kind, **changes))


def test_dropout_differs_between_processes(finished):
    one, two = (finished(n=n, lora_dropout=0.5).history.series["train_loss"] for n in (1, 2))
    assert list(one.values())[1:] != pytest.approx(list(two.values())[1:], rel=CLOSE)


def test_a_process_that_is_killed_ends_the_run_which_says_so(warm, job, tmp_path):
    run = new_run(job(), tmp_path, "lost")
    assert warm.carry_out(run, lose=3) == 1
    assert run.status == "failed"
    assert run.state.detail == (
        "The run's process 2 of 2, on cpu, was ended by SIGKILL; a step takes all of a run's "
        "processes. Resume the run: it goes on from its newest checkpoint."
    )
    assert list(run.history.series["train_loss"]) == [1, 2]


def test_what_another_process_says_at_its_end_is_told(warm, job, tmp_path):
    run = new_run(job(), tmp_path, "spoiled")
    assert warm.carry_out(run, spoil=3) == 1
    assert run.state == ("failed", f"{SPOILED} (Said by process 2 of 2, on cpu.)")


def test_a_device_that_fails_in_another_process_is_told(warm, job, tmp_path):
    run = new_run(job(), tmp_path, "failing")
    assert warm.carry_out(run, fail=3) == 1
    assert run.state.status == "failed"
    assert "RuntimeError: CUDA error: an illegal memory access" in run.state.detail
    assert "(Said by process 2 of 2, on cpu.)" in run.state.detail
    assert "_sum" in run.log_file.read_text()


def test_a_process_that_does_not_connect_is_told(warm, job, tmp_path):
    run = new_run(job(), tmp_path, "slow")
    assert warm.carry_out(run, slow=True) == 1
    assert run.state.status == "failed"
    assert run.state.detail.startswith("The run's processes did not connect within 1 seconds;")


def test_a_process_that_nobody_needs_any_more_may_go(warm, job, tmp_path):
    run = new_run(job(max_steps=2), tmp_path, "last")
    assert warm.carry_out(run, lose_last=True) == 0, run.log_file.read_text()
    assert run.status == "completed"


@pytest.mark.parametrize("kind", ["sft", "sharded", "sharded all weights"])
@pytest.mark.parametrize(
    ("asked", "status"), [("stop", "completed"), ("cancel", "cancelled"), ("pause", "paused")]
)
def test_what_is_asked_is_done_by_all(warm, job, tmp_path, asked, status, kind):
    run = new_run(job(kind, n_epochs=5), tmp_path, "asked")
    assert warm.carry_out(run, **{asked: 3}) == 0
    done = {"completed": "stopped"}.get(status, status)
    assert run.state.status == status
    assert run.state.detail.startswith(f"{done} at step 3 of ")


@pytest.mark.parametrize("kind", ["sharded dora", "sharded all weights", "sharded padded"])
def test_what_was_tuned_in_shares_is_saved_whole(finished, kind):
    whole, shares = (finished(kind, n).adapter for n in (1, 2))
    names = {file.name for file in whole.iterdir()}
    assert {file.name for file in shares.iterdir()} == names
    for name in {"config.json", "adapter_config.json"} & names:
        assert (shares / name).read_text() == (whole / name).read_text()
    (weights,) = (name for name in names if name.endswith(".safetensors"))
    one, two = (load_file(folder / weights) for folder in (whole, shares))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["sharded", "sharded all weights"])
def test_each_process_holds_its_share_alone(warm, job, files, tmp_path, kind):
    run = new_run(job(kind, max_steps=2), tmp_path, "shares")
    assert warm.carry_out(run, weigh=True) == 0, run.log_file.read_text()
    n_all = sum(one.numel() for one in load_file(files / "llama" / "model.safetensors").values())
    held = [int((run.path / f"held-{rank}").read_text()) for rank in range(2)]
    assert sum(held) == pytest.approx(n_all, rel=0.01)
    assert max(held) < 0.55 * n_all
    assert [(run.path / f"short-{rank}").read_text() for rank in range(2)] == ["5", "5"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"quantization": "int8", "lora_r": 8}, "quantization is int8"),
        ({"lora": False, "optimizer": "adamw_8bit"}, "optimizer is adamw_8bit"),
    ],
)
def test_what_is_not_divided_is_named(changes, what):
    spec = JobSpec(model="llama", training_file="rows.jsonl", **changes)
    with pytest.raises(FtlabError, match=f"shard is True, and {what}; .* or set shard to False"):
        sharded.shard(torch.nn.Linear(2, 2), spec, "cpu", torch.float32)


def launched(run):
    """Two processes of a run, as torchrun starts them."""
    port = str(free_port())
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "ftlab.train", str(run.path)]
    return [
        subprocess.Popen(command, env={**environment(), **where, "RANK": str(rank)})
        for rank in range(2)
    ]


def test_processes_that_a_launcher_started_are_those_of_the_run(job, tmp_path):
    run = new_run(job(max_steps=2), tmp_path, "launched")
    assert [process.wait(300) for process in launched(run)] == [0, 0]
    assert run.status == "completed"
    assert len(run.history.series["train_loss"]) == 2


def test_processes_of_a_launcher_end_with_a_run_that_ends_before_they_meet(job, tmp_path):
    run = new_run(job(), tmp_path, "early")
    handle = run.begin()  # it is somebody else's
    try:
        first, other = (process.wait(120) for process in launched(run))
    finally:
        os.close(handle)
    assert first == 1
    assert other in (0, others.FOLLOWED)  # it was told, or came when the first one was gone already


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_one_process_says_and_sums_nothing(monkeypatch):
    monkeypatch.setattr(parallel, "dist", None)
    room, weight = parallel.Room(), torch.nn.Parameter(torch.ones(2))
    loss = Loss.none(("rewards_chosen",), "cpu")
    room.tell("step", [[]])
    room.make_equal([weight])
    room.leave()
    assert room.replies(dict) == []
    assert room.sum_gradients([weight], 4096) == 4096
    assert weight.grad is None
    assert room.added(loss, 0, 0) is loss


@pytest.fixture
def summed(monkeypatch):
    """A room of two that hold the same, and the tensors that it sums."""
    found = []

    def all_reduce(tensor, *_):
        found.append(tensor)
        if tensor.is_floating_point():
            tensor.mul_(2)

    monkeypatch.setattr(parallel.dist, "all_reduce", all_reduce)
    return parallel.Room(0, 2), found


def weights(*sizes):
    found = [torch.nn.Parameter(torch.ones(size)) for size in sizes]
    for weight in found:
        weight.grad = torch.ones_like(weight)
    return found


def test_a_gradient_that_is_alone_is_summed_without_a_copy(summed, monkeypatch):
    room, found = summed
    monkeypatch.setattr(parallel, "GRADIENTS", 4)
    big, *small = weights(5, 2, 2)
    room.sum_gradients([big, *small], 4096)
    assert [len(tensor) for tensor in found] == [4, 5, 4]
    assert found[1] is big.grad
    for weight in (big, *small):
        assert torch.equal(weight.grad, torch.full_like(weight, 2))


def test_what_fails_here_is_not_blamed_on_others(summed, monkeypatch):
    def fails(_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch, "cat", fails)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        summed[0].sum_gradients(weights(2, 2), 4096)


def test_more_processes_than_before_scale_their_gradients_alike(monkeypatch, tmp_path):
    for name in ("_load_weights", "_load_optimizer"):
        monkeypatch.setattr(states, name, lambda *_: None)
    before, now = (
        SimpleNamespace(
            model=None,
            optimizer=None,
            device="cpu",
            scaler=torch.amp.GradScaler("cpu", init_scale=scale),
            room=parallel.Room(rank, 3),
        )
        for rank, scale in ((0, 8.0), (2, 2.0**16))
    )
    found = {**states.generators(before), "others": [states.generators(before)]}
    (tmp_path / "generators.json").write_text(json.dumps(found))
    torch.manual_seed(5)
    own = torch.get_rng_state()
    states.load_state(tmp_path, now)
    assert now.scaler.get_scale() == 8
    assert torch.equal(torch.get_rng_state(), own)


class _Stuck:
    """A process that is killed at once."""

    status = KILLED

    def poll(self):
        return self.status

    wait = kill = let_go = lambda self, *_: self.poll()


def test_a_run_that_waits_for_a_process_that_is_gone_ends(monkeypatch):
    monkeypatch.setattr(others, "start", lambda _: _Stuck())
    said = queue.Queue()
    with others.Others(["cuda:0", "cuda:1"], said.put):
        text = said.get(timeout=30)
    assert "process 2 of 2, on cuda:1, was ended by SIGKILL" in text


def test_a_process_that_followed_nobody_is_missed_too(monkeypatch):
    class Following(_Stuck):
        status = others.FOLLOWED

    monkeypatch.setattr(others, "start", lambda _: Following())
    monkeypatch.setattr(others, "LONGER", 0.1)
    said = queue.Queue()
    with others.Others(["cuda:0", "cuda:1"], said.put):
        assert "was ended by exit code 3" in said.get(timeout=30)


def test_shares_are_as_long_as_each_other_and_hold_every_row_once():
    rows = [
        Example(array("i", range(n)), array("i", range(n)), 1.0, was_cut=False, line=n)
        for n in (9, 1, 5, 4, 8, 3)
    ]
    shares = dealt(rows, 2)
    assert [sum(row.n_tokens for row in share) for share in shares] == [16, 14]
    assert sorted(row.line for share in shares for row in share) == [1, 3, 4, 5, 8, 9]
    assert dealt(rows, 1) == [rows]
    assert [len(share) for share in dealt(rows[:1], 3)] == [1, 0, 0]
