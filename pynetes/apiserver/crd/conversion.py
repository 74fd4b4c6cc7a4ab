"""Conversion between the versions of a custom resource by a webhook.

Reading is synchronous and converting is not, so what a reader will need is converted ahead: before a read for the
records in question, with a write for every served version of the object written. A conversion depends on an object's
content alone, so it is remembered by that; metadata (but labels and annotations) is never the webhook's to change.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec

from pynetes.apiserver.admission.webhook_client import CallFailed, WebhookClient
from pynetes.machinery import meta, wire
from pynetes.machinery.errors import StatusError, quote
from pynetes.machinery.meta import Obj

TIMEOUT = 30.0
_REVIEW_VERSIONS = ("v1", "v1beta1")
_REMEMBERED = 50_000
_CHANGEABLE = ("labels", "annotations")


class WebhookConversion:
    """The conversions of one definition."""

    def __init__(self, definition: Obj, client: WebhookClient) -> None:
        webhook = definition["spec"]["conversion"]["webhook"]
        versions = webhook.get("conversionReviewVersions") or []
        self._config: dict[str, Any] = webhook["clientConfig"]
        self._review = next((each for each in versions if each in _REVIEW_VERSIONS), "v1")
        self._client = client
        self._known: OrderedDict[tuple[bytes, str], bytes] = OrderedDict()

    async def learn(self, objects: Iterable[Obj], api_version: str) -> None:
        """Ask the webhook about those objects whose form in `api_version` is not known yet."""
        missing = {
            _content(obj): obj
            for obj in objects
            if obj["apiVersion"] != api_version and (_content(obj), api_version) not in self._known
        }
        if not missing:
            return
        for digest, converted in zip(missing, await self._ask(list(missing.values()), api_version), strict=True):
            self._known[digest, api_version] = wire.encode(converted)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def converted(self, obj: Obj, api_version: str) -> Obj:
        """The object in a version that was learned; StatusError 500 if it was not."""
        if obj["apiVersion"] == api_version:
            return obj
        found = self._known.get((_content(obj), api_version))
        if found is None:
            raise StatusError(500, "", f"{_failed(obj)}: {api_version} was not asked for in time")
        made = wire.decode(found)
        metadata = dict(obj["metadata"])
        for field in _CHANGEABLE:
            metadata.pop(field, None)
            if made.get("metadata", {}).get(field):
                metadata[field] = made["metadata"][field]
        return {"kind": obj["kind"], "apiVersion": api_version, "metadata": metadata} | {
            field: value for field, value in made.items() if field not in ("kind", "apiVersion", "metadata")
        }

    async def _ask(self, objects: list[Obj], api_version: str) -> list[Obj]:
        uid = meta.new_uid()
        review: Obj = {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{self._review}",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects},
        }
        what = _failed(objects[0])
        try:
            answer = await self._client.post(self._config, review, TIMEOUT)
        except CallFailed as error:
            raise StatusError(500, "", f"{what} failed: {error}") from None
        response = answer.get("response") or {}
        fault = self._fault(answer, response, uid)
        if fault:
            raise StatusError(500, "", f"{what} failed: {fault}")
        converted: list[Obj] = response.get("convertedObjects") or []
        if len(converted) != len(objects):
            raise StatusError(500, "", f"{what} returned {len(converted)} objects, expected {len(objects)}")
        for index, (before, after) in enumerate(zip(objects, converted, strict=True)):
            fault = _changed_identity(before, after, api_version)
            if fault:
                raise StatusError(500, "", f"{what} returned invalid converted object at index {index}: {fault}")
        return converted

    def _fault(self, answer: Obj, response: Obj, uid: str) -> str:
        expected = f"apiextensions.k8s.io/{self._review}, Kind=ConversionReview"
        said = f"{answer.get('apiVersion', '')}, Kind={answer.get('kind', '')}"
        if said != expected:
            return f"expected webhook response of {expected}, got {said}"
        if response.get("uid") != uid and self._review == "v1":
            return f"expected response.uid={quote(uid)}, got {quote(response.get('uid', ''))}"
        result = response.get("result") or {}
        if result.get("status") != "Success":
            return result.get("message") or "response.result.status was not Success"
        return ""


def _content(obj: Obj) -> bytes:
    """What a conversion depends on."""
    metadata = {field: obj["metadata"].get(field) for field in ("name", "namespace", *_CHANGEABLE)}
    return hashlib.sha256(msgspec.json.encode({**obj, "metadata": metadata}, order="deterministic")).digest()


def _failed(obj: Obj) -> str:
    return f"conversion webhook for {obj['apiVersion']}, Kind={obj['kind']}"


def _changed_identity(before: Obj, after: Obj, api_version: str) -> str:
    """What the webhook changed that it may not, or nothing."""
    if not isinstance(after, dict) or after.get("apiVersion") != api_version:
        found = after.get("apiVersion", "") if isinstance(after, dict) else ""
        return f"invalid groupVersion (expected {api_version}, received {found})"
    if after.get("kind") != before["kind"]:
        return f"invalid kind (expected {before['kind']}, received {after.get('kind', '')})"
    for field in ("name", "namespace", "uid"):
        if (after.get("metadata") or {}).get(field, "") != before["metadata"].get(field, ""):
            return f"metadata.{field} must not be changed"
    return ""
