"""The kit for trying and testing: namespaces as guests, probes, builders and strategies. Shipped with the product."""
