"""Stores behind `seams.store.Store`: one folder for each, and the rules they share."""
