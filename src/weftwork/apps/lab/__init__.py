"""A fleet on one machine: hosts as namespaces with an underlay of their own, a real server and real agents."""
