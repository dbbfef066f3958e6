"""A client of OVSDB servers (RFC 7047): one connection, transactions, and a copy of the tables it watches."""
