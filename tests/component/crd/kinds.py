"""Definitions for tests, each in a group of its own, and the paths to their objects."""

import asyncio
import uuid
from typing import Any

from tests.component.apiserver.conftest import Answer, Http

Obj = dict[str, Any]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

SPEC: Obj = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 10},
        "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
        "label": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
        "port": {"x-kubernetes-int-or-string": True},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "keys": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "note": {"type": "string", "nullable": True},
    },
}
STATUS: Obj = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"}},
}
SCHEMA: Obj = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}


def version(name: str = "v1", *, storage: bool = True, schema: Obj = SCHEMA, **fields: Any) -> Obj:
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}} | fields


class Kind:
    """A definition in a group of its own, and paths to its objects."""

    def __init__(self, http: Http, *versions: Obj, **spec: Any) -> None:
        self.http = http
        self.group = f"g{uuid.uuid4().hex[:8]}.example.com"
        self.name = f"crontabs.{self.group}"
        names = {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]}
        whole = {"group": self.group, "scope": "Namespaced", "names": names, "versions": list(versions or [version()])}
        self.definition: Obj = {"metadata": {"name": self.name}, "spec": whole | spec}

    async def establish(self) -> "Kind":
        answer = await self.http("POST", DEFINITIONS, self.definition)
        assert answer.status == 201, answer.body
        await self.until(lambda found: self.condition(found, "Established") == "True")
        return self

    async def until(self, holds: Any) -> Obj:
        for _ in range(200):
            found = (await self.http("GET", f"{DEFINITIONS}/{self.name}")).json
            if holds(found):
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"never came true: {found.get('status')}")

    @staticmethod
    def condition(found: Obj, kind: str) -> str | None:
        conditions = found.get("status", {}).get("conditions", [])
        return next((each["status"] for each in conditions if each["type"] == kind), None)

    def path(self, name: str = "", version: str = "v1") -> str:
        base = f"/apis/{self.group}/{version}/namespaces/default/crontabs"
        return f"{base}/{name}" if name else base

    def object(self, name: str = "a", version: str = "v1", **spec: Any) -> Obj:
        return {
            "apiVersion": f"{self.group}/{version}",
            "kind": "CronTab",
            "metadata": {"name": name},
            "spec": {"size": 3} | spec,
        }

    async def create(self, name: str = "a", query: str = "", **spec: Any) -> Answer:
        return await self.http("POST", self.path() + query, self.object(name, **spec))

    async def change(self, change: Any) -> None:
        """Change the definition, and wait until that is served."""
        found = (await self.http("GET", f"{DEFINITIONS}/{self.name}")).json
        change(found["spec"])
        answer = await self.http("PUT", f"{DEFINITIONS}/{self.name}", found)
        assert answer.status == 200, answer.body
        await asyncio.sleep(0.05)
