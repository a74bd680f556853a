"""Data sets, network inputs and targets, and image preprocessing: everything as plain NumPy arrays."""
