"""The README of an export: what it is, what it was made of and how, and what its proof says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ftlab.catalogue import find
from ftlab.errors import RunError
from ftlab.exports.asked import Asked
from ftlab.exports.proof import Proof
from ftlab.exports.scored import Scored, model_index, scored, scores_section
from ftlab.exports.snippets import transformers_snippet, vllm_snippet
from ftlab.html import curves, short
from ftlab.models import read_info
from ftlab.run import Run

CURVES = "curves.svg"
PATHS = ("training_file", "validation_file", "from_checkpoint", "model")
"""Fields of a spec that may name places on this machine."""


def write_card(asked: Asked, proof: Proof, folder: Path, name: str = "") -> None:
    """Write README.md and the curves; never rows of the data, and no place on this machine.
    `name` is what snippets call the export, where it goes to the hub."""
    drawn = _curves(asked.run)
    if drawn:
        (folder / CURVES).write_text(drawn, encoding="utf-8")
    text = "\n".join(_card(asked, proof, folder, name or ".", has_curves=bool(drawn)))
    (folder / "README.md").write_text(text + "\n", encoding="utf-8")


def _card(
    asked: Asked, proof: Proof, folder: Path, name: str, *, has_curves: bool
) -> Iterable[str]:
    spec, run = asked.spec, asked.run
    base = asked.model if asked.is_on_hub else Path(asked.model).name
    licence, scores = licence_of(asked.model), scored(asked)
    yield from _front(asked, licence, scores)
    what = {"adapter": "A LoRA adapter for", "merged": "A tuned", "gguf": "A tuned"}[proof.kind]
    at = f" at commit `{asked.commit}`" if asked.is_on_hub and asked.commit else ""
    yield f"{what} `{base}`{at}, trained with ftlab ({spec.training_method})."
    yield from ("", "## Use", "", *_use(proof, folder, name))
    yield from ("## Proof", "", proof.headline, "", "| figure | value |", "|---|---|")
    yield from (f"| {title} | {value} |" for title, value in proof.lines)
    yield from ("", "## Scores", "", *scores_section(scores))
    yield from ("", "## Training", "")
    yield from _losses(run)
    if has_curves:
        yield from ("", f"![Losses by step]({CURVES})")
    data = Path(spec.training_file or "unknown").name
    digest = run.job.data_sha256
    yield from ("", f"Data: `{data}`" + (f", SHA-256 `{digest}`." if digest else "."), "")
    yield from ("```json", json.dumps(_public(asked), indent=1), "```", "")
    yield from ("## Licence", "")
    said = f"`{licence}`" if licence else "unknown to ftlab; see the page of the base"
    yield f"That of the base model holds for what was made of it: {said}."


def _front(asked: Asked, licence: str | None, scores: Scored | None) -> Iterable[str]:
    """What the hub reads."""
    yield "---"
    if asked.is_on_hub:
        yield f"base_model: {asked.model}"
        yield f"base_model_relation: {'adapter' if asked.kind == 'adapter' else 'finetune'}"
    yield f"library_name: {'peft' if asked.kind == 'adapter' else 'transformers'}"
    if licence:
        yield f"license: {licence}"
    yield "pipeline_tag: text-generation"
    yield f"tags: [ftlab, {asked.spec.training_method}]"
    yield from model_index(scores, asked.run.id)
    yield from ("---", "")


def _use(proof: Proof, folder: Path, name: str) -> Iterable[str]:
    if proof.kind == "gguf":
        file = next(folder.glob("*.gguf")).name
        yield from ("```bash", f"llama-cli -m {file} -p 'A question'", "```", "")
        return
    yield from ("```python", transformers_snippet(name, proof.kind).rstrip(), "```", "")
    try:
        served = vllm_snippet(folder, proof.kind).replace(str(folder), name)
    except RunError as exc:
        yield from (str(exc), "")
        return
    yield from ("```bash", served.rstrip(), "```", "")


def _losses(run: Run) -> Iterable[str]:
    yield from ("| loss | first | last | lowest |", "|---|---|---|---|")
    for name, title in {"train_loss": "training", "eval_loss": "validation"}.items():
        values = list(run.history.series.get(name, {}).values())
        if values:
            figures = (values[0], values[-1], min(values))
            yield f"| {title} | {' | '.join(map(short, figures))} |"


def _curves(run: Run) -> str:
    series = run.history.series
    named = {
        name: list(series[name].items()) for name in ("train_loss", "eval_loss") if name in series
    }
    return curves(named)


def _public(asked: Asked) -> dict[str, Any]:
    """The spec without what is left at its default, and without places."""
    found = asked.spec.model_dump(mode="json", exclude_defaults=True)
    found.pop("sample_prompts", None)  # they may quote the data
    for field in PATHS:
        if found.get(field) and not (field == "model" and asked.is_on_hub):
            found[field] = Path(found[field]).name
    return found


def licence_of(model: str) -> str | None:
    """The hub's tag of a model's licence; None is unknown."""
    known = find(model)
    return read_info(model).license or (known.license if known else None)
