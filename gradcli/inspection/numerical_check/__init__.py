"""A model's analytic gradients against numerical ones: `gradcli check`."""
