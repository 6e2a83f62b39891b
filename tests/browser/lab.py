"""JupyterLab in Chromium, driven as a person would: a page, its notebook, its kernel."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import TimeoutError

SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    # Cells that are out of sight would not be in the page.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
CHROMIUM = (
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
READY = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready; await panel.sessionContext.ready; await panel.revealed;
  await panel.sessionContext.session.kernel.info;
  return true;
}"""
RUN_ALL = """async () => {
  window.finished = '';
  window.jupyterapp.commands.execute('notebook:run-all-cells')
    .then(() => { window.finished = 'done' }, error => { window.finished = String(error) });
  return true;
}"""
CELLS = """() => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  return {kernel: kernel.status, connection: kernel.connectionStatus,
          prompts: [...document.querySelectorAll('.jp-InputPrompt')].map(e => e.textContent)};
}"""
EXECUTE = """async ([code, expression]) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const asked = {code, user_expressions: {value: expression}, store_history: false};
  const reply = (await kernel.requestExecute(asked).done).content;
  if (reply.status !== 'ok') throw new Error(reply.ename + ': ' + reply.evalue);
  const found = reply.user_expressions.value;
  if (found.status === 'error') throw new Error(found.ename + ': ' + found.evalue);
  return found.data['text/plain'];
}"""
WIDGETS = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content.widgets;
  const kind = 'application/vnd.jupyter.widget-view+json';
  return cells.filter(cell => cell.outputArea).every(cell => {
    const outputs = cell.outputArea.model.toJSON();
    const wanted = outputs.filter(output => output.data && kind in output.data).length;
    return cell.node.querySelectorAll('.ftlab').length >= wanted;
  });
}"""
POINT = """([step, name]) => {
  const plots = [...document.querySelectorAll('.js-plotly-plot')];
  const plot = plots.find(p => p.offsetParent && p.data && p._fullLayout);
  const trace = plot && plot.data.find(t => t.name === name);
  const at = trace ? Array.from(trace.x).indexOf(step) : -1;
  if (at < 0) return null;
  plot.scrollIntoView({block: 'center'});
  const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.l2p(step),
          box.top + yaxis._offset + yaxis.l2p(trace.y[at])];
}"""
HOVERS = "() => [...document.querySelectorAll('.hoverlayer')].some(layer => layer.children.length)"
WIDGETS_WITHIN = 40_000  # ms
RESTART = """async () => {
  await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart();
  return true;
}"""
SAVE = "async () => { await window.jupyterapp.commands.execute('docmanager:save'); return true; }"
KERNEL_ID = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.id"


def one_cell(file: Path, source: str) -> Path:
    """The file, with a notebook of that cell in it."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), file)
    return file


class Lab:
    """A JupyterLab server on this machine, with settings and folders of its own; each test works in
    a folder below, and leaves no kernel behind."""

    def __init__(self, folder: Path, theme: str = "JupyterLab Light") -> None:
        self.top, self.token = folder / "root", secrets.token_hex(16)
        self.top.mkdir(parents=True)
        self.root = self.top
        settings = {**SETTINGS, "@jupyterlab/apputils-extension:themes": {"theme": theme}}
        config = folder / "config" / "labconfig"
        config.mkdir(parents=True)
        (config / "default_setting_overrides.json").write_text(json.dumps(settings))
        self.port = _free_port()
        self.log = folder / "lab.log"
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        environment = {**os.environ, **{k: str(folder / v) for k, v in folders.items()}}
        with self.log.open("wb") as output:
            self.server = subprocess.Popen(
                self._command(),
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.top,
            )
        self._wait()

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *("--ip=127.0.0.1", f"--port={self.port}", "--ServerApp.port_retries=0"),
            *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.top}"),
            *("--expose-app-in-browser", "--LabApp.news_url="),
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.extension_manager=readonly",
        ]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                self.get("/api/status")
                return
            assert self.server.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def begin(self) -> None:
        """Work in a new folder."""
        self.root = self.top / secrets.token_hex(4)
        self.root.mkdir()

    def end(self) -> None:
        """Shut every kernel down."""
        for kernel in self.get("/api/kernels"):
            self.get(f"/api/kernels/{kernel['id']}", "DELETE")
        end = time.monotonic() + 30
        while kernels := self.kernel_processes():
            assert time.monotonic() < end, kernels
            time.sleep(0.1)

    def get(self, path: str, method: str = "GET") -> Any:
        """The server's answer on its own interface; nothing where it has none."""
        url = f"{self.address}{path}?token={self.token}"
        asked = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(asked, timeout=30) as reply:
            return json.loads(reply.read() or "null")

    def kernel_processes(self) -> list[int]:
        """The kernels' process ids."""
        import psutil

        found = []
        for child in psutil.Process(self.server.pid).children():
            with contextlib.suppress(psutil.Error):  # a killed one may still be there as a zombie
                if any("ipykernel" in part for part in child.cmdline()):
                    found.append(child.pid)
        return found

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.server.pid, signal.SIGTERM)
        try:
            self.server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()


class NotebookPage:
    """One notebook open in one browser page."""

    def __init__(self, lab: Lab, browser: Any, notebook: Path, width: int = 1280) -> None:
        self.lab = lab
        name = notebook.name
        self.file = lab.root / name
        if notebook != self.file:
            shutil.copy(notebook, self.file)
        self.left_the_machine: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 1000}, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(90_000)
        self.context.route(self._is_foreign, self._refuse)
        workspace, place = secrets.token_hex(4), self.file.relative_to(lab.top)
        self.url = f"{lab.address}/lab/workspaces/{workspace}/tree/{place}?token={lab.token}&reset"
        self.open()

    def _is_foreign(self, url: str) -> bool:
        return not url.startswith((self.lab.address, "data:", "blob:"))

    def _refuse(self, route: Any) -> None:
        self.left_the_machine.append(route.request.url)
        route.abort()

    def open(self) -> None:
        """Load the page anew and wait for its kernel."""
        self.page.goto(self.url)
        self.page.wait_for_function(
            "!!(window.jupyterapp && document.querySelector('.jp-Notebook'))"
        )
        self.page.evaluate(READY)
        self.page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); return true; }")

    def reload(self) -> None:
        """What a person does with F5, after saving."""
        self.page.evaluate(SAVE)
        self.open()

    def another_window(self, width: int = 1280) -> NotebookPage:
        """The same notebook and kernel in a new window, after this one is closed."""
        self.page.evaluate(SAVE)
        browser = self.context.browser
        self.context.close()
        return NotebookPage(self.lab, browser, self.file, width)

    def run_all(self) -> None:
        """Run all cells, and wait for the last one to end and for its widgets to be there.

        A message that JupyterLab or the kernel lost on the way (cells or widgets wait, and the
        kernel has nothing to do) is asked for once more, as a person would: by running the cells
        again, in a page that was loaded anew where widgets are missing.
        """
        if self._ran_all() != "done":
            found = self.page.evaluate(CELLS)
            assert found["kernel"] == "idle", self._stuck(found)
            assert self._ran_all() == "done", self._stuck(self.page.evaluate(CELLS))
        if not self._shows_widgets():
            print("the page shows no widget:", self.page.evaluate(CELLS))
            self.open()
            assert self._ran_all() == "done", self._stuck(self.page.evaluate(CELLS))
            assert self._shows_widgets(), self._stuck(self.page.evaluate(CELLS))

    def _shows_widgets(self) -> bool:
        """Whether every output that is a widget can be seen, or can within a while."""
        with contextlib.suppress(TimeoutError):
            self.page.wait_for_function(WIDGETS, timeout=WIDGETS_WITHIN)
            return True
        return False

    def _ran_all(self) -> str:
        """'done', what went wrong with the request, or nothing when it did not end."""
        self.page.evaluate(RUN_ALL)
        with contextlib.suppress(TimeoutError):
            self.page.wait_for_function("window.finished !== ''")
        return self.page.evaluate("window.finished")

    def _stuck(self, found: dict[str, Any]) -> str:
        """What a kernel was doing that does not end; it writes its threads down as it dies."""
        for kernel in self.lab.kernel_processes():
            os.kill(kernel, signal.SIGABRT)
        self.page.wait_for_timeout(2_000)
        return f"{found}\n{self.lab.log.read_text()[-8000:]}"

    def kernel(self, code: str, expression: str) -> str:
        """The repr of an expression in the kernel, after some code."""
        return self.page.evaluate(EXECUTE, [code, expression])

    def restart_kernel(self) -> None:
        self.page.evaluate(RESTART)
        self.page.evaluate(READY)

    @property
    def kernel_id(self) -> str:
        return self.page.evaluate(KERNEL_ID)

    @property
    def outputs(self) -> Any:
        """The outputs of the cells; JupyterLab's own buttons are outside."""
        return self.page.locator(".jp-OutputArea-output")

    def click(self, name: str, role: str = "button") -> None:
        self.outputs.get_by_role(role, name=name, exact=True).first.click()

    def field(self, name: str) -> Any:
        """The input of a field, in the tab that is open."""
        return self.outputs.get_by_label(name, exact=True).locator("visible=true").first

    def see(self, text: str, timeout: float = 90) -> None:
        self.outputs.get_by_text(text).locator("visible=true").first.wait_for(
            timeout=timeout * 1000
        )

    def curve(self, trace: str = "training") -> int:
        """How many points a curve has in the page itself, as plotly drew it."""
        return self.page.evaluate(
            """name => {
              const plot = [...document.querySelectorAll('.js-plotly-plot')].pop();
              if (!plot || !plot.data) return 0;
              const trace = plot.data.find(t => t.name === name);
              return trace && trace.x ? trace.x.length : 0;
            }""",
            trace,
        )

    def curve_steps(self, trace: str = "training") -> list[float]:
        """The steps of a curve in the page."""
        return self.page.evaluate(
            """name => {
              const plot = [...document.querySelectorAll('.js-plotly-plot')].pop();
              return Array.from(plot.data.find(t => t.name === name).x);
            }""",
            trace,
        )

    def click_point(self, step: float, trace: str = "training", tries: int = 20) -> None:
        """Click on a point of a curve in the figure that can be seen, once it answers the mouse: a
        page that has just changed its size draws it anew."""
        for _ in range(tries):
            if place := self.page.evaluate(POINT, [step, trace]):
                self.page.mouse.move(place[0] - 4, place[1])
                self.page.mouse.move(*place, steps=4)
                with contextlib.suppress(TimeoutError):
                    self.page.wait_for_function(HOVERS, timeout=2_000)
                    self.page.mouse.click(*place)
                    return
            self.page.wait_for_timeout(500)
        raise AssertionError(f"no figure answers at step {step} of {trace}")

    def wait_for_points(self, more_than: int, seconds: float = 60) -> int:
        end = time.monotonic() + seconds
        while (points := self.curve()) <= more_than:
            assert time.monotonic() < end, f"{points} points"
            self.page.wait_for_timeout(200)
        return points

    def picture(self, file: Path) -> None:
        """A screenshot of the whole notebook."""
        file.parent.mkdir(parents=True, exist_ok=True)
        height = self.page.evaluate(
            "() => document.querySelector('.jp-WindowedPanel-outer').scrollHeight + 160"
        )
        size = self.page.viewport_size
        self.page.set_viewport_size({**size, "height": max(600, min(int(height), 6000))})
        self.page.wait_for_timeout(700)
        self.page.screenshot(path=file)
        self.page.set_viewport_size(size)

    def close(self) -> None:
        self.context.close()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]
