"""Questions that are answered and never stored: who is this token, may that user do this, what may I do?"""

from typing import TYPE_CHECKING, Any

from pynetes.apis.versions import convert
from pynetes.apiserver import bodies, negotiate, parameters
from pynetes.apiserver.admission import Attributes
from pynetes.apiserver.admission.webhooks import user_info
from pynetes.apiserver.authn.jwt import InvalidToken
from pynetes.apiserver.authz.rbac import Decision
from pynetes.apiserver.request import Request, RequestInfo, Response, UserInfo
from pynetes.apiserver.subresources import subresource
from pynetes.machinery import errors, names
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

_AUTHORIZATION = "authorization.k8s.io"


async def _review(request: Request, server: "ApiServer", rt: ResourceType, namespace: str) -> Obj:
    """The review sent, admitted like any other creation."""
    ctx = parameters.context(request, "CreateOptions")
    resource = server.registry.resource(rt)
    review = resource.to_stored(bodies.decode(request, resource, ctx))
    assert request.user is not None
    attributes = Attributes(
        "CREATE", rt, "", namespace, "", review, None, request.user, ctx.dry_run, warnings=request.warnings
    )
    await server.registry.admit(attributes, ctx)
    await server.registry.validate(attributes, ctx)
    return review


def _answer(request: Request, rt: ResourceType, review: Obj, status: Obj) -> Response:
    answer: Obj = {"kind": rt.kind, "metadata": review.get("metadata") or {}}
    answer["apiVersion"] = review.get("apiVersion") or rt.api_version
    if "spec" in review:
        answer["spec"] = review["spec"]
    return negotiate.object_response(request, convert(answer, rt.api_version) | {"status": status}, 201)


# Authentication.


@subresource("tokenreviews.authentication.k8s.io", "", verbs=("create",))
async def token_review(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """Whose token is this?"""
    review = await _review(request, server, rt, namespace)
    spec = review.setdefault("spec", {})
    if not spec.get("token"):
        raise errors.bad_request("token is required for TokenReview in authentication")
    audiences = spec.get("audiences") or None
    try:
        user, accepted = server.authenticator.check_token(spec["token"], audiences)
    except InvalidToken as error:
        said = str(error)
        return _answer(
            request,
            rt,
            review,
            {"user": {}, "error": said if said == "invalid bearer token" else f"[invalid bearer token, {said}]"},
        )
    status: Obj = {"authenticated": True, "user": user_info(user)}
    if accepted:
        status["audiences"] = accepted
    elif audiences:
        # Tokens without audiences are meant for this server alone.
        tokens = server.service_account_tokens
        common = [entry for entry in audiences if tokens is not None and entry in tokens.api_audiences]
        if not common:
            return _answer(request, rt, review, {"user": {}})
        status["audiences"] = common
    return _answer(request, rt, review, status)


@subresource("selfsubjectreviews.authentication.k8s.io", "", verbs=("create",))
async def self_subject_review(
    request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str
) -> Response:
    """Who am I?"""
    review = await _review(request, server, rt, namespace)
    assert request.user is not None
    return _answer(request, rt, review, {"userInfo": user_info(request.user)})


# Authorization.


def _attribute_findings(spec: dict[str, Any]) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [errors.invalid_value("spec", path, detail)]
    return []


def _selector_findings(spec: dict[str, Any]) -> list[FieldError]:
    """What is wrong with the selectors among the attributes; operators that are not known may come from the future."""
    found = []
    for name in ("fieldSelector", "labelSelector"):
        selector = (spec.get("resourceAttributes") or {}).get(name)
        if selector is None:
            continue
        path = f"spec.resourceAttributes.{name}"
        raw, requirements = selector.get("rawSelector"), selector.get("requirements") or ()
        if raw and requirements:
            detail = "may not specified at the same time as requirements"
            found.append(errors.invalid_value(f"{path}.rawSelector", raw, detail))
        if not raw and not requirements:
            detail = f"when {path} is specified, requirements or rawSelector is required"
            found.append(errors.required(f"{path}.requirements", detail))
        for index, entry in enumerate(requirements):
            found += _requirement_findings(f"{path}.requirements[{index}]", entry, labels=name == "labelSelector")
    return found


def _requirement_findings(path: str, entry: dict[str, Any], *, labels: bool) -> list[FieldError]:
    found = []
    key, values = entry.get("key", ""), entry.get("values") or ()
    if not labels and not key:
        found.append(errors.required(f"{path}.key", "must be specified"))
    if entry.get("operator") in ("In", "NotIn") and not values:
        found.append(errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    if entry.get("operator") in ("Exists", "DoesNotExist") and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        found.append(errors.forbidden_field(f"{path}.values", detail))
    if labels:
        found += [errors.invalid_value(f"{path}.key", key, fault) for fault in names.qualified_name(key)]
        found += [
            errors.invalid_value(f"{path}.values[{index}]", value, fault)
            for index, value in enumerate(values)
            for fault in names.label_value(value)
        ]
    return found


def _subject_findings(spec: dict[str, Any]) -> list[FieldError]:
    if spec.get("user") or spec.get("groups"):
        return []
    return [errors.invalid_value("spec.user", spec.get("user", ""), "at least one of user or group must be specified")]


def _check(rt: ResourceType, review: Obj, findings: list[FieldError]) -> None:
    metadata = {field: value for field, value in (review.get("metadata") or {}).items() if field != "managedFields"}
    if rt.plural == "localsubjectaccessreviews":
        metadata.pop("namespace", None)
    findings = [*findings, *_selector_findings(review.get("spec") or {})]
    if any(metadata.values()):
        detail = "must be empty" if rt.plural != "localsubjectaccessreviews" else "must be empty except for namespace"
        findings.append(errors.invalid_value("metadata", metadata, detail))
    if findings:
        raise errors.invalid(_AUTHORIZATION, rt.kind, "", findings)


def _requirements(selector: dict[str, Any] | None) -> str:
    """A field selector in attributes, as text; only what the Node authorizer looks at, equality, is kept."""
    if not selector:
        return ""
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    return ",".join(
        f"{entry['key']}={entry['values'][0]}"
        for entry in selector.get("requirements") or ()
        if entry.get("operator") == "In" and len(entry.get("values") or ()) == 1
    )


def request_info(spec: dict[str, Any]) -> RequestInfo:
    """What a review asks about."""
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return RequestInfo(False, path.get("verb", ""), path=path.get("path", ""))
    asked = spec["resourceAttributes"]
    return RequestInfo(
        True,
        asked.get("verb", ""),
        asked.get("group", ""),
        asked.get("version", ""),
        asked.get("resource", ""),
        asked.get("subresource", ""),
        asked.get("namespace", ""),
        asked.get("name", ""),
        field_selector=_requirements(asked.get("fieldSelector")),
    )


def _subject(spec: dict[str, Any]) -> UserInfo:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return UserInfo(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _status(decision: Decision) -> Obj:
    status: Obj = {"allowed": decision.allowed}
    return status | {"reason": decision.reason} if decision.reason else status


@subresource("subjectaccessreviews.authorization.k8s.io", "", verbs=("create",))
async def subject_access_review(
    request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str
) -> Response:
    """May this user do this?"""
    review = await _review(request, server, rt, namespace)
    spec = review.setdefault("spec", {})
    _check(rt, review, [*_attribute_findings(spec), *_subject_findings(spec)])
    return _answer(request, rt, review, _status(server.authorizer.authorize(_subject(spec), request_info(spec))))


@subresource("localsubjectaccessreviews.authorization.k8s.io", "", verbs=("create",))
async def local_subject_access_review(
    request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str
) -> Response:
    """May this user do this in this namespace?"""
    review = await _review(request, server, rt, namespace)
    spec = review.setdefault("spec", {})
    findings = [*_attribute_findings(spec), *_subject_findings(spec)]
    if spec.get("nonResourceAttributes") is not None:
        detail = "disallowed on this kind of request"
        findings.append(errors.invalid_value("spec.nonResourceAttributes", spec["nonResourceAttributes"], detail))
    own = (review.get("metadata") or {}).get("namespace") or namespace
    asked = (spec.get("resourceAttributes") or {}).get("namespace", "")
    if spec.get("resourceAttributes") is not None and asked != own:
        findings.append(
            errors.invalid_value("spec.resourceAttributes.namespace", asked, "must match metadata.namespace")
        )
    if own != namespace:
        raise errors.bad_request(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
    _check(rt, review, findings)
    review["metadata"] = {**(review.get("metadata") or {}), "namespace": namespace}
    return _answer(request, rt, review, _status(server.authorizer.authorize(_subject(spec), request_info(spec))))


@subresource("selfsubjectaccessreviews.authorization.k8s.io", "", verbs=("create",))
async def self_subject_access_review(
    request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str
) -> Response:
    """May I do this?"""
    review = await _review(request, server, rt, namespace)
    spec = review.setdefault("spec", {})
    _check(rt, review, _attribute_findings(spec))
    assert request.user is not None
    return _answer(request, rt, review, _status(server.authorizer.authorize(request.user, request_info(spec))))


@subresource("selfsubjectrulesreviews.authorization.k8s.io", "", verbs=("create",))
async def self_subject_rules_review(
    request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str
) -> Response:
    """What may I do in this namespace?"""
    review = await _review(request, server, rt, namespace)
    space = (review.get("spec") or {}).get("namespace")
    if not space:
        raise errors.bad_request("no namespace on request")
    assert request.user is not None
    rules, missing = server.authorizer.rbac.rules_for(request.user, space)
    status: Obj = {
        "resourceRules": [_resource_rule(rule) for rule in rules if rule.get("resources")],
        "nonResourceRules": [
            {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}
            for rule in rules
            if rule.get("nonResourceURLs")
        ],
        "incomplete": False,
    }
    complaints = list(missing)
    if "system:nodes" in request.user.groups:
        complaints.append("node authorizer does not support user rule resolution")
    if complaints:
        status |= {"incomplete": True, "evaluationError": ", ".join(complaints)}
    return _answer(request, rt, review, status)


def _resource_rule(rule: dict[str, Any]) -> dict[str, Any]:
    return {field: rule[field] for field in ("verbs", "apiGroups", "resources", "resourceNames") if rule.get(field)}
