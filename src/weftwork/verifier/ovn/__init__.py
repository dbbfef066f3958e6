"""The second opinion about OVN: what becomes of a packet, from the rows of a northbound alone."""
