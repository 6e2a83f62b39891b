"""A sweep as a person sees it: started, watched, taken to a full run; and the doctor's advice."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.lab import NotebookPage, one_cell

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import math, ftlab
from ftlab import demo
from ftlab.events import Metrics, RowLosses, Status
from ftlab.files import sha256_of
from ftlab.job import Job
from ftlab.run import Run
from ftlab.spec import JobSpec

spec = JobSpec(model="demo", training_file=str(demo.TRAIN), learning_rate=1e-5)
job = Job(spec=spec, provider="local", data_sha256=sha256_of(demo.TRAIN))
flat = Run.create(job, ftlab.Runs().folder)
events, rows = flat.writer(), flat.row_writer()
events.append(Status(status="running", n_steps=120, from_step=0))
for step in range(1, 121):
    loss = 4 - 0.0001 * step + 0.03 * math.sin(13.0 * step)
    events.append(Metrics(step=step, values={"train_loss": loss, "learning_rate": 1e-5}))
    rows.append(RowLosses(step=step, file="training", lines=(7, 3), losses=(5.0, 4.0)))
events.append(Status(status="completed"))
events.close(), rows.close()
wb = ftlab.Workbench(
    demo.TRAIN, model="demo", max_train_rows=160, batch_size=4, validation_split=0.02
)
wb
"""

SHOWS_ENDS = """() => {
  const plots = [...document.querySelectorAll('.js-plotly-plot')].filter(p => p.offsetParent);
  const ends = plots.flatMap(p => p.data || []).filter(t => t.visible && t.marker?.symbol === 'x');
  return ends.length >= 2;
}"""


@pytest.fixture
def page(lab, chromium, tmp_path):
    page = NotebookPage(lab, chromium, one_cell(tmp_path / "sweep.ipynb", CELL))
    yield page
    page.close()


def test_a_sweep_from_its_start_to_the_full_run_and_the_doctors_advice(page, pictures):
    page.run_all()
    page.see("1,200 rows")

    page.click("Run", role="tab")
    page.see("Learning rate too low")
    page.picture(pictures / "doctor.png")
    page.click_point(60)  # the rows behind a point of the curve
    page.see("line 7 · loss 5")
    page.click("Run", role="tab")
    page.outputs.get_by_role("button", name="learning_rate = ").first.click()
    page.see("The form has learning_rate = ")
    assert float(page.kernel("", "wb.state.values['learning_rate']")) > 1e-5

    page.click("Sweep", role="tab")
    page.field("arms").fill("3")
    page.field("arms").press("Enter")
    page.see("3: ")
    page.click("Start the sweep")
    page.see("running")
    page.picture(pictures / "sweep-started.png")
    page.reload()  # a sweep is found on disk, and so is its panel
    page.see("ended: behind at step")
    page.see("is best")
    page.page.wait_for_function(SHOWS_ENDS)
    page.picture(pictures / "sweep.png")

    use = page.outputs.get_by_role("button", name="Use and continue to a full run")
    expect(use).to_be_enabled(timeout=90_000)
    use.click()
    page.see("its run is complete")
    page.picture(pictures / "winner.png")
    best = "wb.panels['sweep'].sweep.winning_spec.learning_rate"
    assert page.kernel("", f"wb.state.values['learning_rate'] == {best}") == "True"
    assert page.kernel("import sys", "'torch' in sys.modules") == "False"
    assert page.left_the_machine == []
