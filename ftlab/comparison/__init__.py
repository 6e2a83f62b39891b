"""Runs over each other, whichever tool trained them."""

from ftlab.comparison.compared import Comparison as Comparison
from ftlab.comparison.compared import compare as compare
from ftlab.comparison.track import Track as Track
