"""FRR, run privately for one host: EVPN by bgpd, into the namespaces of VPCs by zebra, watched over by bfdd."""
