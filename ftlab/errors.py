"""The exceptions of ftlab, as a tree. Problems with data or a spec are Issues, not exceptions;
these are raised only where there is nothing to return.

    FtlabError
    ├── InvalidSpec     (ValueError)     the spec can't run; `.issues` says everything that is wrong
    ├── UnreadableData  (ValueError)     a file or model folder that can't be read at all
    ├── MissingExtra    (ImportError)    an optional package is not installed
    ├── RunError        (RuntimeError)   a run folder or a process is not in the state asked for
    └── ServiceError    (RuntimeError)   a hosted service refused, or did not answer
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftlab.issues import Issue


class FtlabError(Exception):
    """Base of every error that ftlab raises on purpose; its text holds the three facts."""


class InvalidSpec(FtlabError, ValueError):
    """The spec can't run on the chosen engine."""

    def __init__(self, issues: list[Issue]) -> None:
        super().__init__("\n".join(str(issue) for issue in issues))
        self.issues = issues

    def __reduce__(self):
        return type(self), (self.issues,)


class UnreadableData(FtlabError, ValueError):
    """A file, tokenizer or model folder can't be read at all."""


class MissingExtra(FtlabError, ImportError):
    """An optional package is not installed; the text names the pip command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"The package {package} is not installed; this needs the extra “{extra}”. "
            f'Install it with: pip install "ftlab[{extra}]"'
        )
        self.package, self.extra = package, extra

    def __reduce__(self):
        return type(self), (self.package, self.extra)


class RunError(FtlabError, RuntimeError):
    """A run folder or its process is not in the state that the call needs."""


class ServiceError(FtlabError, RuntimeError):
    """A hosted service refused what it was asked, or did not answer; nothing was started."""

    def __init__(self, message: str, status: int | None = None, wait: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        """That of HTTP; None without an answer."""
        self.wait = wait
        """Seconds after which it wants to be asked again; None where it says nothing."""

    def __reduce__(self):
        return type(self), (str(self), self.status, self.wait)
