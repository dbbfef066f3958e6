"""Intent → programs. It chooses nothing: addresses, MACs, VLANs and VNIs were chosen when the call was accepted."""
