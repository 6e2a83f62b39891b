"""The rule book: what is certainly wrong with a spec, one decorated function per rule.

A rule is a function over (spec, limits, report) with an example that breaks it. Rules see only
specs whose single fields are valid; bounds live in the fields (`spec.py`). They open no file and
no model: all of them together run with every key that is pressed.
"""

from __future__ import annotations

from ftlab.rulebook import (  # noqa: F401  (importing a theme registers its rules)
    adapter,
    amounts,
    bounds,
    data,
    engines,
    evaluation,
    method,
    own_weights,
    schedule,
    start,
)
from ftlab.rulebook.data import refused_data as refused_data
from ftlab.rulebook.options import option_issues as option_issues
from ftlab.rulebook.registry import FILES as FILES
from ftlab.rulebook.registry import NO_LIMITS as NO_LIMITS
from ftlab.rulebook.registry import RULES as RULES
from ftlab.rulebook.registry import RegisteredRule as RegisteredRule
from ftlab.rulebook.schedule import rate_problems as rate_problems
