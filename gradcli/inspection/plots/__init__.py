"""Curves, maps and confusion matrices, as plain characters and as pictures."""
