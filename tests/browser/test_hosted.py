"""The hosted engine as a person uses it, against a small service on this machine."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from playwright.sync_api import expect
from safetensors.numpy import save

from ftlab import demo
from tests.browser.lab import SAVE, NotebookPage, one_cell
from tests.fakes.together import Service
from tests.fakes.together_jobs import add_job
from tests.providers.archive_makers import CONFIG, archive
from tests.small import chat_rows, write_rows

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "canary-key-of-an-account"
CELL = """import os
os.environ["TOGETHER_BASE_URL"] = "{address}"
os.environ.pop("TOGETHER_API_KEY", None)
import ftlab
wb = ftlab.Workbench("train.jsonl", model="Qwen/Qwen3-8B", folder="runs", n_epochs=3, n_evals=0)
wb"""
ALL_STATES = "str([w.get_state() for w in list(widgets.widget._instances.values())])"
OVERFLOW = """() => [...document.querySelectorAll(".ftlab, .ftlab .ft-side, .ftlab .ft-box")]
  .map(box => box.scrollWidth - box.clientWidth)"""


@pytest.fixture
def service():
    """Trains for 25 seconds."""
    with Service(key=KEY, clock=time.monotonic, running=25, n_steps=50) as service:
        add_job(service, {"model": "demo", "suffix": "elsewhere", "training_file": "file-f"})
        service.jobs["ft-0000"]["born"] -= 99  # it has ended
        service.artefacts.archives["ft-0000"] = archive(adapter_of_demo())
        yield service


def notebook(folder, service):
    return one_cell(folder / "hosted.ipynb", CELL.format(address=service.address))


def adapter_of_demo():
    """One that changes nothing: both models answer alike."""
    config = json.loads((demo.MODEL / "config.json").read_text())
    width, n_layers = config["hidden_size"], config["num_hidden_layers"]
    out = config["num_attention_heads"] * config.get("head_dim", width)
    layer = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    weights = {layer.format(n, "A"): np.ones((4, width), "f4") for n in range(n_layers)}
    weights |= {layer.format(n, "B"): np.zeros((out, 4), "f4") for n in range(n_layers)}
    return {
        "adapter_config.json": json.dumps(CONFIG).encode(),
        "adapter_model.safetensors": save(weights),
    }


def type_key(page):
    page.field("Together key").fill(KEY)
    page.field("Together key").press("Tab")
    page.see("Held in this kernel's memory")


@pytest.mark.parametrize(("theme", "width"), [("JupyterLab Light", 1280), ("JupyterLab Dark", 700)])
def test_price_word_curves_cancel_and_account(
    tmp_path, chromium, pictures, service, theme, width, lab_in
):
    lab = lab_in(theme)
    look = f"hosted-{theme.split()[1].lower()}"
    write_rows(lab.root / "train.jsonl", chat_rows(200))
    page = NotebookPage(lab, chromium, notebook(tmp_path, service), width)
    page.run_all()
    page.see("200 rows")
    page.click("Job", role="tab")
    page.click("Together")
    submit = page.outputs.get_by_role("button", name="Submit", exact=True)
    expect(submit).to_be_disabled()
    page.see("Type it above")
    page.picture(pictures / f"{look}-no-key.png")
    type_key(page)
    page.click("Submit")
    page.see("This job costs")
    assert service.bodies[1:] == []
    page.picture(pictures / f"{look}-price.png")
    assert max(page.page.evaluate(OVERFLOW)) <= 1
    page.click("Compare tokens")
    page.see("The rows were not compared")  # the tokenizer of that model is not here
    page.picture(pictures / f"{look}-tokens.png")
    assert max(page.page.evaluate(OVERFLOW)) <= 1
    page.outputs.get_by_role("button", name="Pay up to $").click()

    page.see("running")
    points = page.wait_for_points(3)
    page.wait_for_points(points)  # it grows
    page.picture(pictures / f"{look}-running.png")
    page.click("Cancel")
    page.see("Together is asked to end the job")
    page.see("what it had done is billed")
    assert len(service.bodies) == 2  # one was sent
    page.picture(pictures / f"{look}-cancelled.png")

    page.outputs.get_by_role("button", name="Account at Together").click()
    type_key(page)
    page.see("2 jobs and")
    page.picture(pictures / f"{look}-account.png")
    assert max(page.page.evaluate(OVERFLOW)) <= 1
    page.click("Delete …")
    page.see("which can't be undone")
    page.click("Keep it")
    page.click("Adopt")
    page.see("as if it had been started here")
    page.see("The run is complete")
    page.picture(pictures / f"{look}-adopted.png")
    page.click("Try", role="tab")
    page.field("prompt").fill("Where is my order 4417? Thank you, Anna")
    page.click("Ask")
    answers = page.outputs.locator(".ft-column .ft-turn:not(.ft-asked)")
    expect(answers).to_have_count(2, timeout=90_000)  # the model is loaded first
    expect(answers.last).to_contain_text("order 4417")
    page.picture(pictures / f"{look}-answers.png")

    assert page.kernel("import ipywidgets as widgets", f"{KEY!r} in {ALL_STATES}") == "False"
    page.page.evaluate(SAVE)
    for file in lab.root.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file
    assert page.left_the_machine == []
    page.close()
