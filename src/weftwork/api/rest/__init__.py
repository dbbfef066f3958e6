"""The REST door: the same operations as gRPC's, by paths and JSON. What a caller may send is what the OpenAPI says."""
