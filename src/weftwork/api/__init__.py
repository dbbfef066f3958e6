"""The doors: decode a request, call one action, encode the answer. Nothing is decided here."""
