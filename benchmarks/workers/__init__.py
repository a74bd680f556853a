"""The programs that the benchmarks start as processes of their own: `python -m workers.NAME`."""
