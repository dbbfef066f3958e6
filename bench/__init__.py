"""Benchmarks beside peers on the same machine: every figure is a ratio within one run. `python -m bench [ROW ...]`."""
