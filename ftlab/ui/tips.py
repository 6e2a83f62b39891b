"""What a change entails elsewhere in the form, offered until it is taken, waved off or moot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftlab.issues import Issue
from ftlab.ties import ties

if TYPE_CHECKING:
    from ftlab.data.report import DataReport
    from ftlab.models import ModelInfo


@dataclass(frozen=True, slots=True)
class Tips:
    """Since when changes count, and the tips of earlier ones that still stand."""

    settled: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The values with which the present ones are compared."""
    kept: tuple[tuple[Issue, Mapping[str, Any]], ...] = ()
    """Tips from before that, with the values that they would change, as they were then."""

    def found(
        self, values: Mapping[str, Any], report: DataReport | None, info: ModelInfo | None
    ) -> tuple[Issue, ...]:
        """What to offer now."""
        fresh = ties(self.settled, values, report, info)
        kept = [tip for tip, then in self.kept if _agree(tip, then, values)]
        return (*kept, *(tip for tip in fresh if _agree(tip, self.settled, values)))

    def without(self, gone: Issue, shown: tuple[Issue, ...], values: Mapping[str, Any]) -> Tips:
        """After one was taken or waved off: the others stay, and changes count from here."""
        return Tips(dict(values), tuple((tip, dict(values)) for tip in shown if tip != gone))


def _agree(tip: Issue, then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether nobody has touched the fields that a tip would change."""
    fix = tip.fix if isinstance(tip.fix, dict) else {}
    return all(then.get(name) == now.get(name) for name in fix)
