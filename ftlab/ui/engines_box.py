"""One spec, two engines: what the job becomes here and on the hosted service."""

from __future__ import annotations

import json
from collections.abc import Sequence

import ipywidgets as widgets

from ftlab.exchange.engines import FieldUse, SideBySide, Use, side_by_side
from ftlab.html import escaped, table
from ftlab.issues import SHAPES, Issue
from ftlab.ui.fold import Fold
from ftlab.ui.form_state import FormState
from ftlab.ui.issue_line import issue_html
from ftlab.ui.knobs import written
from ftlab.ui.shown import set_html

TITLE = "Here and hosted: one spec, two engines"
TOOLTIP = "What each field becomes on this machine and on Together, and the request for it"
HEADER = ("field", "on this machine", "on Together")
NOT_TAKEN = f"{SHAPES['warning']} not taken"
ALIKE = "What this job asks for means the same on both."


class EnginesBox(Fold):
    """The fields that differ first, then the others, what would be lost, and the request."""

    def __init__(self, state: FormState) -> None:
        self.table = widgets.HTML().add_class("ft-engines")
        super().__init__(state, TITLE, TOOLTIP, [self.table])

    def refresh(self) -> None:
        """Compare the engines anew."""
        state = self.state
        found = side_by_side(state.values, state.report, state.info, state.info.hosted)
        set_html(self.table, engines_html(found))


def engines_html(found: SideBySide) -> str:
    """A table for people, of what concerns this job; the rest, and the request, one click away."""
    alike = [field for field in found.fields if not field.differs]
    request = escaped(json.dumps(found.body, indent=2, ensure_ascii=False))
    return (
        f"{_rows(found.concerning) or f'<div>{ALIKE}</div>'}{_lost(found.lost)}"
        f"{_more('fields that only one of them has', _rows(found.one_sided))}"
        f"{_more('fields with the same value on both', _rows(alike))}"
        f"{_more('the request that would be sent to Together', f'<pre>{request}</pre>')}"
    )


def _rows(fields: Sequence[FieldUse]) -> str:
    if not fields:
        return ""
    return table(HEADER, ([_name(f), *(_use(f, use) for use in f.uses.values())] for f in fields))


def _name(field: FieldUse) -> str:
    given = ' <span class="ft-dim">given</span>' if field.given else ""
    return f"<code>{escaped(field.name)}</code>{given}"


def _use(field: FieldUse, use: Use) -> str:
    """What nobody asked for is no loss where an engine has no such setting."""
    note = f'<div class="ft-dim">{escaped(use.note)}</div>' if use.note else ""
    if not use.honoured:
        return f'<span class="ft-warning">{NOT_TAKEN}</span>{note}' if field.given else note
    value = "" if use.value is None else f"<b>{escaped(written(use.value))}</b>"
    return f"{value}{note}" or '<span class="ft-dim">left out</span>'


def _lost(issues: list[Issue]) -> str:
    return "".join(f"<div>{issue_html(issue)}</div>" for issue in issues)


def _more(title: str, body: str) -> str:
    """What opens when one asks for it; nothing where there is nothing."""
    return "" if not body else f"<details><summary>{escaped(title)}</summary>{body}</details>"
