"""Workflows that move weights: one step, a finetuning run. They compute and return; they never print."""
