"""Mutating and validating admission webhooks (admissionregistration.k8s.io/v1).

Configurations are followed by the change. Mutating webhooks are called one after the other in the order of their
configurations' names, each seeing what the one before made of the object; validating ones are called all at once. A
webhook that cannot be asked refuses the write or is passed over, as its `failurePolicy` says. Reviews are sent in the
version of AdmissionReview and of the object that the webhook understands.
"""

import asyncio
import base64
import binascii
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pynetes.apis.versions import convert
from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.apiserver.admission.expressions import bindings, conditions_hold
from pynetes.apiserver.admission.webhook_client import BadConfig, CallFailed, WebhookClient
from pynetes.apiserver.admission.webhook_match import Webhook, is_exempt, matched_type, selectors_match
from pynetes.apiserver.mirror import Mirror
from pynetes.apiserver.request import UserInfo
from pynetes.machinery import errors, meta, resources, scheme, wire
from pynetes.machinery.cel import CelError
from pynetes.machinery.errors import StatusError, quote
from pynetes.machinery.meta import Obj
from pynetes.machinery.patches import json_patch
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

NAMESPACES = resources.lookup("namespaces")
_VERSIONS = ("v1", "v1beta1")
_HARMLESS = ("None", "NoneOnDryRun")
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class _Webhooks(Plugin):
    """What both kinds of webhook have in common."""

    plural = ""
    mutating = False

    def __init__(self) -> None:
        self._mirror: Mirror[Obj] | None = None
        self._client: WebhookClient | None = None

    def start(self, server: "ApiServer") -> None:
        self._client = WebhookClient(server.registry)
        self._mirror = Mirror(server.store, f"/admissionregistration.k8s.io/{self.plural}/")
        self._mirror.start()

    async def stop(self) -> None:
        if self._mirror is not None:
            await self._mirror.stop()
        if self._client is not None:
            await self._client.close()

    def _relevant(self, attributes: Attributes, server: "ApiServer") -> Iterator[tuple[str, Webhook, ResourceType]]:
        """(key, webhook, the type it wants the object as) of every webhook that hears of the write, in order."""
        if not self._mirror or is_exempt(attributes):
            return
        equivalents = equivalent_types(attributes.rt, server)
        labels = namespace_labels(attributes, server)
        for configuration in sorted(self._mirror, key=meta.name):
            for index, webhook in enumerate(configuration.get("webhooks") or ()):
                rt = matched_type(webhook, attributes, equivalents)
                if rt is not None and selectors_match(webhook, attributes, labels):
                    yield f"{meta.name(configuration)}/{index}", webhook, rt

    def _conditions_hold(self, attributes: Attributes, webhook: Webhook, rt: ResourceType, server: "ApiServer") -> bool:
        """Whether the webhook's match conditions let the write through to it."""
        conditions = webhook.get("matchConditions")
        if not conditions:
            return True
        try:
            return conditions_hold(conditions, bindings(attributes, rt, server))
        except CelError as error:
            if (webhook.get("failurePolicy") or "Fail") == "Ignore":
                return False
            raise attributes.forbidden(str(error)) from None

    async def _call(
        self, attributes: Attributes, webhook: Webhook, rt: ResourceType, server: "ApiServer"
    ) -> Obj | None:
        """The webhook's response if it allows; None if it is not asked, or could not be and that does not matter."""
        name = webhook["name"]
        if not self._conditions_hold(attributes, webhook, rt, server):
            return None
        if attributes.dry_run and (webhook.get("sideEffects") or "Unknown") not in _HARMLESS:
            raise errors.bad_request(f"admission webhook {quote(name)} does not support dry run")
        assert self._client is not None
        version = next((known for known in webhook.get("admissionReviewVersions") or ("v1",) if known in _VERSIONS), "")
        request = review_request(attributes, rt)
        review = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": request}
        step = "could not create admission objects"
        try:
            if not version:
                raise CallFailed("webhook does not accept known AdmissionReview versions (v1, v1beta1)")
            step, timeout = "failed to call webhook", float(webhook.get("timeoutSeconds") or 10)
            answer = await self._client.post(webhook.get("clientConfig") or {}, review, timeout)
            step = "received invalid webhook response"
            response = _checked(answer, version, request["uid"], mutating=self.mutating)
        except CallFailed as error:
            if (webhook.get("failurePolicy") or "Fail") == "Ignore":
                return None
            step = "could not get REST client" if isinstance(error, BadConfig) else step
            raise errors.internal(f"failed calling webhook {quote(name)}: {step}: {error}") from None
        attributes.warnings += [str(entry) for entry in response.get("warnings") or ()]
        for key, value in (response.get("auditAnnotations") or {}).items():
            attributes.audit_annotations[f"{name}/{key}"] = str(value)
        if not response.get("allowed"):
            raise denial(name, response.get("status") or {})
        return response


class MutatingAdmissionWebhook(_Webhooks):
    """Webhooks that may change the object."""

    name = "MutatingAdmissionWebhook"
    plural = "mutatingwebhookconfigurations"
    mutating = True

    async def admit(self, attributes: Attributes, server: "ApiServer") -> None:
        for key, webhook, rt in list(self._relevant(attributes, server)):
            if attributes.reinvoked:
                seen = attributes.webhook_outcomes.get(key)
                again = (webhook.get("reinvocationPolicy") or "Never") == "IfNeeded"
                if seen is not None and (not again or seen == attributes.obj):
                    continue
            response = await self._call(attributes, webhook, rt, server)
            if response is not None and response.get("patch"):
                self._patch(attributes, server, webhook, rt, response)
            if attributes.obj is not None:
                attributes.webhook_outcomes[key] = meta.deep_copy(attributes.obj)

    def _patch(
        self, attributes: Attributes, server: "ApiServer", webhook: Webhook, rt: ResourceType, response: Obj
    ) -> None:
        name = webhook["name"]
        if response.get("patchType") != "JSONPatch":
            said = f"unsupported patch type {quote(str(response.get('patchType')))}"
            raise errors.internal(f"failed calling webhook {quote(name)}: {said}")
        try:
            operations: Any = wire.decode(base64.b64decode(response["patch"]))
            if not operations:
                return
            if attributes.obj is None:
                what = "attempted to modify the object, which is not supported for this operation"
                raise errors.internal(f"admission webhook {quote(name)} {what}")
            before = attributes.obj
            patched = json_patch.apply(_in_version(before, attributes, rt), operations)
            target = scheme.definition_of(rt.api_version, rt.kind) if not attributes.subresource else None
            if target is not None:
                patched = scheme.decode(rt, wire.encode(patched))
        except StatusError as error:
            if error.code == 500:
                raise
            said = str(error.__cause__ if isinstance(error.__cause__, json_patch.PatchError) else error)
            raise errors.internal(said) from None
        except (ValueError, binascii.Error, msgspec.DecodeError) as error:
            raise errors.internal(str(error)) from None
        after = _in_version(patched, attributes, attributes.rt)
        if not attributes.subresource:
            server.registry.resource(attributes.rt).strategy.default(after)
        if after != before:
            attributes.changed_by_webhook = True
            # Others hold on to the very object: it is changed in place.
            before.clear()
            before.update(after)


class ValidatingAdmissionWebhook(_Webhooks):
    """Webhooks that may only refuse."""

    name = "ValidatingAdmissionWebhook"
    plural = "validatingwebhookconfigurations"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        calls = [self._call(attributes, webhook, rt, server) for _, webhook, rt in self._relevant(attributes, server)]
        if not calls:
            return
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome


def equivalent_types(rt: ResourceType, server: "ApiServer") -> list[ResourceType]:
    """Every served type that shows the same objects."""
    served = server.registry.find(rt.group, rt.version, rt.plural)
    stored = served.stored if served is not None else rt
    return [
        entry.rt
        for entry in server.registry
        if entry.stored.group == stored.group and entry.stored.plural == stored.plural
    ]


def namespace_labels(attributes: Attributes, server: "ApiServer") -> dict[str, str] | None:
    """The labels of the namespace the write is in (or is of); None where there is none."""
    if attributes.group_resource == "namespaces":
        subject = attributes.obj if attributes.operation != "DELETE" and not attributes.subresource else None
        subject = subject or attributes.old or server.registry.get(NAMESPACES, None, attributes.name)
        return meta.labels(subject or {})
    if not attributes.namespace:
        return None
    return meta.labels(server.registry.get(NAMESPACES, None, attributes.namespace) or {})


def _in_version(obj: Obj, attributes: Attributes, rt: ResourceType) -> Obj:
    """The object in the version of `rt`; what is sent to subresources is of another kind and stays as it is."""
    if obj.get("kind") not in (attributes.rt.kind, rt.kind) or obj.get("apiVersion") == rt.api_version:
        return obj
    return convert(meta.deep_copy(obj), rt.api_version)


def _kind(obj: Obj | None, rt: ResourceType, subresource: str) -> dict[str, str]:
    if subresource and obj is not None and obj.get("kind"):
        group, _, version = obj.get("apiVersion", "v1").rpartition("/")
        return {"group": group, "version": version, "kind": obj["kind"]}
    return {"group": rt.group, "version": rt.version, "kind": rt.kind}


def _resource(rt: ResourceType) -> dict[str, str]:
    return {"group": rt.group, "version": rt.version, "resource": rt.plural}


def user_info(user: UserInfo) -> dict[str, Any]:
    """A user as `authentication.k8s.io/v1` writes them."""
    info: dict[str, Any] = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def review_request(attributes: Attributes, rt: ResourceType) -> dict[str, Any]:
    """The `request` of an AdmissionReview, with the object as `rt`."""
    new, old = attributes.obj, attributes.old
    request: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "kind": _kind(new or old, rt, attributes.subresource),
        "resource": _resource(rt),
        "requestKind": _kind(new or old, attributes.rt, attributes.subresource),
        "requestResource": _resource(attributes.rt),
        "operation": attributes.operation,
        "userInfo": user_info(attributes.user),
        "object": None if new is None else _in_version(new, attributes, rt),
        "oldObject": None if old is None else _in_version(old, attributes, rt),
        "dryRun": attributes.dry_run,
        "options": None,
    }
    if attributes.subresource:
        request["subResource"] = request["requestSubResource"] = attributes.subresource
    where = {"name": attributes.name, "namespace": attributes.namespace}
    request |= {field: value for field, value in where.items() if value}
    if attributes.operation in _OPTIONS:
        head = {"kind": _OPTIONS[attributes.operation], "apiVersion": "meta.k8s.io/v1"}
        request["options"] = {**head, **{k: v for k, v in attributes.options.items() if k not in head}}
    return request


def _checked(answer: Obj, version: str, uid: str, *, mutating: bool) -> Obj:
    """The response in a review that answers ours; raises CallFailed."""
    wanted = f"admission.k8s.io/{version}"
    response = answer.get("response")
    if not isinstance(response, dict):
        raise CallFailed("webhook response was absent")
    if version == "v1":
        if response.get("uid") != uid:
            raise CallFailed(f"expected response.uid={quote(uid)}, got {quote(str(response.get('uid', '')))}")
        if answer.get("apiVersion") != wanted or answer.get("kind") != "AdmissionReview":
            group_version, kind = answer.get("apiVersion", ""), answer.get("kind", "")
            raise CallFailed(
                f"expected webhook response of {wanted}, Kind=AdmissionReview, got {group_version}, Kind={kind}"
            )
        if not mutating:
            return response
        if response.get("patch") and not response.get("patchType"):
            raise CallFailed("webhook returned response.patch but not response.patchType")
        if response.get("patchType") and not response.get("patch"):
            raise CallFailed("webhook returned response.patchType but not response.patch")
    elif response.get("patch") and not response.get("patchType"):
        response["patchType"] = "JSONPatch"
    return response


def denial(name: str, status: dict[str, Any]) -> StatusError:
    """The refusal that a webhook's `status` stands for."""
    denied = f"admission webhook {quote(name)} denied the request"
    said = status.get("message") or status.get("reason")
    code = status.get("code") or 0
    return StatusError(
        code if code >= 400 else 400,
        status.get("reason", ""),
        f"{denied}: {said}" if said else f"{denied} without explanation",
        status.get("details") or {},
    )
