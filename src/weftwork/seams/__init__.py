"""The Protocols between the middle and the edge."""
