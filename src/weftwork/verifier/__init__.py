"""A second opinion: who may talk to whom, from intent alone, and from programs alone. It never imports compiler."""
