"""submit() with the embedded trainer: a real process, a real adapter."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

import ftlab
from ftlab import devices
from ftlab.data.report import scan
from ftlab.errors import InvalidSpec, MissingExtra, RunError
from ftlab.estimated import Estimate
from ftlab.eventlog import EventReader
from ftlab.events import Checkpoint, Metrics
from ftlab.job import LocalOptions
from ftlab.providers import get_provider, option_issues, submit
from ftlab.providers.local import Local
from ftlab.runs import Run
from ftlab.spec import JobSpec
from tests.small import chat_rows, save_model, write_rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    save_model(folder / "model")
    write_rows(folder / "train.jsonl", chat_rows(48))
    write_rows(folder / "valid.jsonl", chat_rows(6, start=500))
    return folder


@pytest.fixture(autouse=True)
def own_leases(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("FTLAB_LEASES", str(tmp_path_factory.mktemp("leases")))


def job(files, **changes):
    return {
        "model": str(files / "model"),
        "training_file": str(files / "train.jsonl"),
        "validation_file": str(files / "valid.jsonl"),
        "learning_rate": 1e-2,
        "batch_size": 8,
        "n_evals": 2,
        "suffix": "test",
        **changes,
    }


def long_job(files):
    return job(files, n_epochs=10_000)


def wait_until(is_so, seconds=20):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def wait_for_step(run, step):
    end = time.monotonic() + 60
    while run.history.last_step < step:
        assert time.monotonic() < end, run.state
        assert not run.state.ended, run.state
        time.sleep(0.05)


def test_a_run_goes_from_rows_to_an_adapter(files, tmp_path):
    run = ftlab.submit(job(files, n_epochs=4), folder=tmp_path)
    assert not run.state.ended
    assert run.wait(120) == ("completed", "")
    history = run.history
    assert list(history.series["train_loss"]) == list(range(1, 25))
    assert list(history.series["eval_loss"]) == [0, 12, 24]
    first, *_, last = history.series["eval_loss"].values()
    assert last < first
    assert set(history.series) >= {"learning_rate", "grad_norm", "epoch", "tokens_per_second"}
    assert history.latest("epoch") == 4
    assert isinstance(EventReader(run.path / "events.jsonl").new_events()[-2], Checkpoint)
    wait_until(lambda: not run.is_alive)


PLAIN = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
base, adapter = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
chat = [{"role": "user", "content": "Where is order 3?"}]
text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
print(tokenizer.decode(model.generate(input_ids=ids, max_new_tokens=12, do_sample=False)[0]))
"""


def test_plain_transformers_and_peft_load_the_adapter(files, tmp_path):
    run = submit(job(files, n_epochs=2), folder=tmp_path)
    run.wait(120)
    arguments = [sys.executable, "-c", PLAIN, str(files / "model"), str(run.adapter)]
    answer = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert "Where is order 3?" in answer.stdout


def test_the_manifest_holds_the_hash_of_each_file(files, tmp_path):
    from hashlib import sha256

    run = submit(job(files), folder=tmp_path)
    run.wait(120)
    manifest = json.loads((run.adapter / "manifest.json").read_text())
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(manifest)
    for name, entry in manifest.items():
        data = (run.adapter / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": sha256(data).hexdigest()}


def test_the_adapter_brings_its_tokenizer(files, tmp_path):
    from transformers import AutoTokenizer

    run = submit(job(files), folder=tmp_path)
    run.wait(60)
    ours, base = (AutoTokenizer.from_pretrained(f) for f in (run.adapter, files / "model"))
    chat = chat_rows(1)[0]["messages"]
    assert ours.apply_chat_template(chat) == base.apply_chat_template(chat)
    assert str(files / "model") in (run.adapter / "README.md").read_text()


def test_the_same_seed_gives_the_same_run(files, tmp_path):
    runs = [submit(job(files), folder=tmp_path) for _ in range(2)]
    losses = []
    for run in runs:
        run.wait(120)
        losses.append(run.history.series["train_loss"])
    assert losses[0] == losses[1]


def test_stopping_keeps_what_was_learned(files, tmp_path):
    run = submit(long_job(files), folder=tmp_path)
    wait_for_step(run, 3)
    run.stop()
    state = run.wait(60)
    assert state.status == "completed"
    assert "stopped at step" in state.detail
    assert (run.adapter / "adapter_model.safetensors").exists()


def test_cancelling_keeps_nothing(files, tmp_path):
    run = submit(long_job(files), folder=tmp_path)
    wait_for_step(run, 2)
    run.cancel()
    assert run.wait(60).status == "cancelled"
    assert not run.adapter.exists()


def test_a_signal_to_end_is_a_pause_and_the_device_is_free(files, tmp_path):
    run = submit(long_job(files), folder=tmp_path)
    wait_for_step(run, 2)
    os.kill(process_of(run), signal.SIGTERM)
    assert run.wait(60).status == "paused"
    assert not run.is_alive
    assert submit(job(files), folder=tmp_path).wait(120).status == "completed"
    paused_at = run.history.last_step
    assert run.resume() is run
    wait_for_step(run, paused_at + 2)
    run.stop()
    assert run.wait(60).status == "completed"
    steps = list(run.history.series["train_loss"])
    assert steps == list(range(1, len(steps) + 1))
    with pytest.raises(RunError, match=r"completed already; paused and failed runs.*Start a new"):
        run.resume()


def test_a_killed_trainer_says_so_frees_the_device_and_can_go_on(files, tmp_path):
    run = submit(job(files, n_epochs=30), folder=tmp_path)
    wait_for_step(run, 2)
    os.kill(process_of(run), signal.SIGKILL)
    state = run.wait(20)
    assert state.status == "failed"
    wait_until(lambda: "ended by SIGKILL" in run.state.detail)
    assert "can go on from its beginning. Resume it" in run.state.detail
    assert submit(job(files), folder=tmp_path).wait(120).status == "completed"
    assert run.resume().wait(120).status == "completed"
    assert list(run.history.series["train_loss"]) == list(range(1, 181))


def test_a_run_that_waits_for_the_device_can_be_paused(files, tmp_path):
    with devices.lease("cpu", "the test"):
        run = submit(job(files), folder=tmp_path)
        wait_until(lambda: "waiting for" in run.state.detail, seconds=60)
        run.pause()
        assert run.wait(20) == ("paused", "paused at step 0")
    assert run.resume().wait(120).status == "completed"


def test_a_second_run_waits_for_the_device_and_can_be_cancelled(files, tmp_path):
    first = submit(long_job(files), folder=tmp_path)
    wait_for_step(first, 1)
    second = submit(job(files), folder=tmp_path)
    end = time.monotonic() + 30
    while "waiting for" not in second.state.detail:
        assert time.monotonic() < end, second.state
        time.sleep(0.05)
    assert first.id in second.state.detail
    second.cancel()
    assert second.wait(20).status == "cancelled"
    first.cancel()
    first.wait(20)


SUBMITTER = """
import sys, ftlab
run = ftlab.submit(__import__("json").loads(sys.argv[1]), folder=sys.argv[2])
print(run.path, flush=True)
assert "torch" not in sys.modules and "transformers" not in sys.modules
sys.stdin.read()
"""


def test_a_run_outlives_the_process_that_started_it(files, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SUBMITTER, json.dumps(long_job(files)), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    run = Run(process.stdout.readline().strip())
    wait_for_step(run, 1)
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    wait_for_step(run, run.history.last_step + 5)
    run.stop()
    run.wait(60)
    steps = list(run.history.series["train_loss"])
    assert steps == list(range(1, len(steps) + 1))


def test_rows_that_change_while_a_run_waits_are_not_trained(files, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", chat_rows(16))
    with devices.lease("cpu", "the test"):
        run = submit(job(files, training_file=str(rows)), folder=tmp_path / "runs")
        wait_until(lambda: "waiting for" in run.state.detail, seconds=60)
        assert "the test" in run.state.detail
        write_rows(rows, chat_rows(17))
    assert run.wait(60).status == "failed"
    assert "rows.jsonl has changed" in run.state.detail


def test_rows_that_are_replaced_by_older_ones_are_not_trained(files, tmp_path):
    other = write_rows(tmp_path / "other.jsonl", chat_rows(5))
    os.utime(other, (1, 1))
    rows = write_rows(tmp_path / "rows.jsonl", chat_rows(6, start=500))
    with devices.lease("cpu", "the test"):
        run = submit(job(files, validation_file=str(rows)), folder=tmp_path / "runs")
        wait_until(lambda: "waiting for" in run.state.detail, seconds=60)
        other.rename(rows)
    assert run.wait(60).status == "failed"
    assert "rows.jsonl has changed" in run.state.detail


def test_a_report_that_does_not_hold_any_more_is_made_anew(files, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", chat_rows(16))
    old = scan(rows, str(files / "model"))
    write_rows(rows, [{"messages": []}])
    with pytest.raises(InvalidSpec, match="refuses"):
        submit(job(files, training_file=str(rows)), report=old, folder=tmp_path / "runs")


@pytest.mark.parametrize("rows", [None, [], [{"messages": []}], [{"text": "a"}]])
def test_a_validation_file_that_can_not_be_used_never_starts(files, tmp_path, rows):
    file = tmp_path / "valid.jsonl"
    if rows is not None:
        write_rows(file, rows)
    with pytest.raises(InvalidSpec) as caught:
        submit(job(files, validation_file=str(file)), folder=tmp_path / "runs")
    assert {issue.where for issue in caught.value.issues} == {"validation_file"}


def test_equal_rows_that_all_fall_on_one_side_of_a_split_do_not_train(files, tmp_path):
    for text in map(str, range(50)):  # until one falls on the side that is held back
        rows = [{"prompt": text, "completion": "b"}] * 20
        run = submit(
            job(
                files,
                training_file=str(write_rows(tmp_path / f"{text}.jsonl", rows)),
                validation_file=None,
                validation_split=0.5,
            ),
            folder=tmp_path / "runs",
        )
        if run.wait(60).status == "failed":
            assert "equal rows go to one side" in run.state.detail
            return
        assert any("holds none" in log.text for log in run.history.logs)
    pytest.fail("no row was held back")


def test_a_weight_that_is_missing_is_not_made_up(files, tmp_path):
    from safetensors.torch import load_file, save_file

    model = tmp_path / "model"
    shutil.copytree(files / "model", model)
    weights = load_file(model / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    run = submit(job(files, model=str(model)), folder=tmp_path / "runs")
    assert run.wait(60).status == "failed"
    assert "lacks 1 of the weights" in run.state.detail


def test_a_script_beside_the_notebook_is_no_library(files, tmp_path, monkeypatch):
    (tmp_path / "peft.py").write_text("raise SystemExit('my own script')")
    monkeypatch.chdir(tmp_path)
    assert submit(job(files), folder=tmp_path / "runs").wait(60).status == "completed"


def test_a_run_runs_once(files, tmp_path):
    run = submit(job(files), folder=tmp_path)
    run.wait(60)
    before = run.history.series
    again = [sys.executable, "-m", "ftlab.train", str(run.path)]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is completed already" in done.stdout
    assert Run(run.path).history.series == before


def test_a_checkpoint_says_the_step_that_it_is_of(files, tmp_path):
    run = submit(long_job(files), folder=tmp_path)
    wait_for_step(run, 3)
    run.stop()
    run.wait(60)
    (kept,) = [event for event in run.new_events() if isinstance(event, Checkpoint)]
    assert kept.step == run.history.last_step
    assert f"stopped at step {kept.step} of" in run.state.detail
    assert list(run.history.series["eval_loss"])[-1] == kept.step


def test_what_the_engine_refuses_never_starts(files, tmp_path):
    with pytest.raises(InvalidSpec) as caught:
        submit(job(files, training_method="dpo", lora_r=-1, n_epochs=0), folder=tmp_path)
    assert {i.where for i in caught.value.issues} >= {"training_method", "lora_r", "n_epochs"}
    assert list(tmp_path.iterdir()) == []


def test_bad_data_never_starts(files, tmp_path):
    bad = write_rows(tmp_path / "bad.jsonl", [{"messages": []}, *chat_rows(3)])
    with pytest.raises(InvalidSpec, match="refuses"):
        submit(job(files, training_file=str(bad)), folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_wrong_options_are_issues(files, tmp_path):
    with pytest.raises(InvalidSpec, match="micro_batch_size is 0"):
        submit(job(files), folder=tmp_path, micro_batch_size=0)


def test_gpus_that_are_not_there_are_an_issue(files, tmp_path):
    with pytest.raises(InvalidSpec, match=r"n_gpus is 65|n_gpus is 64; this machine has"):
        submit(job(files), folder=tmp_path, n_gpus=64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "options", "found", "fix"),
    [
        ({"quantization": "int8"}, {}, "quantization is int8; what is", {"quantization": None}),
        ({"lora": False, "optimizer": "adamw_8bit"}, {}, "is adamw_8bit", {"optimizer": "adamw"}),
        ({"lora": False}, {"dtype": "float16"}, "dtype is float16", {"dtype": "float32"}),
    ],
)
def test_what_can_not_be_divided_is_an_issue_before_the_run(changes, options, found, fix):
    spec = JobSpec(model="m", training_file="t.jsonl", **changes)
    local, asked = Local(), {"device": "cpu", "n_gpus": 2, "shard": True, **options}
    (issue,) = option_issues(local, asked, spec)
    assert issue.message.startswith("shard is True, and ")
    assert found in issue.message
    assert (issue.blocks, issue.fix) == (("local",), fix)
    assert option_issues(local, {**asked, "n_gpus": 1}, spec) == []  # a share of 1/1 is the whole
    assert option_issues(local, {**asked, "shard": None}, spec) == []


def test_an_old_torch_divides_nothing_and_an_issue_says_so(monkeypatch):
    monkeypatch.setattr("ftlab.providers.local._torch", lambda: (2, 9))
    asked = {"device": "cpu", "n_gpus": 2, "shard": True}
    (issue,) = option_issues(Local(), asked, JobSpec())
    assert "the installed torch is 2.9; dividing takes 2.13 or newer" in issue.message


def test_a_model_that_fits_only_in_shares_is_divided_and_says_why(monkeypatch):
    why = "Memory: with the model divided among the GPUs; without it, 9 GiB"
    found = Estimate(shard=True, gradient_checkpointing=False, basis=(why,))
    monkeypatch.setattr("ftlab.providers.local.estimate", lambda *_, **__: found)
    settled = partial(Local().settled, spec=JobSpec(), report=None, validation=None)
    options, reasons = settled(LocalOptions(n_gpus=2))
    assert (options.shard, options.gradient_checkpointing) == (True, False)
    assert reasons == {"shard": why}
    options, reasons = settled(LocalOptions(n_gpus=2, shard=False))
    assert (options.shard, reasons) == (False, {})


def test_a_run_starts_the_processes_that_share_its_steps(files, tmp_path):
    run = submit(job(files, max_steps=2), folder=tmp_path, device="cpu", n_gpus=2)
    assert run.wait(240).status == "completed", run.log_file.read_text()
    assert list(run.history.series["train_loss"]) == [1, 2]


def test_a_loss_that_is_no_number_ends_the_run(files, tmp_path):
    noise = 1e300  # beyond the largest number of float32
    run = submit(job(files, neftune_noise_alpha=noise), folder=tmp_path)
    state = run.wait(120)
    assert state.status == "failed"
    assert "must stay a number" in state.detail  # the loss, or a gradient before it


def test_rows_that_are_too_long_are_left_out_or_refused(files, tmp_path):
    short = job(files, validation_file=None, n_evals=0, max_seq_length=16)
    dropped = submit({**short, "over_length": "drop"}, folder=tmp_path)
    assert dropped.wait(120).status == "failed"
    assert "none is left" in dropped.state.detail
    cut = submit(short, folder=tmp_path)
    assert cut.wait(120).status == "completed"
    assert any("cut at 16 tokens" in log.text for log in cut.history.logs)


def test_a_share_of_the_rows_is_held_back(files, tmp_path):
    values = job(files, validation_split=0.25, batch_size=4)
    del values["validation_file"]
    run = submit(values, folder=tmp_path)
    assert run.wait(120).status == "completed"
    assert len(run.history.series["eval_loss"]) == 3
    assert run.history.n_steps < 12


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "ftlab\[local\]"'):
        get_provider("local").require()


def test_an_unknown_provider_names_those_there_are():
    with pytest.raises(ftlab.FtlabError, match="ftlab knows local"):
        get_provider("cloud")


def test_every_metric_is_written_before_the_next_step(files, tmp_path):
    run = submit(job(files), folder=tmp_path)
    run.wait(120)
    events = EventReader(run.path / "events.jsonl").new_events()
    steps = [e.step for e in events if isinstance(e, Metrics)]
    assert steps == sorted(steps)
    times = [e.time for e in events]
    assert times == sorted(times)


def process_of(run):
    """The process that trains a run, found by its command line."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if str(run.path) in (process.info["cmdline"] or []):
            return process.pid
    raise AssertionError(f"no process runs {run.id}")
