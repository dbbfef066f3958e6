"""A second opinion: who may talk to whom, from intent alone. Written from the specification; never imports compiler."""
