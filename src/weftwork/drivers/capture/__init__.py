"""Packets of a device for whoever may see them, by a packet socket with a filter that libpcap's compiler made."""
