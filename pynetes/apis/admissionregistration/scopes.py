"""What the expressions of webhooks and policies may speak of, and of which type each name is.

Objects and parameters are of any type while a policy is written; when its expressions are checked against the kinds it
is for, `object` and the like get theirs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pynetes.machinery.cel import CelError, checker, types
from pynetes.machinery.cel.types import DYN, STRING, Type, list_of, map_of

Scope = Mapping[str, Type]


def _object(fields: Mapping[str, Type], name: str) -> Type:
    """An object of the API server's own: its fields are written as they are, `request.namespace` too."""
    return Type(name, fields=fields)


_KIND = _object({"group": STRING, "version": STRING, "kind": STRING}, "kubernetes.GroupVersionKind")
_RESOURCE = _object({"group": STRING, "version": STRING, "resource": STRING}, "kubernetes.GroupVersionResource")
_USER = _object(
    {"username": STRING, "uid": STRING, "groups": list_of(STRING), "extra": map_of(list_of(STRING))},
    "kubernetes.UserInfo",
)
_REQUEST = _object(
    {
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": STRING,
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": STRING,
        "name": STRING,
        "namespace": STRING,
        "operation": STRING,
        "userInfo": _USER,
        "dryRun": types.BOOL,
        "options": DYN,
    },
    "kubernetes.AdmissionRequest",
)
_NAMESPACE = _object(
    {
        "metadata": _object(
            {
                "name": STRING,
                "generateName": STRING,
                "namespace": STRING,
                "labels": map_of(STRING),
                "annotations": map_of(STRING),
                "UID": STRING,
                "creationTimestamp": types.TIMESTAMP,
                "deletionGracePeriodSeconds": types.INT,
                "deletionTimestamp": types.TIMESTAMP,
                "generation": types.INT,
                "resourceVersion": STRING,
                "finalizers": list_of(STRING),
            },
            "kubernetes.NamespaceMetadata",
        ),
        "spec": _object({"finalizers": list_of(STRING)}, "kubernetes.NamespaceSpec"),
        "status": _object({"phase": STRING}, "kubernetes.NamespaceStatus"),
    },
    "kubernetes.Namespace",
)
_AUTHORIZER = Type(
    "kubernetes.authorization.Authorizer",
    fields={"requestResource": Type("kubernetes.authorization.ResourceCheck")},
)

REQUEST: Scope = {"object": DYN, "oldObject": DYN, "request": _REQUEST, "authorizer": _AUTHORIZER}
"""What match conditions of webhooks may speak of."""


def of_policy(spec: Mapping[str, Any], of_object: Type = DYN, of_params: Type = DYN) -> Scope:
    """What a policy's match conditions may speak of; parameters only where it takes some."""
    scope = {**REQUEST, "object": of_object, "oldObject": of_object, "namespaceObject": _NAMESPACE}
    return scope | {"params": of_params} if spec.get("paramKind") else scope


def with_variables(scope: Scope, variables: Iterable[Mapping[str, Any]]) -> Scope:
    """A scope that has the given variables too, each of the type of its expression (any, if that cannot be told)."""
    known: dict[str, Type] = {}
    for variable in variables:
        found = {**scope, "variables": Type("kubernetes.variables", fields=dict(known))}
        try:
            known[variable.get("name", "")] = checker.check(variable.get("expression", ""), found).type
        except CelError:
            known[variable.get("name", "")] = DYN
    return {**scope, "variables": Type("kubernetes.variables", fields=known)}
