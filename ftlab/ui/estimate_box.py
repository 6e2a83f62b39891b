"""What a job will take: one line per figure, and what each rests on one click away."""

from __future__ import annotations

from ftlab.estimated import Estimate
from ftlab.html import escaped


def estimate_html(found: Estimate | None) -> str:
    """A basis that begins with the name of a figure ("Memory: …") stands under that figure."""
    if found is None:
        return ""
    figures = found.in_words()
    own = {name: [b for b in found.basis if _is_of(name, b)] for name in figures}
    rest = [b for b in found.basis if not any(b in bases for bases in own.values())]
    partly = '<div class="ft-dim">Of the fields that are valid.</div>' if found.incomplete else ""
    lines = "".join(_figure(name, text, own[name]) for name, text in figures.items())
    return f'<div class="ft-figures">{lines}</div>{partly}{_bases("how it is counted", rest)}'


def _figure(name: str, text: str, bases: list[str]) -> str:
    value = f"<b>{escaped(name)}</b><span>{escaped(text)}</span>"
    if not bases:
        return f'<div class="ft-figure">{value}</div>'
    lines = "".join(f"<div>{escaped(_without_name(base))}</div>" for base in bases)
    return (
        f'<details class="ft-figure"><summary>{value}</summary>'
        f'<div class="ft-dim">{lines}</div></details>'
    )


def _bases(title: str, bases: list[str]) -> str:
    if not bases:
        return ""
    lines = "".join(f"<div>{escaped(base)}</div>" for base in bases)
    return f'<details><summary>{title}</summary><div class="ft-dim">{lines}</div></details>'


def _is_of(name: str, basis: str) -> bool:
    return basis.lower().startswith(f"{name.lower()}:")


def _without_name(basis: str) -> str:
    return basis.partition(": ")[2]
