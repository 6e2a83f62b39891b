"""Scores: how good base and tuned model are on rows that they did not train on.

A metric is a decorated function of one row (`measures.py`), which carries an example that proves
it. What a scoring has found lies in the run's folder (`sheet.py`) and is read from there.
"""

from ftlab.scores.found import Scores as Scores
from ftlab.scores.metrics import Seen as Seen
from ftlab.scores.metrics import metric as metric
from ftlab.scores.scoring import score as score
