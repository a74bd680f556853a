"""Where NaN and infinity begin in a pass, and how far they get: `gradcli trace`."""
