"""One base model in memory, any number of adapters that are switched on and off on it, and one
other whole model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftlab.base import best_dtype, load_base
from ftlab.errors import FtlabError

BASE = "base"
MOST_ADAPTERS = 8  # kept in memory; one of rank 64 takes a fiftieth of its model
WEIGHTS = "adapter_model.safetensors"
Written = tuple[str, int]
"""A folder, and when its weights were written: a run that went on has written others."""


class Loaded:
    """The models that answer."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder, self._device = folder, device
        self._adapters: dict[Written, str] = {}
        """What is on the base → peft's name of it, the oldest first."""
        self._n_loaded = 0
        self._other: tuple[Written | None, Any] = None, None
        """Of which all weights were tuned, and which answered last."""
        self._base: Any = self._read(folder)

    @property
    def base(self) -> Any:
        """With the adapters that are loaded, if any."""
        if self._base is None:
            self._base = self._read(self._folder)
        return self._base

    @contextlib.contextmanager
    def switched(self, name: str) -> Iterator[Any]:
        """The base with one adapter on, or with none, or another model; `name` is its folder, or
        "base". Raises FtlabError for what can't be loaded."""
        folder = Path(name)
        if name == BASE:
            with self.base.disable_adapter() if self._adapters else contextlib.nullcontext():
                yield self.base
        elif (folder / "adapter_config.json").is_file():
            adapter = self._on_base(folder)  # the first one makes another model of it
            self.base.set_adapter(adapter)
            yield self.base
        elif (folder / "config.json").is_file():
            yield self._whole(folder)
        else:
            raise FtlabError(
                f"{name} is no model and no adapter; what answers is a folder of one, or "
                f'"{BASE}". Name one that is there.'
            )

    def _read(self, folder: Path) -> Any:
        return load_base(folder, best_dtype(self._device), self._device).eval()

    def _whole(self, folder: Path) -> Any:
        times = [file.stat().st_mtime_ns for file in folder.glob("*.safetensors")]
        key = str(folder), max(times, default=0)
        if self._other[0] != key:
            self._other = None, None  # the old one goes before the new one comes
            self._other = key, self._read(folder)
        return self._other[1]

    def _on_base(self, folder: Path) -> str:
        """Its name on the base, as its file is now."""
        try:
            key = str(folder), (folder / WEIGHTS).stat().st_mtime_ns
            if key not in self._adapters:
                self._adapters[key] = self._add(folder)
        except Exception as exc:  # whatever a library makes of files that are wrong
            # Half of it may be on the base by now, and would answer with it.
            self._base, self._adapters = None, {}
            reason = f"{type(exc).__name__}: {exc}".partition("\n")[0]
            raise FtlabError(
                f"{folder} can't be put on the model ({reason}); it takes an adapter in peft's "
                "format that was made for this base. Ask another one, or save it again."
            ) from exc
        while len(self._adapters) > MOST_ADAPTERS:
            self.base.delete_adapter(self._adapters.pop(next(iter(self._adapters))))
        return self._adapters[key]

    def _add(self, folder: Path) -> str:
        from peft import PeftModel

        self._n_loaded += 1
        name = f"adapter{self._n_loaded}"
        if self._adapters:
            self.base.load_adapter(folder, adapter_name=name)
        else:
            self._base = PeftModel.from_pretrained(self.base, str(folder), adapter_name=name)
        self.base.eval()
        return name
