"""Files damaged by chance against every reader: `python -m fuzz --count 200000` from the folder `tests`."""
