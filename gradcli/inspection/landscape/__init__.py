"""The loss around weights: down the gradient, and in a random direction (Li et al., 2018)."""
