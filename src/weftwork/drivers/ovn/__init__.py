"""The northbound database of OVN as a target, and a private OVN for one machine."""
