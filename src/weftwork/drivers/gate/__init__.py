"""The gate of a gateway of the fleet: which one of the pair carries the traffic, decided between them."""
