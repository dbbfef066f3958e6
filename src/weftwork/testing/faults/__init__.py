"""Faults put into right programs on purpose, to see whether the verifier finds them."""
