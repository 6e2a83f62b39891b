"""State: what is loaded, typed, wrong, estimated and running. The panels share this and no more."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from traitlets import Bool, Float, Int, Tuple, Unicode

from ftlab.data.report import DataReport
from ftlab.errors import FtlabError
from ftlab.providers import submit
from ftlab.providers.together.asked import to_upload
from ftlab.run import Run, RunState
from ftlab.spec import JobSpec, parse
from ftlab.ui.form_state import FormState
from ftlab.ui.pump import PUMP
from ftlab.ui.scanner import Scanner

SCANNED = ("training_file", "validation_file")
SCAN_DELAY = 0.4  # seconds without typing before the data is scanned anew
CANCELLED = "The scan was cancelled; rows are checked before they train. Scan again."
NOT_SCANNED = "The data could not be scanned; it must be, before it trains. Change the file."
LOOK_SECONDS = 2.0  # between two looks at the folder of runs and the queues of devices
SCAN_DEPENDS_ON = {*SCANNED, "model", "max_seq_length", "train_on_inputs"}


class State(FormState):
    """The form, the scans of its data, and the runs. Change it by its methods; read and observe its
    traits."""

    scanning = Bool(help="a scan goes on, or will as soon as typing stops")
    scan_progress = Float(allow_none=True, help="0 to 1 while data is scanned, otherwise None")
    scan_failure = Unicode(help="why the last scan gave no report; empty when it did")
    preview = Unicode(help="first figures of a large file while it is scanned")
    runs = Tuple(help="ids, the newest first")
    selected = Unicode(allow_none=True, help="id of the run that is shown")
    looked = Int(help="counts up when the folder of runs was looked at anew")
    beat = Int(help="counts up when the selected run has news")
    tab = Unicode("data", help="the panel that is open")
    row = Tuple(help="(field of its file, line) of the row that somebody wants to see")
    rows = Tuple(help="(field of their file, (line, loss) of each, what they are) of such rows")
    compared = Tuple(help="ids and files of the runs that are held against each other")

    def __init__(self, folder: Path | str | None = None, provider: str = "local") -> None:
        super().__init__(folder, provider)
        self.run: Run | None = None
        self._seen: tuple[Any, ...] = ()
        self._scanners: dict[str, Scanner] = {}
        self._shares: dict[str, float] = {}
        self.scan_first: tuple[float, float] | None = None
        """When the scan first said how far it was, by time.monotonic(), and how far that was: what
        it did before, such as starting a process, says nothing about its speed."""
        self._scan_due: float | None = None
        self._look_due = 0.0
        self.selected = None
        self.scan_progress = None

    # --- data --------------------------------------------------------------------------------

    def _entries_changed(self, names: set[str]) -> None:
        if names & SCAN_DEPENDS_ON:
            self._scan_due = time.monotonic() + SCAN_DELAY
            self.scanning = True

    def scan(self) -> None:
        """Scan the data files in processes of their own; the reports appear when they end."""
        self._end_scanners()
        self.scan_failure, self.scan_first = "", None
        given, _ = parse(self.values)
        for name in SCANNED:
            if getattr(given, name) is None:
                self._take_report(name, None)
            else:
                self._start_scan(name, given)
        self._mark_scanning()

    def _start_scan(self, name: str, given: JobSpec) -> None:
        request = {
            "data": getattr(given, name),
            "model": given.model,
            "max_seq_length": given.max_seq_length,
            "train_on_inputs": given.train_on_inputs or "auto",
        }
        if name == "validation_file" and given.training_file:
            request["against"] = given.training_file
        scanner = Scanner(
            request,
            lambda share: PUMP.post(lambda: self._progressed(name, scanner, share), self.tell),
            lambda text: PUMP.post(lambda: self._previewed(name, scanner, text), self.tell),
        )
        self._scanners[name] = scanner
        PUMP.work(
            scanner.report,
            lambda report: self._scanned(name, scanner, report),
            lambda level, text: self._scan_failed(name, scanner, level, text),
        )

    def cancel_scan(self) -> None:
        """End the scans that go on; the files then have no report until they are scanned again."""
        with self.lock:
            if not self.scanning:
                return
            unread = list(self._scanners) if self._scan_due is None else SCANNED
            self._end_scanners()
            with self.hold_trait_notifications():
                self.scan_failure = CANCELLED
                for name in unread:
                    self._take_report(name, None)
                self._mark_scanning()

    def _end_scanners(self) -> None:
        self._scan_due = None
        for scanner in self._scanners.values():
            scanner.cancel()
        self._scanners, self._shares, self.preview = {}, {}, ""

    def _progressed(self, name: str, scanner: Scanner, share: float) -> None:
        with self.lock:
            if self._scanners.get(name) is scanner:
                self._shares[name] = share
                progress = min(self._shares.get(n, 0.0) for n in self._scanners)
                self.scan_first = self.scan_first or (time.monotonic(), progress)
                self.scan_progress = progress

    def _previewed(self, name: str, scanner: Scanner, text: str) -> None:
        with self.lock:
            if self._scanners.get(name) is scanner and name == "training_file":
                self.preview = text

    def _mark_scanning(self) -> None:
        self.scanning = bool(self._scanners) or self._scan_due is not None
        if not self._scanners:
            self.scan_progress, self.preview = None, ""

    def _scanned(self, name: str, scanner: Scanner, report: DataReport | None) -> None:
        with self.lock:
            if self._scanners.get(name) is not scanner:
                return  # a newer scan has replaced it, or it was cancelled
            self._take_report(name, report)
            del self._scanners[name]
            self._mark_scanning()

    def _scan_failed(self, name: str, scanner: Scanner, level: str, text: str) -> None:
        with self.lock:
            if self._scanners.get(name) is scanner:
                self.scan_failure = text
        self._scanned(name, scanner, None)
        self.tell(level, text)

    def _take_report(self, name: str, report: DataReport | None) -> None:
        kept = {n: r for n, r in self.reports.items() if n != name}
        if report is not None:
            kept[name] = report
        if kept != self.reports:
            self.reports = kept
            self._refresh()
            self._tips_due = time.monotonic()  # another amount of data may ask for other values

    def show_row(self, field: str, line: int) -> None:
        """Open the row on a line of a file that is scanned."""
        with self.lock:
            self.row = ()  # the same row may be wanted again
            self.row = (field, line)
            self.tab = "data"

    def show_rows(self, field: str, rows: Iterable[tuple[int, float]], title: str) -> None:
        """Open some rows of a file, each with its loss, to page through in that order."""
        with self.lock:
            self.rows = ()
            self.rows = (field, tuple(rows), title)
            self.tab = "data"

    # --- runs --------------------------------------------------------------------------------

    def train(self, **options: Any) -> Run:
        """Submit the spec as it stands, and show the run."""
        self.require_fresh_scans()
        run = submit(
            self.values,
            self.provider,
            report=self.report,
            validation=self.reports.get("validation_file"),
            folder=self.folder.folder,
            key=self.key.typed,
            **{**self.own_options, **options},
        )
        if run.is_hosted:
            self.key.forget()  # its process has it now
        with self.lock:
            self.refresh_runs()
            self.select(run.id)
        return run

    def require_fresh_scans(self) -> None:
        """Raise FtlabError where a file has changed since it was scanned, and scan it anew."""
        given, _ = parse(self.values)
        for name, report in self._scanned_of(given).items():
            if report is None:
                continue  # it is scanned then
            if not report.holds_for(given, getattr(given, name)) and not self._is_uncounted(report):
                with self.lock:
                    self.scan()
                raise FtlabError(
                    f"{report.path} has changed since it was scanned; a run trains on rows that "
                    "were checked. It is being scanned anew: start it again after that."
                )

    def _scanned_of(self, given: JobSpec) -> dict[str, DataReport | None]:
        """Field → scan of each data file that is here; the service has looked into its own."""
        hosted = self.where.engine == "together"
        here = to_upload(given) if hosted else [n for n in SCANNED if getattr(given, n)]
        return {name: self.reports.get(name) for name in here}

    def _is_uncounted(self, report: DataReport) -> bool:
        """A model that could not be read counts no tokens; what is wrong with it, `submit` says."""
        return report.model is None and any(issue.where == "model" for issue in report.issues)

    def select(self, run_id: str | None) -> None:
        """Show a run."""
        with self.lock:
            self.run = self.folder[run_id] if run_id else None
            self._seen = ()
            self.selected = run_id
            self.beat += 1

    def refresh_runs(self) -> None:
        """Look again which runs there are."""
        with self.lock:
            self.runs = tuple(run.id for run in self.folder)

    def look(self) -> None:
        """See what the folder holds by now; a run that was deleted is shown no more."""
        with self.lock:
            self._look_due = time.monotonic() + LOOK_SECONDS
            self.refresh_runs()
            if self.run is not None and not self.run.path.exists():
                latest = self.folder.latest()
                self.select(latest.id if latest else None)
            self.looked += 1

    def find_run(self) -> None:
        """Select the newest run that is alive, or the newest of all."""
        self.refresh_runs()
        latest = self.folder.latest()
        if latest is not None:
            self.select(latest.id)

    def tick(self) -> None:
        """Look after what was changed a moment ago, and for news of the selected run."""
        with self.lock:
            super().tick()
            if self._scan_due is not None and time.monotonic() > self._scan_due:
                self.scan()
            if time.monotonic() > self._look_due:
                self.look()
            if self.run is None:
                return
            history, state = self.run.history, self.run.state
            seen = (state, history.last_step, len(history.statuses), len(history.logs))
            seen = (*seen, len(history.samples), self.run.asked())
            seen = (*seen, *(len(points) for points in history.series.values()))
            if seen != self._seen:
                self._tell_end(self._seen, state)
                self._seen = seen
                self.beat += 1

    def _tell_end(self, seen: tuple[Any, ...], state: RunState) -> None:
        """Say how a run ended that was seen running."""
        if not seen or _rests(seen[0]) or not _rests(state):
            return
        hosted = self.run is not None and self.run.is_hosted
        ends = {
            "paused": ("tip", "The run is paused and its device is free. Resume goes on with it."),
            "completed": ("tip", "The run is complete. The Try tab has both models."),
            "cancelled": ("warning", "The run was cancelled; nothing was kept."),
        }
        if hosted:
            ends["paused"] = "warning", state.detail
            ends["cancelled"] = "warning", "The job is cancelled; what it had done is billed."
        self.tell(*ends.get(state.status, ("error", state.detail)))

    @property
    def why_not_train(self) -> str:
        """Why the Train button is off; empty when it is on."""
        errors = [issue for issue in self.issues if issue.blocks]
        if errors:
            more = f" ({len(errors)} errors in all)" if len(errors) > 1 else ""
            return errors[0].message + more
        if self.scanning:
            return "The data is being scanned."
        given, _ = parse(self.values)
        if None in self._scanned_of(given).values():
            return CANCELLED if self.scan_failure == CANCELLED else NOT_SCANNED
        return ""


def _rests(state: RunState) -> bool:
    """Whether no process runs it."""
    return state.ended or state.status == "paused"
