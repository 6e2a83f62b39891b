"""What the service's HTTP statuses mean for whoever would ask again."""

PASSING = (408, 429, 500, 502, 503, 504)
"""After these the same request may well succeed."""
NO_ENTRY = (401, 402, 403)
"""Refusals that asking again does not change."""
