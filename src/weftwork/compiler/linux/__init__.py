"""Intent → what a Linux host holds, slice by slice; docs/explain/linux-data-plane.md tells the design."""
