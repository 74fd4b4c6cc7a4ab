"""`serviceaccounts/token`: tokens for service accounts, bound to what they are for."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pynetes.apiserver import bodies, negotiate, parameters
from pynetes.apiserver.admission import Attributes
from pynetes.apiserver.authn import service_accounts
from pynetes.apiserver.request import Request, Response
from pynetes.apiserver.subresources import subresource
from pynetes.machinery import clock, errors, meta, resources, scheme
from pynetes.machinery.errors import FieldError, quote
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

_API_VERSION, _KIND = "authentication.k8s.io/v1", "TokenRequest"
_BINDABLE = {("v1", "Pod"): "pods", ("v1", "Secret"): "secrets", ("v1", "Node"): "nodes"}


def _findings(spec: dict[str, Any]) -> list[FieldError]:
    path, seconds = "spec.expirationSeconds", spec["expirationSeconds"]
    if seconds < service_accounts.MINIMUM_SECONDS:
        return [errors.invalid_value(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > service_accounts.MAXIMUM_SECONDS:
        return [errors.invalid_value(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


@subresource("serviceaccounts", "token", verbs=("create",))
async def create_token(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """Issue a token for an account."""
    tokens = server.service_account_tokens
    if tokens is None or tokens.signer is None:
        raise errors.path_not_found()
    assert request.user is not None
    ctx = parameters.context(request, "CreateOptions")
    raw = negotiate.body_json(request, _KIND)
    asked = bodies.decode_as(raw, scheme.definition_of(_API_VERSION, _KIND), _API_VERSION, _KIND, ctx)
    account = server.registry.get(rt, namespace, name)
    if account is None:
        raise errors.not_found("", "serviceaccounts", name)
    metadata = asked.get("metadata") or {}
    for field, value in (("name", name), ("namespace", namespace)):
        if metadata.get(field, value) not in ("", value):
            detail = f"must match the service account {field} if specified"
            finding = errors.invalid_value(f"metadata.{field}", metadata[field], detail)
            raise errors.invalid("authentication.k8s.io", _KIND, name, [finding])
    uid = meta.uid(account)
    if metadata.get("uid", "") not in ("", uid):
        detail = (
            f"the UID in the token request ({metadata['uid']}) does not match the UID of the service account ({uid})"
        )
        raise errors.conflict("authentication.k8s.io", _KIND, name, detail)
    spec = asked.setdefault("spec", {})
    spec.setdefault("expirationSeconds", 3600)
    attributes = Attributes(
        "CREATE", rt, "token", namespace, name, asked, None, request.user, ctx.dry_run, warnings=request.warnings
    )
    await server.registry.admit(attributes, ctx)
    spec["audiences"] = spec.get("audiences") or list(tokens.api_audiences)
    findings = _findings(spec)
    if findings:
        raise errors.invalid("authentication.k8s.io", _KIND, "", findings)
    await server.registry.validate(attributes, ctx)
    bound = _bound(server, namespace, name, spec.get("boundObjectRef"))
    seconds, warn_after = spec["expirationSeconds"], 0
    ours = set(spec["audiences"]) <= set(tokens.api_audiences)
    if "pod" in bound and seconds == service_accounts.WARN_AFTER and ours:
        # Old clients never read their token again; give them a year, and warn about its use after the hour.
        warn_after, seconds = seconds, service_accounts.EXTENDED_SECONDS
    claims = service_accounts.bound_claims(
        account, issuer=tokens.issuer, audiences=spec["audiences"], seconds=seconds, warn_after=warn_after, **bound
    )
    expires = datetime.fromtimestamp(claims["iat"] + spec["expirationSeconds"], UTC)
    answer: Obj = {
        "kind": _KIND,
        "apiVersion": _API_VERSION,
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": clock.timestamp()},
        "spec": spec,
        "status": {"token": tokens.issue(claims), "expirationTimestamp": clock.format_time(expires)},
    }
    return negotiate.object_response(request, answer, 201)


def _bound(server: "ApiServer", namespace: str, account: str, reference: Obj | None) -> dict[str, Obj]:
    """What the token is bound to: the pod (and its node), the secret or the node that is referred to."""
    if reference is None:
        return {}
    kind = (reference.get("apiVersion", ""), reference.get("kind", ""))
    plural = _BINDABLE.get(kind)
    if plural is None:
        group, _, version = kind[0].rpartition("/")
        raise errors.bad_request(
            f"cannot bind token for serviceaccount {quote(account)} to object of type {group}/{version}, Kind={kind[1]}"
        )
    name = reference.get("name", "")
    rt = resources.lookup(plural)
    obj = server.registry.get(rt, namespace if rt.namespaced else None, name)
    if obj is None:
        raise errors.not_found("", plural, name)
    wanted = reference.get("uid")
    if wanted and wanted != meta.uid(obj):
        raise errors.conflict(
            "",
            kind[1],
            name,
            f"the UID in the bound object reference ({wanted}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    if plural != "pods":
        return {plural[:-1]: obj}
    if obj["spec"].get("serviceAccountName") != account:
        raise errors.bad_request(
            f"cannot bind token for serviceaccount {quote(account)} to pod running with different serviceaccount name."
        )
    node = obj["spec"].get("nodeName")
    if not node:
        return {"pod": obj}
    found = server.registry.get(resources.lookup("nodes"), None, node)
    return {"pod": obj, "node": found or {"metadata": {"name": node}}}
