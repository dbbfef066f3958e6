"""The wire: generated protobuf code, and the codecs between its messages and our values."""
