"""One Chromium for all browser tests, one JupyterLab for each theme."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.browser.lab import CHROMIUM, Lab, NotebookPage

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "Chromium is missing; tests/run.sh installs it."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Where screenshots are kept, for a person to look at: FTLAB_PICTURES, or pytest's folder."""
    return Path(os.environ.get("FTLAB_PICTURES") or tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def labs(tmp_path_factory):
    """Theme → its server; one takes seconds to start."""
    begun: dict[str, Lab] = {}
    yield begun
    for lab in begun.values():
        lab.close()


@pytest.fixture
def lab_in(labs, tmp_path_factory):
    """Theme → a lab with a folder of the test's own."""
    used = []

    def lab_in(theme):
        if theme not in labs:
            labs[theme] = Lab(tmp_path_factory.mktemp("lab"), theme)
        used.append(labs[theme])
        labs[theme].begin()
        return labs[theme]

    yield lab_in
    for lab in used:
        lab.end()


@pytest.fixture
def lab(lab_in):
    return lab_in("JupyterLab Light")


@pytest.fixture
def first_notebook(lab, chromium):
    page = NotebookPage(lab, chromium, NOTEBOOKS / "01_first_run.ipynb")
    yield page
    page.close()


@pytest.fixture
def shorter_notebook(lab, chromium, tmp_path):
    """The same with half of the job's steps."""
    book = (NOTEBOOKS / "01_first_run.ipynb").read_text()
    cell = "ftlab.Workbench(**demo.JOB)"
    assert cell in book
    shorter = tmp_path / "shorter.ipynb"
    shorter.write_text(book.replace(cell, "ftlab.Workbench(**{**demo.JOB, 'n_epochs': 2})"))
    page = NotebookPage(lab, chromium, shorter)
    yield page
    page.close()
