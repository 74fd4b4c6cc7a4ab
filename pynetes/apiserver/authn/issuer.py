"""The issuer of service account tokens, for those who verify them elsewhere: OpenID discovery and the public keys."""

from typing import TYPE_CHECKING

from pynetes.apiserver.request import Request, Response
from pynetes.machinery import wire

if TYPE_CHECKING:
    from pynetes.apiserver.authn.service_accounts import ServiceAccountTokens
    from pynetes.apiserver.nonresource import Paths

CONFIGURATION_PATH, KEYS_PATH = "/.well-known/openid-configuration", "/openid/v1/jwks"
_MAX_AGE = "public, max-age=3600"


def register(paths: "Paths", tokens: "ServiceAccountTokens", address: str) -> None:
    """Serve both documents; `address` is where clients reach this server, for an issuer that is no URL of its own."""
    issuer = tokens.issuer
    keys_uri = f"{address if not issuer.startswith('https://') else issuer.rstrip('/')}{KEYS_PATH}"
    configuration = {
        "issuer": issuer,
        "jwks_uri": keys_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": tokens.keys.algorithms,
    }

    def answer_configuration(request: Request, path: str) -> Response:
        headers = {"Content-Type": "application/json", "Cache-Control": _MAX_AGE}
        return Response(200, headers, wire.encode(configuration))

    def answer_keys(request: Request, path: str) -> Response:
        headers = {"Content-Type": "application/jwk-set+json", "Cache-Control": _MAX_AGE}
        return Response(200, headers, wire.encode(tokens.keys.jwks()))

    paths.add(CONFIGURATION_PATH, answer_configuration)
    paths.add(KEYS_PATH, answer_keys)
