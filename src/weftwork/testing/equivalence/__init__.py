"""Random intents and packets, sent for real through a data plane and judged by the reference model."""
