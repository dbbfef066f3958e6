"""The chassis of OVN that this host is, as a target: devices of guests under its integration bridge."""
