"""Intent → rows of an OVN northbound and what a chassis holds, slice by slice; docs/explain/ovn-data-plane.md."""
