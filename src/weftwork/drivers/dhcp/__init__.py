"""The DHCPv4 responder: answers from its program and keeps no leases (RFC 2131, 2132)."""
