"""(desired, observed) → ordered steps."""
