"""Curves as plain characters and as pictures."""
