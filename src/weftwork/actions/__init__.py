"""What a caller can do: a file per noun, a function per verb: check, choose, commit."""
