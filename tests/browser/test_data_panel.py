"""The Data panel as a person uses it: a bad file is uploaded, looked into, mended and clean."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.lab import NotebookPage, one_cell
from tests.small import chat_rows

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MARKUP = "<img src=x onerror='window.hurt=1'><script>window.hurt=1</script>"


def bad_rows():
    rows = chat_rows(30)
    rows[4]["messages"][1]["role"] = "asistant"
    rows[6]["messages"][0]["content"] = MARKUP
    rows[9]["messages"].append({"role": "user", "content": "And now?"})
    rows[12] = {"messages": []}
    return [*rows, *chat_rows(2)]


def as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def notebook(folder):
    cell = "import ftlab\nwb = ftlab.Workbench(model='demo')\nwb"
    return one_cell(folder / "data.ipynb", cell)


def upload(page, name, data, place=0):
    given = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.page.locator(".ft-upload input").nth(place).set_input_files(given)


def button_of(page, text, name):
    row = page.outputs.locator(".ft-issue").filter(has_text=text).first
    return row.get_by_role("button", name=name, exact=True)


def overflow(page):
    return page.page.evaluate(
        """() => { const root = document.querySelector('.ftlab');
             return root.scrollWidth - root.clientWidth; }"""
    )


def cut_buttons(page):
    """The words of buttons that don't fit into them."""
    return page.page.evaluate(
        """() => [...document.querySelectorAll('.ftlab .ft-panel button')]
             .filter(b => b.offsetParent && b.scrollWidth > b.clientWidth + 1)
             .map(b => b.textContent)"""
    )


@pytest.fixture(params=[("Light", 1280), ("Dark", 1280), ("Light", 640)], ids=str)
def looks(request, tmp_path, chromium, pictures, lab_in):
    """A notebook with an empty workbench, and a way to keep its picture."""
    theme, width = request.param
    lab = lab_in(f"JupyterLab {theme}")
    page = NotebookPage(lab, chromium, notebook(tmp_path), width)
    page.keep = lambda name: page.picture(pictures / f"data-{theme.lower()}-{width}-{name}.png")
    yield page
    page.close()


def test_a_bad_file_is_uploaded_looked_into_and_mended(looks):
    page = looks
    page.run_all()
    page.see("No data yet")
    page.keep("empty")

    upload(page, "chats.jsonl", as_lines(bad_rows()))
    page.see("chats.jsonl is uploaded.")
    expect(page.field("training_file")).to_have_value("chats.jsonl")
    page.see("messages is []")
    page.keep("issues")
    assert cut_buttons(page) == []

    button_of(page, "messages is []", "show").click()
    expect(page.field("line")).to_have_value("13")
    page.field("line").fill("7")
    page.field("line").press("Enter")
    page.see("onerror")
    assert page.page.evaluate("window.hurt === undefined")

    button_of(page, 'The last message is from "user"', "fix").click()
    expect(page.outputs.locator(".ft-chosen")).to_have_text(re.compile("last answer.* 1 row"))
    expect(page.outputs.locator(".ft-chosen")).to_be_in_viewport()
    page.see("And now?")
    page.keep("changes")
    assert page.page.evaluate("window.hurt === undefined")
    page.click("Write chats.fixed.jsonl")
    expect(page.field("training_file")).to_have_value("chats.fixed.jsonl")
    page.see("29 rows · conversation")
    expect(page.outputs.get_by_text("messages is []")).to_have_count(0)
    report = "wb.state.report.n_bad_rows, wb.state.report.n_rows"
    # Without the two copies and the row that was set aside.
    assert page.kernel("", report) == "(0, 29)"
    page.keep("mended")
    assert cut_buttons(page) == []
    assert overflow(page) <= 1
    assert page.left_the_machine == []


def test_uploads_of_several_pieces_and_of_no_data(lab, chromium, tmp_path):
    page = NotebookPage(lab, chromium, notebook(tmp_path))
    try:
        page.run_all()
        page.see("No data yet")
        upload(page, "notes.txt", b"hello")
        page.see("notes.txt is of no kind that is read here")
        rows = chat_rows(30_000)
        upload(page, "large.jsonl", as_lines(rows))
        page.see("large.jsonl is uploaded.")
        page.see("30,000 rows")
        upload(page, "large.jsonl", as_lines(chat_rows(5)))
        page.see("as large-2.jsonl")
        page.see("5 rows · conversation")
        sizes = page.kernel("", "[f.stat().st_size for f in map(__import__('pathlib').Path, "
                            "('large.jsonl', 'large-2.jsonl'))]")  # fmt: skip
        assert sizes == str([len(as_lines(rows)), len(as_lines(chat_rows(5)))])
        upload(page, "held.jsonl", as_lines(chat_rows(3)), place=1)
        page.see("this row is in large-2.jsonl too")
        assert page.left_the_machine == []
    finally:
        page.close()
