"""The second opinion about Linux programs: what becomes of a packet, from the program alone."""
