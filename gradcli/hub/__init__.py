"""Weights that others publish: which there are, where copies of them lie, and how to fetch and check one.

Requests and platformdirs are imported inside the functions that need them: a command that fetches nothing doesn't
pay for them.
"""
