"""One file per process: read settings, pick concrete parts, start."""
