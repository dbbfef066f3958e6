"""The signatures of logins that can be asked for; none of them works with a secret that both sides share."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
