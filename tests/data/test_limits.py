"""Templates that never end, or write without end: each is stopped, soon, with a plain sentence."""

from __future__ import annotations

import resource
import threading
import time
from datetime import datetime

import pytest

from ftlab.data.limits import TookTooLong, time_limit
from ftlab.data.report import scan
from ftlab.data.template import CannotRender, render
from tests.small import chat_rows, save_tokenizer, write_rows

SECONDS = 5
GIB = 1 << 30
LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
RUNAWAYS = {
    "a loop in a loop": LOOP,
    "a text of ten billion letters": "{{ 'a' * 10**10 }}",
    "a list of ten billion": "{{ ([0] * 10**10) | length }}",
    "a power of a power": "{{ 9**(9**9) }}",
    "doubling with +": "{% set n = namespace(x='aaaa') %}{% for i in range(99) %}"
    "{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
    "doubling with ~": "{% set n = namespace(x='aaaa') %}{% for i in range(99) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "a number that grows": "{% set n = namespace(x=9) %}{% for i in range(99) %}"
    "{% set n.x = n.x ** 64 %}{% endfor %}{{ n.x }}",
    "doubling a list": "{% set n = namespace(x=[0]) %}{% for i in range(99) %}"
    "{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}",
}


@pytest.fixture(autouse=True)
def little_memory():
    """What goes wrong here must not take the machine with it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 4 * GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def most_memory():
    """Bytes that this process has taken at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.mark.parametrize("name", RUNAWAYS)
def test_a_template_that_runs_away_is_stopped(name):
    started, taken = time.monotonic(), most_memory()
    with pytest.raises(CannotRender, match="did not come to an end"):
        render(RUNAWAYS[name], [], special={}, now=datetime.now())
    assert time.monotonic() - started < SECONDS
    assert most_memory() - taken < 2 * GIB


def test_the_limits_leave_ordinary_templates_alone():
    template = (
        "{% set n = namespace(x='a') %}{% for i in range(9) %}{% set n.x = n.x + n.x ~ '' %}"
        "{% endfor %}{{ n.x | length }} {{ '-' * 3 }} {{ 2 ** 10 }} {{ ('a' ~ 1 ~ none) }}"
    )
    assert render(template, [], special={}, now=datetime.now()) == "512 --- 1024 a1None"


def test_a_scan_says_so_once_and_does_not_wait_for_every_row(tmp_path):
    folder = save_tokenizer(tmp_path / "model", "chatml")
    (folder / "chat_template.jinja").write_text(LOOP)
    file = write_rows(tmp_path / "rows.jsonl", chat_rows(50))
    started = time.monotonic()
    report = scan(file, folder)
    assert time.monotonic() - started < SECONDS
    (issue,) = [i for i in report.issues if i.code == "cannot_render"]
    assert issue.count == 1
    assert "did not come to an end" in issue.message
    assert report.n_rows == 50


def test_a_time_limit_ends_a_loop_and_is_gone_afterwards():
    def loop():
        with time_limit(0.1):
            while True:
                pass

    with pytest.raises(TookTooLong):
        loop()
    with time_limit(0.1):
        pass
    time.sleep(0.2)  # an alarm that was left behind would end the test run


def test_without_a_signal_there_is_no_limit_and_no_error():
    done = []

    def work():
        with time_limit(0.01):
            time.sleep(0.05)
            done.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["done"]
