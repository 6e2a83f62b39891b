"""Is the data good for training? Each check is a decorated function with an example it finds.

No engine refuses because of what is found here, however grave it is: that is for `formats.py`.
"""

from ftlab.data.checks import balance, private, rows, samples, texts, whole
from ftlab.data.checks.balance import leakage
from ftlab.data.checks.near import near_duplicates, near_rows
from ftlab.data.checks.registry import (
    CHECKS,
    SAMPLE_CHECKS,
    SAMPLED,
    WHOLE_CHECKS,
    RegisteredCheck,
    RowView,
    Thresholds,
    check,
    digit_checks,
    find_in_file,
    find_in_sample,
    find_problems,
    needles_for,
    sample_check,
    whole_check,
)
from ftlab.data.checks.whole import raised

ROOMS = (rows, texts, private, samples, whole, balance)
"""The modules whose import fills the registries."""
DIGITS = digit_checks()
"""Names of the checks that look at rows with four digits in a row."""

__all__ = [
    "CHECKS",
    "DIGITS",
    "ROOMS",
    "SAMPLED",
    "SAMPLE_CHECKS",
    "WHOLE_CHECKS",
    "RegisteredCheck",
    "RowView",
    "Thresholds",
    "check",
    "find_in_file",
    "find_in_sample",
    "find_problems",
    "leakage",
    "near_duplicates",
    "near_rows",
    "needles_for",
    "raised",
    "sample_check",
    "whole_check",
]
