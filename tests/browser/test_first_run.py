"""The first notebook as a person uses it, and every way to lose it."""

from __future__ import annotations

import os
import signal
import time

import pytest
from playwright.sync_api import expect

from tests.browser.lab import NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def start_training(page):
    page.run_all()
    page.see("1,200 rows")
    page.click("Job", role="tab")
    page.page.wait_for_function(
        "() => [...document.querySelectorAll('button')]"
        ".some(b => b.textContent.trim() === 'Train' && !b.disabled)"
    )
    page.click("Train")
    page.see("running")


def test_train_watch_reload_restart_and_try(shorter_notebook, pictures):
    page = shorter_notebook
    start_training(page)
    points = page.wait_for_points(5)
    points = page.wait_for_points(points)  # it grows
    page.picture(pictures / "running.png")

    page.reload()
    page.wait_for_points(points)
    page.picture(pictures / "reloaded.png")

    page.restart_kernel()
    page.run_all()
    page.see("running")  # the run went on, and its tab is open by itself
    page.wait_for_points(points)
    page.see("completed")
    assert page.wait_for_points(149) == 150
    assert page.curve_steps() == list(range(1, 151))
    page.picture(pictures / "completed.png")

    page.click("Try", role="tab")
    page.field("prompt").fill("Where is my order 4417? Thank you, Anna")
    page.click("Ask")
    page.see('"intent"')
    page.picture(pictures / "answers.png")
    assert page.kernel("import sys", "'torch' in sys.modules") == "False"
    assert page.left_the_machine == []


def test_a_killed_kernel_does_not_stop_the_run(shorter_notebook, lab):
    page = shorter_notebook
    start_training(page)
    page.wait_for_points(3)
    (kernel,) = lab.kernel_processes()
    os.kill(kernel, signal.SIGKILL)
    end = time.monotonic() + 60
    while kernel in lab.kernel_processes():
        assert time.monotonic() < end
        page.page.wait_for_timeout(200)
    page.page.wait_for_timeout(3_000)  # the server starts a new kernel
    page.open()
    steps = page.kernel(
        "import ftlab; run = ftlab.attach(); steps = list(run.history.series['train_loss'])",
        "steps == list(range(1, len(steps) + 1)) and len(steps) > 3",
    )
    assert steps == "True"
    page.run_all()
    page.see("completed")
    assert page.wait_for_points(149) == 150
    assert page.curve_steps() == list(range(1, 151))


def test_the_form_answers_while_typing(first_notebook, pictures):
    page = first_notebook
    page.run_all()
    page.click("Job", role="tab")
    page.see("300")
    field = page.field("n_epochs")
    field.fill("0")
    page.see("n_epochs is 0; it takes a whole number of at least 1. Use 1.")
    train = page.outputs.get_by_role("button", name="Train", exact=True).first
    assert train.is_disabled()
    page.picture(pictures / "wrong.png")
    page.click("n_epochs = 1")
    expect(field).to_have_value("1")
    page.see("75")  # steps of one epoch
    field.press("End")
    field.press_sequentially("00", delay=60)
    expect(field).to_have_value("100")  # typing keeps focus and text
    page.see("mostly learned by heart")
    page.field("learning_rate").fill("fast")
    page.see("learning_rate is 'fast'")
    assert page.left_the_machine == []


def test_two_displays_and_a_stop(first_notebook, lab):
    page = first_notebook
    start_training(page)
    page.wait_for_points(3)
    page.click("Stop and keep")
    page.see("stopped at step")
    shown = page.kernel("", "wb.run.state.status")
    assert shown == "'completed'"
    saved = page.kernel("", "(wb.run.adapter / 'adapter_model.safetensors').exists()")
    assert saved == "True"
    page.page.evaluate(
        """async () => {
          const app = window.jupyterapp;
          await app.commands.execute('notebook:insert-cell-below');
          const panel = app.shell.currentWidget;
          panel.content.activeCell.model.sharedModel.setSource('wb');
          await app.commands.execute('notebook:run-cell');
          return true;
        }"""
    )
    page.page.wait_for_timeout(3_000)
    both = page.page.evaluate(
        """() => [...document.querySelectorAll('.js-plotly-plot')]
             .map(plot => plot.data[0].x.length)"""
    )
    assert len(both) == 2
    assert both[0] == both[1] > 2


@pytest.mark.parametrize(("theme", "width"), [("JupyterLab Dark", 1280), ("JupyterLab Light", 640)])
def test_dark_and_narrow(chromium, pictures, theme, width, lab_in):
    from tests.browser.conftest import NOTEBOOKS

    lab = lab_in(theme)
    page = NotebookPage(lab, chromium, NOTEBOOKS / "01_first_run.ipynb", width)
    page.run_all()
    page.see("1,200 rows")
    for tab in ("Data", "Job", "Try"):
        page.click(tab, role="tab")
        page.page.wait_for_timeout(500)
        page.picture(pictures / f"{theme.split()[1].lower()}-{width}-{tab.lower()}.png")
        overflow = page.page.evaluate(
            """() => { const root = document.querySelector('.ftlab');
                 return root.scrollWidth - root.clientWidth; }"""
        )
        assert overflow <= 1
    page.click("Job", role="tab")
    page.click("Train")
    page.see("The run has started")
    page.page.wait_for_timeout(1000)
    page.picture(pictures / f"{theme.split()[1].lower()}-{width}-run.png")
    top = page.page.evaluate(
        "document.querySelector('.ft-head').getBoundingClientRect().top / innerHeight"
    )
    assert 0 <= top < 1  # the form is longer than the Run panel: the page must scroll back
    page.kernel("wb.run.cancel(); wb.run.wait(30)", "None")
    page.close()


def test_a_saved_notebook_keeps_a_curve_and_no_widget_state(shorter_notebook, lab):
    import json

    page = shorter_notebook
    start_training(page)
    page.see("completed")
    page.page.wait_for_timeout(1_500)
    page.page.evaluate(
        "async () => { await window.jupyterapp.commands.execute('docmanager:save'); return true; }"
    )
    saved = json.loads(page.file.read_text())
    html = [
        "".join(output["data"]["text/html"])
        for cell in saved["cells"]
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    static = next(text for text in html if "ftlab-static" in text)
    assert "<polyline" in static
    assert "completed" in static
    assert "<script" not in static
    assert "widgets" not in saved["metadata"]


def test_buttons_and_fields_answer_in_a_second_window(first_notebook):
    page = first_notebook
    page.run_all()
    page.see("1,200 rows")
    page.click("Job", role="tab")
    page.field("n_epochs").fill("2")  # what this window's shell of the kernel carries
    page.see("150")
    page.page.wait_for_timeout(1_500)
    again = page.another_window(width=700)  # this one's shell is gone by now
    again.run_all()
    again.see("1,200 rows")
    again.click("Job", role="tab")
    again.page.wait_for_timeout(1_500)
    again.field("n_epochs").fill("1")
    again.see("75")
    again.click("Train")
    again.see("running")
