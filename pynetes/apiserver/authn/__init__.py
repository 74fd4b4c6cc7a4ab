"""Authentication: who sends this request?

`authenticator` is the way in: it tries the front proxy's headers, the client certificate and the bearer token in turn
and falls back to the anonymous user. `service_accounts` issues and checks the tokens of service accounts, `jwt` is the
signature under them, `impersonation` lets those who may act as somebody else. Tokens are never logged.
"""
