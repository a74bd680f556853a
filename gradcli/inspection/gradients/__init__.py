"""The gradients of a pass: collected, described, grouped, checked, and explained where there are none of use."""
