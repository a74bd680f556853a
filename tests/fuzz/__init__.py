"""Files damaged by chance against every reader: `python -m tests.fuzz --count 200000` from the top of the checkout."""
