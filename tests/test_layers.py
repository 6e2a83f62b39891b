"""Who may import whom, and what importing costs; both read off the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ftlab

PACKAGE = Path(ftlab.__file__).parent
# A module may import those of its own line, and of all lines above.
LAYERS = (
    (
        "errors",
        "issues",
        "names",
        "events",
        "files",
        "manifest",
        "schedule",
        "pieces",
        "packs",
        "processes",
        "connections",
        "errands",
        "digests",
        "spare",
        "html",
        "units",
    ),
    ("spec", "limits", "course"),
    (
        "demo",
        "model_files",
        "adapter_files",
        "model_cache",
        "refusals",
        "model_hub",
        "downloads",
        "catalogue",
        "models",
    ),
    ("data",),
    (
        *("base", "generation", "number_formats", "gpus", "tickets", "devices", "queues", "sizes"),
        *("recommendation", "rates", "advice", "presets"),
    ),
    ("rulebook", "rules", "ties", "exchange"),
    ("price_table", "prices", "service_estimate", "running_costs", "data_sizes"),
    (
        *("eventlog", "row_losses", "job", "asking", "endings", "attempts", "about", "upkeep"),
        *("run_folder", "run_html", "run", "overview", "runs", "network_folders", "origin"),
        *("diagnosis", "votes", "trackers"),
    ),
    ("memory", "timing", "measured", "local_plan", "fits", "estimated", "cost"),
    ("providers",),
    ("sweeps",),
    ("probing",),
    ("answers", "scores", "comparison", "exports"),
    ("overlays", "plots"),
    ("ui",),
    ("cli", "magics"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Processes of their own: they may use these, and nobody may import them.
APART = {
    "train": {
        *(
            "base",
            "generation",
            "files",
            "manifest",
            "errors",
            "spec",
            "job",
            "events",
            "eventlog",
            "schedule",
            "course",
            "pieces",
            "packs",
            "data",
            "models",
            "model_files",
            "origin",
            "downloads",
            "adapter_files",
            "sweeps",
        ),
        *("asking", "devices", "run", "run_folder", "endings", "processes", "number_formats"),
        *("rulebook", "errands", "digests"),
    },
    "infer": {
        *("base", "generation", "errors", "data", "models", "devices", "processes", "pieces"),
        *("errands", "digests", "connections"),
    },
}
# What a run is asked for by methods of its own, which load it when they are called.
OF_A_RUN = {"answers", "scores", "exports"}
HEAVY = {
    "torch": {"train", "infer", "demo", "base", "generation"},
    "transformers": {"train", "infer", "demo", "base"},
    "peft": {"train", "infer"},
    "ray": {"train"},
    "ipywidgets": {"ui"},
    "traitlets": {"ui"},
    "plotly": {"plots", "ui"},
    "anywidget": {"ui"},
    "pandas": {"row_losses", "run", "data", "scores"},
    "httpx": {"answers", "providers", "scores"},
    "IPython": {"ui", "magics"},
    "huggingface_hub": {
        *("models", "model_cache", "refusals", "model_hub", "downloads", "data", "exports"),
    },
}


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """The first name below ftlab: the layer that a file belongs to."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(path: Path):
    """(name, at the top of the file) of every import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in top
            yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = part(path)
    if own in ("__init__",):
        return
    for name, at_top in imports(path):
        if not name.startswith("ftlab."):
            continue
        other = name.split(".")[1]
        if other == own or other not in RANK | APART.keys():
            continue
        if own == "run" and other in OF_A_RUN and not at_top:
            continue
        if own in APART:
            assert other in APART[own], f"{path.name} imports {name}"
        else:
            assert other not in APART, f"{path.name} imports {name}: it is a process of its own"
            assert RANK[other] <= RANK[own], f"{path.name} imports {name}"


def test_every_module_has_its_layer():
    parts = {part(path) for path in modules()} - {"__init__"}
    assert parts == RANK.keys() | APART.keys()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_stay_in_their_rooms(path):
    for name, _ in imports(path):
        package = name.split(".")[0]
        if package in HEAVY:
            assert part(path) in HEAVY[package], f"{path.name} imports {name}"


def test_of_the_providers_only_the_hosted_one_makes_connections():
    for path in (PACKAGE / "providers").rglob("*.py"):
        if path.parent.name != "together":
            assert "httpx" not in {name for name, _ in imports(path)}, path


def test_no_module_trusts_remote_code_or_reads_pickles():
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert "trust_remote_code" not in text, path
        assert "torch.load(" not in text, path
        assert "shell=True" not in text, path


def loaded_by(code: str) -> set[str]:
    """The modules in a fresh process after some code."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    arguments = [sys.executable, "-c", script]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_ftlab_loads_nothing_but_the_standard_library():
    extra = loaded_by("import ftlab") - loaded_by("import importlib, typing, __future__")
    assert extra == {"ftlab"}


BUDGETS = {
    "import ftlab; ftlab.JobSpec": {
        *("torch", "transformers", "peft", "pandas", "plotly", "ipywidgets", "httpx"),
        *("numpy", "jinja2", "tokenizers", "psutil"),
    },
    "import ftlab; ftlab.scan": {
        *("torch", "transformers", "peft", "pandas", "plotly", "ipywidgets", "httpx", "pyarrow"),
    },
    "import ftlab; ftlab.check; ftlab.estimate; ftlab.submit; ftlab.compare": {
        *("torch", "transformers", "peft", "pandas", "plotly", "ipywidgets", "httpx"),
    },
    "import ftlab; ftlab.ask_price; ftlab.account; ftlab.check_template": {
        *("torch", "transformers", "peft", "pandas", "plotly", "ipywidgets", "httpx", "keyring"),
    },
    "import ftlab, tempfile; ftlab.Workbench(folder=tempfile.mkdtemp())": {
        *("torch", "transformers", "peft", "pandas", "httpx", "plotly"),
    },
    "import ftlab.cli": {"torch", "transformers", "pandas", "ipywidgets", "rich"},
}


@pytest.mark.parametrize("code", BUDGETS)
def test_what_is_not_needed_is_not_loaded(code):
    loaded = {name.split(".")[0] for name in loaded_by(code)}
    assert not loaded & BUDGETS[code]


@pytest.mark.parametrize("name", ftlab.__all__)
def test_every_public_name_is_what_it_says_twice(name):
    first = getattr(ftlab, name)
    assert getattr(ftlab, name) is first
    assert type(first).__name__ != "module"


def test_panels_do_not_know_each_other():
    for path in (PACKAGE / "ui").glob("*_panel.py"):
        others = [name for name, _ in imports(path) if "_panel" in name]
        assert not others, f"{path.name} imports {others}"
