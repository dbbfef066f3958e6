"""From the name of a container image to a root file system: pull, verify, unpack, and make a disk of it."""
