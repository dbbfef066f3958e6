"""Chooses: (in use, request) → choice. Pure; the caller makes the choice exclusive with a compare."""
