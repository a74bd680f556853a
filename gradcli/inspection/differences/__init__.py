"""What sets two sets of named tensors apart: gradient dumps, checkpoints, the weights of runs."""
