"""Workflows that look: gradients, layers, predictions. They compute and return; they never print."""
