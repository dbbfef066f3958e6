"""The kernel of one host: namespaces, links, addresses and nftables, by netlink and libnftables."""
