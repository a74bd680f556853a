"""One HTML page about a model's gradients and a run: its numbers, its charts as SVG, its text."""
