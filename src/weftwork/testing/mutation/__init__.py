"""Faults put into the compilers one at a time, to see whether the equivalence suite finds them."""
