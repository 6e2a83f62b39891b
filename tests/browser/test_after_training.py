"""What a person does with a finished run: asks it, votes blind, scores it, takes it away."""

from __future__ import annotations

import pytest

from tests.browser.lab import NotebookPage, one_cell

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import ftlab
from ftlab import demo

wb = ftlab.Workbench(
    demo.TRAIN, model="demo", max_train_rows=200, n_epochs=2, batch_size=4, learning_rate=1e-2,
    validation_file=demo.HELD_OUT, n_evals=1,
)
wb
"""

CAN_VOTE = """() => [...document.querySelectorAll('button')].some(
  b => b.textContent.trim() === 'A is better' && b.offsetParent && !b.disabled)"""


@pytest.fixture
def page(lab, chromium, tmp_path):
    page = NotebookPage(lab, chromium, one_cell(tmp_path / "after.ipynb", CELL))
    yield page
    page.close()


def test_a_run_is_asked_voted_on_scored_and_exported(page, pictures):
    page.run_all()
    page.see("1,200 rows")
    page.click("Job", role="tab")
    page.page.wait_for_function(
        "() => [...document.querySelectorAll('button')]"
        ".some(b => b.textContent.trim() === 'Train' && !b.disabled)"
    )
    page.click("Train")
    page.see("completed")

    page.click("Try", role="tab")
    page.click("Blind")
    for _ in range(5):
        page.click("Next validation row")
        page.click("Ask")
        page.page.wait_for_function(CAN_VOTE, timeout=90_000)
        page.click("A is better")
        page.see("Better: ")
    page.see("of 5 prompts")
    page.picture(pictures / "voted.png")

    page.field("at most").fill("24")
    page.field("at most").press("Enter")
    page.click("Score")
    page.see("Gained most")
    page.picture(pictures / "scored.png")
    page.reload()  # votes and scores lie in the run's folder
    page.click("Try", role="tab")
    page.see("of 5 prompts")
    page.see("Gained most")
    line = page.outputs.get_by_role("button", name="line ").last
    number = line.text_content().removeprefix("line ")
    line.click()  # the row that gained least, or lost most
    page.see(f"line {number}")
    page.picture(pictures / "row.png")

    page.click("Run", role="tab")
    page.outputs.get_by_role("button", name="▸ Export", exact=True).click()
    page.click("Export")
    page.see("Proved: ", timeout=180)
    page.picture(pictures / "exported.png")
    assert page.kernel("import sys", "'torch' in sys.modules") == "False"
    assert page.left_the_machine == []
