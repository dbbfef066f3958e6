"""Who a bearer token is: logins of an OpenID Connect issuer, and API tokens of our own."""
