"""Sweeps: one job in several variants, and which of them is best."""
