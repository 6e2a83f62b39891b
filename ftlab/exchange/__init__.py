"""A spec in other tools' forms, and back. What another form can't express is listed, never dropped.

`FORMS` are the forms that a spec can be written in, `read()` takes the text of any that can be
read. Nothing here opens a file or a connection.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftlab.errors import FtlabError
from ftlab.exchange.ledger import Exported, Imported
from ftlab.exchange.plain import from_json, from_toml, from_yaml, unreadable

if TYPE_CHECKING:
    from ftlab.data.report import DataReport
    from ftlab.models import ModelInfo
    from ftlab.spec import JobSpec


@dataclass(frozen=True, slots=True)
class Form:
    """A form that a spec can be written in."""

    title: str
    """For a person."""
    suffix: str
    """Of the file that it is saved in."""
    home: str
    """MODULE:FUNCTION, loaded when first used."""
    about_job: bool
    """Whether it describes the resolved job, and so takes a report and what is known of the model;
    the others hold what a person gave."""


FORMS: dict[str, Form] = {
    "json": Form("JSON", ".json", "plain:to_json", about_job=False),
    "toml": Form("TOML", ".toml", "plain:to_toml", about_job=False),
    "python": Form("Python for ftlab", ".py", "code:to_python", about_job=False),
    "request": Form("Together request", ".json", "together:to_request", about_job=True),
    "sdk": Form("Python for Together's SDK", ".py", "code:to_sdk", about_job=True),
    "nemo": Form("NeMo AutoModel recipe", ".yaml", "nemo:to_nemo", about_job=True),
    "axolotl": Form("Axolotl configuration", ".yaml", "axolotl:to_axolotl", about_job=True),
}


def export(
    spec: JobSpec, form: str, report: DataReport | None = None, info: ModelInfo | None = None
) -> Exported:
    """The spec in one of FORMS. Raises FtlabError with their names for any other."""
    if form not in FORMS:
        raise FtlabError(
            f"There is no form {form!r}; a spec is written as {', '.join(FORMS)}. Choose one."
        )
    module, _, function = FORMS[form].home.partition(":")
    write = getattr(importlib.import_module(f"ftlab.exchange.{module}"), function)
    return write(spec, report, info) if FORMS[form].about_job else write(spec)


def read(text: str, report: DataReport | None = None) -> Imported:
    """The values in a text, whichever form it has: a spec as JSON or TOML, a request body, a NeMo
    recipe, or Hugging Face's keywords as JSON, TOML or YAML. A report turns intervals into counts.
    """
    found = _parsed(text)
    return found if found.lost else understand(found.values, report)


def understand(settings: Mapping[str, Any], report: DataReport | None = None) -> Imported:
    """The values of settings in anybody's words; ftlab's own are taken as they are."""
    if isinstance(settings.get("step_scheduler"), Mapping) or "recipe" in settings:
        from ftlab.exchange.nemo_import import from_nemo

        return from_nemo(settings, report)
    nested = ("training_method", "training_type", "lr_scheduler")
    if any(isinstance(settings.get(name), Mapping) for name in nested):
        from ftlab.exchange.together import from_body

        return Imported(*from_body(settings), hints=[])
    from ftlab.exchange.huggingface import from_arguments

    return from_arguments(settings, report)


def _parsed(text: str) -> Imported:
    """What the text holds. JSON is YAML too, but a slip in it is better told as JSON's."""
    if not text.strip():
        return unreadable("The text is empty; a spec is an object of settings. Paste one.")
    if text.lstrip().startswith("{"):
        return from_json(text)
    as_toml = from_toml(text)
    return from_yaml(text) if as_toml.lost else as_toml
