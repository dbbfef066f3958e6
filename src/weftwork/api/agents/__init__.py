"""Where agents of other hosts come in: a door to join by, and one for those who have."""
