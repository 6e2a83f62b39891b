"""The hosted service of Together: what a job would cost there, by its own word.

Nothing here starts a job. httpx is loaded when something is asked, not before.
"""
