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


@pytest.fixture
def lab(tmp_path):
    server = Lab(tmp_path / "lab")
    yield server
    server.close()


@pytest.fixture
def first_notebook(lab, chromium):
    page = NotebookPage(lab, chromium, NOTEBOOKS / "01_first_run.ipynb")
    yield page
    page.close()
