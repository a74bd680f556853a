"""Runs of training as their folders tell of them, while they go on and afterwards."""
