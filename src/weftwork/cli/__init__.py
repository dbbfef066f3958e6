"""The command line: a client of the API and nothing else. One file per noun, one function per verb.

Modules are imported for `weft --help` too: asyncio, grpc and the client are imported by the functions that need them.
"""
