"""Users of other identity providers: JSON Web Tokens of OpenID Connect issuers.

What is trusted is an upstream `AuthenticationConfiguration` (apiserver.config.k8s.io/v1), from
`--authentication-config` or made of the `--oidc-*` flags: for each issuer its audiences, how claims become a user, and
what must hold, by name or as CEL. An issuer's keys are found by discovery; `Issuer.run` fetches them at start, anew
every hour, and soon after a token named a key that is not among them.
"""

import asyncio
import contextlib
import functools
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pynetes.apiserver.authn.jwt import InvalidToken, KeySet, PublicKey, decode_segment, peek_header
from pynetes.apiserver.options import Options
from pynetes.apiserver.request import UserInfo
from pynetes.machinery import cel, clock

REFRESH = 3600.0
RETRY = 10.0
_LEEWAY = 0.0
_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}

log = logging.getLogger(__name__)

Config = dict[str, Any]


def configuration(options: Options) -> list[Config]:
    """The issuers to trust (`jwt` of an AuthenticationConfiguration); raises ValueError."""
    if options.authentication_config:
        if options.oidc_issuer_url:
            raise ValueError("authentication-config file and oidc-* flags are mutually exclusive")
        document = yaml.safe_load(Path(options.authentication_config).read_text()) or {}
        if document.get("kind") != "AuthenticationConfiguration":
            raise ValueError(f"{options.authentication_config}: not an AuthenticationConfiguration")
        issuers: list[Config] = document.get("jwt") or []
        return issuers
    return [_from_flags(options)] if options.oidc_issuer_url else []


def _from_flags(options: Options) -> Config:
    if not options.oidc_client_id:
        raise ValueError("oidc-issuer-url and oidc-client-id must be specified together")
    claim, prefix = options.oidc_username_claim, options.oidc_username_prefix
    if prefix == "-":
        prefix = ""
    elif not prefix and claim != "email":
        prefix = f"{options.oidc_issuer_url}#"
    issuer: Config = {"url": options.oidc_issuer_url, "audiences": [options.oidc_client_id]}
    if options.oidc_ca_file:
        issuer["certificateAuthority"] = Path(options.oidc_ca_file).read_text()
    mappings: Config = {"username": {"claim": claim, "prefix": prefix}}
    if options.oidc_groups_claim:
        mappings["groups"] = {"claim": options.oidc_groups_claim, "prefix": options.oidc_groups_prefix}
    required = [pair.partition("=") for pair in options.oidc_required_claim]
    rules = [{"claim": name, "requiredValue": value} for name, _, value in required]
    return {"issuer": issuer, "claimMappings": mappings, "claimValidationRules": rules}


@dataclass
class Issuer:
    """One trusted issuer with its keys."""

    config: Config
    keys: KeySet = field(default_factory=lambda: KeySet([]))
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """What its tokens say in `iss`."""
        url: str = self.config["issuer"]["url"]
        return url

    def start(self) -> None:
        """Fetch the keys, and keep fetching; needs a running event loop."""
        self._task = asyncio.create_task(self.run(), name=f"keys of {self.url}")

    async def stop(self) -> None:
        """End the fetching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run(self) -> None:
        """Keep the keys fresh; never ends."""
        while True:
            pause = REFRESH
            try:
                self.keys = await self._fetch()
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, msgspec.DecodeError) as error:
                log.warning("fetching the keys of %s: %s", self.url, error)
                pause = RETRY
            self._wanted.clear()
            with contextlib.suppress(TimeoutError):
                await clock.wait_for(self._wanted.wait(), pause)
                await clock.sleep(1.0)  # whoever sends made-up key ids does not make us hammer the issuer

    async def _fetch(self) -> KeySet:
        issuer = self.config["issuer"]
        authority = issuer.get("certificateAuthority")
        context = ssl.create_default_context(cadata=authority or None)
        discovery = issuer.get("discoveryURL") or f"{self.url.rstrip('/')}/.well-known/openid-configuration"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), trust_env=False) as session:
            async with session.get(discovery, ssl=context) as answer:
                document = msgspec.json.decode(await answer.read())
            if document.get("issuer") != self.url:
                raise ValueError(f"the discovery document is of issuer {document.get('issuer')!r}")
            async with session.get(document["jwks_uri"], ssl=context) as answer:
                listed = msgspec.json.decode(await answer.read())["keys"]
        return KeySet.named({entry.get("kid", ""): key for entry in listed if (key := _public_key(entry)) is not None})

    def check(self, token: str, claims: Mapping[str, Any]) -> UserInfo:
        """The user of a token that says it is of this issuer; raises InvalidToken."""
        if not self.keys.has(peek_header(token).get("kid", "")):
            self._wanted.set()
        self.keys.verify(token)
        self._check_claims(claims)
        return self._user(claims)

    def _check_claims(self, claims: Mapping[str, Any]) -> None:
        now = clock.time()
        expires = claims.get("exp")
        if not isinstance(expires, int | float) or expires < now - _LEEWAY:
            raise InvalidToken("oidc: token is expired")
        if isinstance(claims.get("nbf"), int | float) and claims["nbf"] > now + 300:
            raise InvalidToken("oidc: current time is before the token's nbf (not before)")
        audiences = claims.get("aud", [])
        audiences = [audiences] if isinstance(audiences, str) else audiences
        wanted = self.config["issuer"].get("audiences") or []
        if not set(audiences) & set(wanted):
            raise InvalidToken(f"oidc: expected audience in {wanted} got {audiences}")
        for rule in self.config.get("claimValidationRules") or ():
            if rule.get("claim"):
                found = claims.get(rule["claim"])
                if found is None:
                    raise InvalidToken(f"oidc: required claim {rule['claim']} not present in ID token")
                if found != rule.get("requiredValue", ""):
                    raise InvalidToken(f"oidc: required claim {rule['claim']} value does not match")
            elif _evaluated(rule["expression"], "claims", claims) is not True:
                said = rule.get("message") or f"expression {rule['expression']!r} failed"
                raise InvalidToken(f"oidc: error evaluating claim validation expression: {said}")

    def _user(self, claims: Mapping[str, Any]) -> UserInfo:
        mappings = self.config.get("claimMappings") or {}
        name = self._name(mappings.get("username") or {}, claims)
        groups = _groups(mappings.get("groups") or {}, claims)
        uid = _mapped(mappings.get("uid") or {}, claims)
        extra: dict[str, tuple[str, ...]] = {}
        for entry in mappings.get("extra") or ():
            found = _strings(_evaluated(entry["valueExpression"], "claims", claims))
            if found:
                extra[entry["key"]] = tuple(found)
        if claims.get("jti"):
            extra["authentication.kubernetes.io/credential-id"] = (f"JTI={claims['jti']}",)
        user = UserInfo(name, str(uid or ""), tuple(groups), extra)
        seen = {
            "username": user.name,
            "uid": user.uid,
            "groups": list(groups),
            "extra": {k: list(v) for k, v in extra.items()},
        }
        for rule in self.config.get("userValidationRules") or ():
            if _evaluated(rule["expression"], "user", seen) is not True:
                said = rule.get("message") or f"expression {rule['expression']!r} failed"
                raise InvalidToken(f"oidc: error evaluating user info validation rule: {said}")
        return user

    def _name(self, mapping: Config, claims: Mapping[str, Any]) -> str:
        name = _mapped(mapping, claims)
        if not isinstance(name, str) or not name:
            raise InvalidToken(f"oidc: parse username claims {mapping.get('claim', 'expression')!r}: claim not present")
        if mapping.get("claim") == "email" and claims.get("email_verified", True) is not True:
            raise InvalidToken("oidc: email not verified")
        return f"{mapping.get('prefix') or ''}{name}"


def _mapped(mapping: Config, claims: Mapping[str, Any]) -> Any:
    if mapping.get("expression"):
        return _evaluated(mapping["expression"], "claims", claims)
    return claims.get(mapping.get("claim", ""))


def _groups(mapping: Config, claims: Mapping[str, Any]) -> list[str]:
    return [f"{mapping.get('prefix') or ''}{group}" for group in _strings(_mapped(mapping, claims))]


def _strings(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise InvalidToken("oidc: a claim is neither a string nor a list of strings")
    return found


@functools.lru_cache(maxsize=256)
def _compiled(expression: str, name: str) -> cel.Program:
    return cel.compile(expression, {name})


def _evaluated(expression: str, name: str, value: Mapping[str, Any]) -> Any:
    try:
        return _compiled(expression, name).evaluate({name: dict(value)})
    except cel.CelError as error:
        raise InvalidToken(f"oidc: error evaluating expression: {error}") from None


def _public_key(entry: Config) -> PublicKey | None:
    """The key of a JSON Web Key; None for kinds that are not used here."""

    def number(name: str) -> int:
        return int.from_bytes(decode_segment(entry[name]), "big")

    if entry.get("use", "sig") != "sig":
        return None
    if entry.get("kty") == "RSA":
        return rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
    if entry.get("kty") == "EC" and entry.get("crv") in _CURVES:
        return ec.EllipticCurvePublicNumbers(number("x"), number("y"), _CURVES[entry["crv"]]).public_key()
    return None


@dataclass
class Issuers:
    """All trusted issuers, by the URL in their tokens."""

    issuers: Sequence[Issuer]

    @classmethod
    def of(cls, options: Options) -> "Issuers":
        """What the options say."""
        return cls([Issuer(config) for config in configuration(options)])

    def start(self) -> None:
        """Begin to fetch keys."""
        for issuer in self.issuers:
            issuer.start()

    async def stop(self) -> None:
        """End the fetching."""
        for issuer in self.issuers:
            await issuer.stop()

    def find(self, claims: Mapping[str, Any]) -> Issuer | None:
        """The issuer whose token this says it is."""
        return next((issuer for issuer in self.issuers if issuer.url == claims.get("iss")), None)
