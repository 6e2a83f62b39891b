"""The verbs about a spec and other tools: import, engines, and export of one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftlab.cli.files import read_text, read_values, require_new, write_new
from ftlab.cli.printing import (
    plain,
    print_issues,
    print_json,
    print_table,
    say,
    visible,
    visible_json,
)
from ftlab.issues import SHAPES, by_gravity

if TYPE_CHECKING:
    from ftlab.data.report import DataReport
    from ftlab.exchange import Exported, Imported
    from ftlab.exchange.engines import FieldUse, SideBySide
    from ftlab.spec import Engine, JobSpec


def export(options: argparse.Namespace) -> int:
    """The part of the verb that is about a spec; exit 1 when the form has nothing like it."""
    from ftlab.exchange import FORMS
    from ftlab.spec import parse

    if options.to is not None:
        require_new(options.to)  # before the data is read, which may take a while
    spec, wrong = parse(read_values(Path(options.what)))
    if wrong:
        print_issues(by_gravity(wrong), to=sys.stderr)
        return 1
    text, lost = _exported(spec, options.form)
    print_issues(by_gravity(lost), to=sys.stderr)
    if not text and lost:
        return 1
    _write(text, options.to, FORMS[options.form].suffix)
    return 0


def _exported(spec: JobSpec, form: str) -> Exported:
    from ftlab.exchange import FORMS, Exported
    from ftlab.exchange import export as export_spec
    from ftlab.providers import model_of, scan_data

    if not FORMS[form].about_job:
        return export_spec(spec, form)
    report, _ = scan_data(spec)
    made = export_spec(spec, form, report, model_of(spec)[0])
    # Without rows nothing can be counted, and then the reason is in the report.
    missing = report.issues if report is not None and not report.n_rows else []
    return Exported(made.text, [*missing, *made.lost])


def import_(options: argparse.Namespace) -> int:
    """Read the settings of another tool; exit 1 when something in them is wrong.

    FILE holds a spec as JSON or TOML, a request to Together, a recipe of NeMo AutoModel, or
    keywords of Hugging Face as JSON, TOML or YAML. The values go to stdout as JSON, or into a new
    file; what has no counterpart, what is wrong and what is called otherwise here, to stderr.
    Intervals in steps become counts where the training file is there.
    """
    from ftlab.exchange import export as export_spec
    from ftlab.spec import parse

    if options.to is not None:
        require_new(options.to)
    found = _imported(read_text(options.file))
    spec, wrong = parse(found.values)
    issues = by_gravity([*wrong, *found.lost, *found.hints])
    print_issues(issues, to=sys.stderr)
    failed = any(issue.level == "error" for issue in issues)
    if spec.model_fields_set or not failed:
        _write(export_spec(spec, "json").text, options.to, ".json")
    return 1 if failed else 0


def _imported(text: str) -> Imported:
    """Read twice where the settings name a file that is here: only its rows tell the steps."""
    from ftlab.exchange import read

    found = read(text)
    report = _report_of(found.values.get("training_file"))
    return found if report is None else read(text, report)


def _report_of(file: Any) -> DataReport | None:
    from ftlab.data.report import scan
    from ftlab.files import existing

    here = existing(file) if isinstance(file, str) and file else None
    return scan(here) if here is not None and here.is_file() else None


def engines(options: argparse.Namespace) -> int:
    """What a spec becomes on this machine and on the hosted service, where that differs.

    With --json an object: fields, name → {"given", "value", "local", "together", "differs"}, given
    whether a person gave it, and for each engine {"honoured", "value", "note"}; body, the hosted
    request; lost, the issues about what it can't say.
    """
    from ftlab.exchange.engines import side_by_side
    from ftlab.providers import model_of, scan_data
    from ftlab.spec import parse

    spec, wrong = parse(read_values(options.spec))
    print_issues(by_gravity(wrong), to=sys.stderr)
    found = side_by_side(spec, scan_data(spec)[0], model_of(spec)[0])
    if options.json:
        print_json(_as_dict(found))
        return 0
    rows = [(one.name, _cell(one, "local"), _cell(one, "together")) for one in found.concerning]
    if rows:
        print_table(("field", "here", "hosted"), rows, whole=("field",))
    else:
        say("What the job asks for means the same on both.")
    if found.one_sided:
        names = ", ".join(one.name for one in found.one_sided)
        say(f"Only one of them has, and nobody asked for: {names}.")
    print_issues(found.lost)
    return 0


def _as_dict(found: SideBySide) -> dict[str, Any]:
    fields = {field.name: _field_as_dict(field) for field in found.fields}
    return {"fields": fields, "body": found.body, "lost": [plain(issue) for issue in found.lost]}


def _field_as_dict(field: FieldUse) -> dict[str, Any]:
    uses = {
        engine: {"honoured": use.honoured, "value": use.value, "note": use.note}
        for engine, use in field.uses.items()
    }
    return {"given": field.given, "value": field.value, **uses, "differs": field.differs}


def _cell(field: FieldUse, engine: Engine) -> str:
    """The value and where it comes from; a mark where an engine refuses what was asked for."""
    use = field.uses[engine]
    if not use.honoured:
        return f"{SHAPES['error'] if engine in field.refused else '—'} {use.note}"
    return f"{_in_words(use.value)}\n{use.note}".rstrip()


def _in_words(value: Any) -> str:
    if value is None or value == ():
        return "—"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _write(text: str, to: Path | None, suffix: str) -> None:
    """Into a new file as it is; on stdout without what could steer a terminal."""
    if to is not None:
        write_new(to, text)
        say(f"{to} is written.")
        return
    shown = visible_json(text) if suffix == ".json" else visible(text)
    if shown != text and suffix == ".yaml":  # the others read such escapes as what they stand for
        say(
            f"{SHAPES['warning']} The text holds characters that could steer a terminal; stdout "
            "gets them as escapes, which YAML may read otherwise. Give --to FILE for the text "
            "itself.",
            to=sys.stderr,
        )
    sys.stdout.write(shown)
