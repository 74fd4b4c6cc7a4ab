"""Tokens of an OpenID Connect issuer, by flags and by configuration file."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pynetes.apiserver.authn.jwt import KeySet, Signer
from pynetes.cluster.pki import Authority
from pynetes.testing.apiserver import running_apiserver
from pynetes.testing.rest import Rest

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


@dataclass
class Provider:
    """An identity provider that serves its discovery document and keys."""

    url: str = ""
    authority: str = ""
    signer: Signer = field(default_factory=lambda: Signer(rsa.generate_private_key(65537, 2048)))

    def token(self, **claims: Any) -> str:
        now = int(time.time())
        return self.signer.sign({"iss": self.url, "aud": "kube", "sub": "jane", "iat": now, "exp": now + 600, **claims})

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/keys":
            return web.json_response(KeySet([self.signer.public_key]).jwks())
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})


@asynccontextmanager
async def provider(directory: Path) -> AsyncIterator[Provider]:
    authority = Authority(directory, "idp", "identity-provider")
    certificate, key = authority.ensure("idp-server", "idp", addresses=("127.0.0.1",), server=True, client=False)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    made = Provider(authority=str(authority.certificate_file))
    application = web.Application()
    application.router.add_get("/{tail:.*}", made.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    made.url = f"https://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]  # no other way
    try:
        yield made
    finally:
        await runner.cleanup()


async def who(rest: Rest, token: str) -> dict[str, Any] | int:
    """Who a token stands for, or the status of the refusal; the keys may still be on their way."""
    for _ in range(50):
        answer = await rest.with_token(token)("POST", WHOAMI, {})
        if answer.status == 201:
            info: dict[str, Any] = answer.json["status"]["userInfo"]
            return info
        await asyncio.sleep(0.05)
    return answer.status


async def refused(rest: Rest, token: str) -> bool:
    return (await rest.with_token(token)("POST", WHOAMI, {})).status == 401


async def test_flags_say_whose_tokens_and_which_claims(tmp_path: Path) -> None:
    async with (
        provider(tmp_path) as idp,
        running_apiserver(
            oidc_issuer_url=idp.url,
            oidc_client_id="kube",
            oidc_ca_file=idp.authority,
            oidc_groups_claim="groups",
            oidc_groups_prefix="idp:",
            oidc_required_claim=["team=red"],
        ) as server,
        Rest.open(server) as rest,
    ):
        info = await who(rest, idp.token(groups=["dev"], team="red"))
        assert isinstance(info, dict)
        assert info["username"] == f"{idp.url}#jane"
        assert info["groups"] == ["idp:dev", "system:authenticated"]
        assert await refused(rest, idp.token(team="blue"))
        assert await refused(rest, idp.token())
        assert await refused(rest, idp.token(team="red", aud=["other"]))
        assert await refused(rest, idp.token(team="red", exp=int(time.time()) - 5))
        stranger = Signer(ec.generate_private_key(ec.SECP256R1()))
        claims = {"iss": idp.url, "aud": "kube", "sub": "root", "team": "red", "exp": int(time.time()) + 60}
        assert await refused(rest, stranger.sign(claims))


async def test_a_new_key_is_fetched_when_a_token_names_it(tmp_path: Path) -> None:
    async with (
        provider(tmp_path) as idp,
        running_apiserver(oidc_issuer_url=idp.url, oidc_client_id="kube", oidc_ca_file=idp.authority) as server,
        Rest.open(server) as rest,
    ):
        assert isinstance(await who(rest, idp.token()), dict)
        idp.signer = Signer(ec.generate_private_key(ec.SECP384R1()))
        assert isinstance(await who(rest, idp.token()), dict)


async def test_a_configuration_maps_claims_with_expressions(tmp_path: Path) -> None:
    async with provider(tmp_path) as idp:
        config = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [
                {
                    "issuer": {
                        "url": idp.url,
                        "audiences": ["kube", "more"],
                        "certificateAuthority": Path(idp.authority).read_text(),
                    },
                    "claimValidationRules": [{"expression": "claims.?hd.orValue('') == 'example.com'"}],
                    "claimMappings": {
                        "username": {"expression": "claims.sub + '@' + claims.hd"},
                        "groups": {"expression": "claims.roles.map(r, 'role:' + r)"},
                        "uid": {"claim": "sub"},
                        "extra": [{"key": "example.com/tenant", "valueExpression": "claims.hd"}],
                    },
                    "userValidationRules": [{"expression": "!user.username.startsWith('system:')"}],
                }
            ],
        }
        file = tmp_path / "authentication.yaml"
        file.write_text(yaml.safe_dump(config))
        async with running_apiserver(authentication_config=str(file)) as server, Rest.open(server) as rest:
            info = await who(rest, idp.token(hd="example.com", roles=["a", "b"]))
            assert info == {
                "username": "jane@example.com",
                "uid": "jane",
                "groups": ["role:a", "role:b", "system:authenticated"],
                "extra": {"example.com/tenant": ["example.com"]},
            }
            assert await refused(rest, idp.token(hd="other.com", roles=[]))
            assert await refused(rest, idp.token(roles=[]))
            assert await refused(rest, idp.token(hd="example.com", roles=[], sub="system:masters"))
            assert await refused(rest, idp.token(hd="example.com", roles=[1]))
