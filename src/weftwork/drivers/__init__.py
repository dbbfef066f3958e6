"""One folder per kind of target; `driver.py` acts, pure encoders and decoders stand beside it."""
