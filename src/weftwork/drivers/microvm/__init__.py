"""MicroVMs of one host: a folder and a machine monitor for each, and a keeper that makes it what its program says."""
