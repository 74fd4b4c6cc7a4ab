"""Schemas of old versions, derived from the current ones.

An old version's definition is the current one with a few edits, so only the types on the way from the kind to an edit
get definitions of their own; everything else is shared with the current version. They are made when first asked for:
a server that never meets an old manifest pays for an index of names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pynetes.machinery import definitions

if TYPE_CHECKING:
    from pynetes.apis.legacy.row import Legacy

Json = dict[str, Any]

STRING: Json = {"type": "string"}
BOOLEAN: Json = {"type": "boolean"}
INT32: Json = {"type": "integer", "format": "int32"}
INT64: Json = {"type": "integer", "format": "int64"}


def ref(name: str) -> Json:
    """A reference to a definition."""
    return {"$ref": f"{definitions.REF_PREFIX}{name}"}


def array(items: Json) -> Json:
    """A list."""
    return {"type": "array", "items": items}


def text_map() -> Json:
    """A map of texts."""
    return {"type": "object", "additionalProperties": STRING}


INT_OR_STRING = ref("io.k8s.apimachinery.pkg.util.intstr.IntOrString")
QUANTITY = ref("io.k8s.apimachinery.pkg.api.resource.Quantity")


@dataclass(frozen=True)
class Edit:
    """How one type differs: fields renamed (by the current name), dropped, added (with prose), required or not."""

    rename: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    add: Mapping[str, tuple[Json, str]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    def apply(self, definition: Json) -> Json:
        """The old definition, made of the current one."""
        properties: Json = {}
        for name, schema in (definition.get("properties") or {}).items():
            if name not in self.drop:
                properties[self.rename.get(name, name)] = schema
        properties |= {name: schema for name, (schema, _) in self.add.items()}
        lost = {*self.drop, *self.optional}
        required = [self.rename.get(name, name) for name in definition.get("required") or () if name not in lost]
        required += self.required
        made = {key: value for key, value in definition.items() if key not in ("properties", "required")}
        return made | ({"required": required} if required else {}) | {"properties": properties}

    def prose(self, current: Mapping[str, str]) -> dict[str, str]:
        """The descriptions of the old definition."""
        kept = {self.rename.get(name, name): text for name, text in current.items() if name not in self.drop}
        return kept | {name: text for name, (_, text) in self.add.items()}


NO_EDIT = Edit()


@dataclass(frozen=True)
class _Made:
    """A derived definition: its row, the current definition it comes from, and what differs."""

    row: "Legacy"
    base: str
    edit: Edit


class Shapes:
    """The definitions of a table's rows, and of kinds that have no current version at all (`whole`)."""

    def __init__(
        self, rows: Iterable["Legacy"], whole: Mapping[str, Json], prose: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._rows: dict[str, list[Legacy]] = {}
        self._whole = dict(whole)
        self._whole_prose = prose
        self._made: dict[str, dict[str, _Made]] = {}
        self.kinds: dict[str, str] = {}
        for row in rows:
            package = package_of(row)
            self._rows.setdefault(package, []).append(row)
            for kind in (row.kind, f"{row.kind}List"):
                self.kinds[f"{row.api_version}/{kind}"] = f"{package}.{kind}"
        for name, definition in self._whole.items():
            for gvk in definition.get("x-kubernetes-group-version-kind", ()):
                self.kinds[f"{gvk['group']}/{gvk['version']}/{gvk['kind']}"] = name

    def has(self, name: str) -> bool:
        """Whether there is a definition of that name."""
        return name in self._whole or self._find(name) is not None

    def get(self, name: str) -> Json:
        """A definition, made anew; KeyError if there is none."""
        if name in self._whole:
            return _copy(self._whole[name])
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        definition = found.edit.apply(self._base(found.base))
        package = name.rpartition(".")[0]
        names = {made.base: derived for derived, made in self._package(package).items()}
        definition = _with_refs(definition, names)
        if "x-kubernetes-group-version-kind" in definition:
            group, _, version = found.row.api_version.rpartition("/")
            kind = name.rpartition(".")[2]
            definition["x-kubernetes-group-version-kind"] = [{"group": group, "kind": kind, "version": version}]
        return definition

    def descriptions(self, current: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """The prose of all derived definitions, given that of the current ones."""
        known = {name: dict(texts) for name, texts in self._whole_prose.items()}
        for package in self._rows:
            for name, made in self._package(package).items():
                known[name] = made.edit.prose(current.get(made.base) or known.get(made.base, {}))
        return known

    def _base(self, name: str) -> Json:
        return _copy(self._whole[name]) if name in self._whole else definitions.get(name)

    def _find(self, name: str) -> _Made | None:
        package = name.rpartition(".")[0]
        return self._package(package).get(name) if package in self._rows else None

    def _package(self, package: str) -> dict[str, _Made]:
        """The derived definitions of one old package, by name."""
        if package not in self._made:
            made: dict[str, _Made] = {}
            for row in self._rows[package]:
                base = self._name_of(row.of, row.kind)
                chosen = self._derived(base, row.edits)
                chosen |= {name for name in (base, f"{base}List") if self._exists(name)}
                for name in chosen:
                    kind = name.rpartition(".")[2]
                    made[f"{package}.{kind}"] = _Made(row, name, row.edits.get(kind, NO_EDIT))
            self._made[package] = made
        return self._made[package]

    def _name_of(self, api_version: str, kind: str) -> str:
        name = definitions.of_kind(api_version, kind) or self.kinds.get(f"{api_version}/{kind}")
        assert name is not None, f"no definition of {api_version} {kind}"
        return name

    def _exists(self, name: str) -> bool:
        return name in self._whole or definitions.has(name)

    def _derived(self, base: str, edits: Mapping[str, Edit]) -> set[str]:
        """The current definitions below `base` that are edited, or refer to one that is."""
        package = base.rpartition(".")[0] + "."
        refers: dict[str, set[str]] = {}
        pending = [base]
        while pending and edits:
            name = pending.pop()
            if name in refers or not name.startswith(package):
                continue
            refers[name] = _refs(self._base(name))
            pending.extend(refers[name])
        chosen = {name for name in refers if name.rpartition(".")[2] in edits}
        while True:
            more = {name for name, used in refers.items() if used & chosen} - chosen
            if not more:
                return chosen
            chosen |= more


def package_of(row: "Legacy") -> str:
    """Where the old version's definitions are, by name: `io.k8s.api.extensions.v1beta1`."""
    group, _, version = row.api_version.rpartition("/")
    return f"{_PACKAGES.get(group, 'io.k8s.api.' + group.partition('.')[0])}.{version}"


_PACKAGES = {
    "rbac.authorization.k8s.io": "io.k8s.api.rbac",
    "flowcontrol.apiserver.k8s.io": "io.k8s.api.flowcontrol",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


def _refs(value: Any) -> set[str]:
    found: set[str] = set()
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if isinstance(each.get("$ref"), str):
                found.add(definitions.referenced(each["$ref"]))
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)
    return found


def _with_refs(value: Any, names: Mapping[str, str]) -> Any:
    """A schema whose references lead to the derived definitions, where there are such."""
    if isinstance(value, list):
        return [_with_refs(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: _with_refs(inner, names) for key, inner in value.items()}
    target = made.get("$ref")
    if isinstance(target, str) and definitions.referenced(target) in names:
        made["$ref"] = f"{definitions.REF_PREFIX}{names[definitions.referenced(target)]}"
    return made


def _copy(value: Any) -> Any:
    return _with_refs(value, {})
