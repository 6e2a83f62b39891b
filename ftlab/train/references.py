"""What the model said of rows before training, kept so that a resumed run need not ask again.

It can't ask again where all weights train; and where an adapter trains, other rows beside it would
change the last digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Reference = tuple[float, float]


class Referred:
    """Rows that bring what the model said of them with them."""

    def __init__(self, rows: Any, known: Mapping[int, Reference]) -> None:
        """`known` is place in `rows` → reference."""
        self._rows, self._known = rows, dict(known)
        self._used: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        row = self._used.get(index)
        if row is None:
            row = self._used[index] = self._rows[index]
            row.reference = row.reference or self._known.get(index)
        return row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    @property
    def references(self) -> dict[int, Reference]:
        """All that is known by now."""
        used = {i: row.reference for i, row in self._used.items() if row.reference is not None}
        return {**self._known, **used}
