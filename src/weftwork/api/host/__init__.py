"""A host's own interface: V's L2 and L3 services, over a socket of its own, to what `seams/stacks.py` offers."""
