"""Weftwork: isolated tenant networks for microVMs."""
