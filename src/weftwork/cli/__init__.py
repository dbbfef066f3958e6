"""The command line: a client of the API and nothing else. One file per noun, one function per verb."""
