"""The control plane's own loops: compile and publish programs, collect reports, answer what is and what would be."""
