"""A diagnosis for a person: lines for a terminal, HTML for a saved notebook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftlab.html import escaped, rate, short

if TYPE_CHECKING:
    from ftlab.diagnosis.findings import Advice, Diagnosis, Evidence, Finding

LINE = "border-left:3px solid {};padding:2px 0 2px 10px;margin:6px 0"
CALM = "var(--jp-success-color1, #388e3c)"
WARNING = "var(--jp-warn-color1, #b26a00)"
QUIET = "var(--jp-border-color2, #9e9e9e)"


def as_text(found: Diagnosis) -> str:
    return "\n".join(_lines(found))


def _lines(found: Diagnosis) -> Iterator[str]:
    yield found.headline
    yield from _details(found.first)
    for other in found.secondary:
        yield f"{other.title} ({other.confidence:.0%}): {other.meaning}"
        yield from _details(other)
    if (following := found.next_experiment) is not None:
        yield f"Next: {following.text} {_cost(following)}".rstrip()


def _details(found: Finding) -> Iterator[str]:
    if found.evidence:
        yield f"    {in_words(found.evidence)}"
    for advice in found.advice:
        yield f"    → {advice.text} ({_basis(advice)})"


def _basis(advice: Advice) -> str:
    return "; ".join(filter(None, (advice.source, advice.cost)))


def _cost(advice: Advice) -> str:
    return f"({advice.cost})" if advice.cost else ""


def in_words(evidence: Evidence) -> str:
    """The evidence on one line: "drop 0.017, lr_ratio 0.033"."""
    return ", ".join(f"{name} {_value(value)}" for name, value in evidence.items())


def _value(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return rate(value) if 0 < abs(value) < 1e-3 else short(value)


def as_html(found: Diagnosis) -> str:
    color = QUIET if not found.is_decided else CALM if found.label == "good" else WARNING
    parts = [_block(found.first, escaped(found.headline), color)]
    parts += [
        _block(other, f"<b>{escaped(other.title)}</b> ({other.confidence:.0%}). "
               f"{escaped(other.meaning)}", QUIET)
        for other in found.secondary
    ]  # fmt: skip
    if (following := found.next_experiment) is not None:
        text = f"{following.text} {_cost(following)}"
        parts.append(f"<div><b>Next</b> {escaped(text)}</div>")
    return f'<div style="max-width:60em;color:inherit">{"".join(parts)}</div>'


def _block(found: Finding, title: str, color: str) -> str:
    evidence = f"<small>{escaped(in_words(found.evidence))}</small>" if found.evidence else ""
    advice = "".join(
        f"<li>{escaped(one.text)} <small>{escaped(_basis(one))}</small></li>"
        for one in found.advice
    )
    listed = f'<ul style="margin:2px 0 0;padding-left:18px">{advice}</ul>' if advice else ""
    return f'<div style="{LINE.format(color)}"><div>{title}</div>{evidence}{listed}</div>'
