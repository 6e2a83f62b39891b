"""State: what is loaded, typed, wrong, estimated and running. The panels share this and no more.

Every change goes one way: `set()` → `check` → traits change → panels repaint. Invalid input
stays in `values`; nothing typed is lost, not even with the kernel.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, Float, HasTraits, Int, Tuple, Unicode

from ftlab.cost import estimate
from ftlab.data.report import DataReport
from ftlab.errors import FtlabError
from ftlab.issues import Issue, errors_for
from ftlab.models import ModelInfo
from ftlab.providers import examine, get_provider, model_of, submit
from ftlab.rules import resolve
from ftlab.runs import Run, Runs, RunState
from ftlab.spec import FIELDS, JobSpec, parse, with_fix
from ftlab.ui.pump import PUMP
from ftlab.ui.scanner import Scanner

DRAFT = "draft.json"
SCANNED = ("training_file", "validation_file")
SCAN_DELAY = 0.4  # seconds without typing before the data is scanned anew
CANCELLED = "The scan was cancelled; rows are checked before they train. Scan again."
NOT_SCANNED = "The data could not be scanned; it must be, before it trains. Change the file."
SCAN_DEPENDS_ON = {*SCANNED, "model", "max_seq_length", "train_on_inputs"}


class State(HasTraits):
    """What the panels show. Change it by its methods; read and observe its traits."""

    values = Dict(help="what was typed, by field, valid or not")
    spec = AnyTrait(help="JobSpec, None while there are errors")
    issues = Tuple(help="every issue of the spec for the chosen engine")
    resolved = AnyTrait(help="Resolved: what the values become when the rest is filled in")
    reports = Dict(help="field of a data file → its DataReport")
    scanning = Bool(help="a scan goes on, or will as soon as typing stops")
    scan_progress = Float(allow_none=True, help="0 to 1 while data is scanned, otherwise None")
    scan_failure = Unicode(help="why the last scan gave no report; empty when it did")
    preview = Unicode(help="first figures of a large file while it is scanned")
    estimate = AnyTrait(help="Estimate")
    runs = Tuple(help="ids, the newest first")
    selected = Unicode(allow_none=True, help="id of the run that is shown")
    beat = Int(help="counts up when the selected run has news")
    message = Tuple(("", ""), help="(level, text) of the last message")
    tab = Unicode("data", help="the panel that is open")

    def __init__(self, folder: Path | str | None = None, provider: str = "local") -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.folder = Runs(folder)
        self.provider = provider
        self.run: Run | None = None
        self._seen: tuple[Any, ...] = ()
        self._scanners: dict[str, Scanner] = {}
        self._shares: dict[str, float] = {}
        self.scan_first: tuple[float, float] | None = None
        """When the scan first said how far it was, by time.monotonic(), and how far that was: what
        it did before, such as starting a process, says nothing about its speed."""
        self._scan_due: float | None = None
        self.selected = None
        self.scan_progress = None
        self._refresh()

    # --- values ------------------------------------------------------------------------------

    def set(self, name: str, value: Any) -> None:
        """Take what was typed into a field; None leaves the field out."""
        self.update({name: value})

    def update(self, changes: Mapping[str, Any]) -> None:
        """Take several values at once; None leaves a field out."""
        with self.lock:
            before, after = self.values, with_fix(self.values, changes)
            changed = {n for n in {*before, *after} if before.get(n) != after.get(n)}
            if changed:
                self._save_draft(after)  # first of all: what follows may go wrong
                with self.hold_trait_notifications():
                    self.values = after
                    self._refresh()
            if changed & SCAN_DEPENDS_ON:
                self._scan_due = time.monotonic() + SCAN_DELAY
                self.scanning = True

    def apply(self, issue: Issue) -> None:
        """Apply an issue's fix to the values."""
        if isinstance(issue.fix, dict):
            self.update(issue.fix)

    def draft(self) -> dict[str, Any]:
        """What was typed before the kernel went; empty when there is nothing to read."""
        try:
            draft = json.loads((self.folder.folder / DRAFT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return draft if isinstance(draft, dict) else {}

    def _save_draft(self, values: Mapping[str, Any]) -> None:
        """What is typed outlives the kernel. A folder that can't be written costs only that.

        Only fields of the spec are kept: anything else may be a secret in the wrong place.
        """
        kept = {name: value for name, value in values.items() if name in FIELDS}
        try:
            self.folder.folder.mkdir(parents=True, exist_ok=True)
            staged = self.folder.folder / f".{DRAFT}.new"
            staged.write_text(json.dumps(kept, default=str), encoding="utf-8")
            staged.chmod(0o600)
            staged.rename(self.folder.folder / DRAFT)
        except OSError as exc:
            self.tell("warning", f"What is typed can't be kept on disk ({exc}). Runs are not hurt.")

    @property
    def info(self) -> ModelInfo:
        """What the chosen model's own files say."""
        return model_of(parse(self.values)[0])[0]

    @property
    def report(self) -> DataReport | None:
        """The scan of the training file."""
        return self.reports.get("training_file")

    def report_of(self, name: str) -> DataReport | None:
        """The scan of the file that is named there now, not of one that was named before."""
        report, file = self.reports.get(name), self.values.get(name)
        if report is None or not file:
            return None
        return report if Path(report.path) == Path(str(file)).expanduser() else None

    def _refresh(self) -> None:
        """All that follows from the values and the reports."""
        where, info = get_provider(self.provider), self.info
        validation = self.reports.get("validation_file")
        found = examine(self.values, where, self.report, validation)
        given, _ = parse(self.values)
        self.resolved = resolve(given, self.report, info, where.engine)
        self.issues = tuple(i for i in found if not i.blocks or where.engine in i.blocks)
        self.estimate = estimate(self.values, self.report, info, validation=validation)
        self.spec = None if errors_for(found, where.engine) else given

    # --- data --------------------------------------------------------------------------------

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

    # --- runs --------------------------------------------------------------------------------

    def train(self, **options: Any) -> Run:
        """Submit the spec as it stands, and show the run."""
        given, _ = parse(self.values)
        for name, report in self.reports.items():
            if not report.holds_for(given, getattr(given, name)):
                with self.lock:
                    self.scan()
                raise FtlabError(
                    f"{report.path} has changed since it was scanned; a run trains on rows that "
                    "were checked. It is being scanned anew: press Train again after that."
                )
        run = submit(
            self.values,
            self.provider,
            report=self.report,
            validation=self.reports.get("validation_file"),
            folder=self.folder.folder,
            **options,
        )
        with self.lock:
            self.refresh_runs()
            self.select(run.id)
        return run

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

    def find_run(self) -> None:
        """Select the newest run that is alive, or the newest of all."""
        self.refresh_runs()
        latest = self.folder.latest()
        if latest is not None:
            self.select(latest.id)

    def tick(self) -> None:
        """Scan what was changed a moment ago, and look for news of the selected run."""
        with self.lock:
            if self._scan_due is not None and time.monotonic() > self._scan_due:
                self.scan()
            if self.run is None:
                return
            history, state = self.run.history, self.run.state
            seen = (state, history.last_step, len(history.statuses), len(history.logs))
            seen = (*seen, *(len(points) for points in history.series.values()))
            if seen != self._seen:
                self._tell_end(self._seen, state)
                self._seen = seen
                self.beat += 1

    def _tell_end(self, seen: tuple[Any, ...], state: RunState) -> None:
        """Say how a run ended that was seen running."""
        if not seen or seen[0].ended or not state.ended:
            return
        ends = {
            "completed": ("tip", "The run is complete. The Try tab has both models."),
            "cancelled": ("warning", "The run was cancelled; nothing was kept."),
        }
        self.tell(*ends.get(state.status, ("error", state.detail)))

    def tell(self, level: str, text: str) -> None:
        """Show a message at the foot of the workbench."""
        self.message = (level, text)

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
        if any(getattr(given, name) and name not in self.reports for name in SCANNED):
            return CANCELLED if self.scan_failure == CANCELLED else NOT_SCANNED
        return ""
