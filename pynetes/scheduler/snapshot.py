"""All nodes at once, as NumPy arrays that change by the change.

Row `i` of every array is one node; a row of a node that went away is free and marked in `valid`. A filter or a score
is then one vector operation over all nodes. What does not fit an array is counted so that asking stays cheap:

- label values are columns of small numbers, made when a key is first asked for;
- nodes with equal taints share one entry of `taint_sets`;
- pods with equal labels in one namespace are one class, counted per node, so a selector is matched once per class;
- affinity terms that several pods share are one entry, counted per node.

Pods are added and removed in O(1); nothing here walks over the cluster on a change.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pynetes.machinery import meta, selectors
from pynetes.machinery.meta import Obj
from pynetes.scheduler.podinfo import HostPort, PodInfo, Term, amount

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]
Taint = tuple[str, str, str]
"""Key, value and effect: what makes two taints the same."""

FIRST_ROWS = 16
PODS = "pods"
K = TypeVar("K", bound=Hashable)
HOSTNAME = "kubernetes.io/hostname"


class Counts(defaultdict[int, int]):
    """How many per node row."""

    def __init__(self) -> None:
        super().__init__(int)

    def change(self, row: int, by: int) -> None:
        """Add `by` to a row; rows with zero go away."""
        self[row] += by
        if not self[row]:
            del self[row]


class LabelColumn:
    """One label key over all nodes: a number per distinct value, -1 where a node lacks the key."""

    def __init__(self, rows: int) -> None:
        self.codes: Ints = np.full(rows, -1, dtype=np.int64)
        self.vocabulary: dict[str, int] = {}

    def set(self, row: int, value: str | None) -> None:
        """Put a node's value."""
        self.codes[row] = -1 if value is None else self.vocabulary.setdefault(value, len(self.vocabulary))


class Nodes:
    """The snapshot: nodes, the pods on them, and what they take."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.names: list[str] = [""] * FIRST_ROWS
        self.objects: list[Obj | None] = [None] * FIRST_ROWS
        self.resources: dict[str, int] = {PODS: 0, "cpu": 1, "memory": 2, "ephemeral-storage": 3}
        self.valid: Mask = np.zeros(FIRST_ROWS, dtype=bool)
        self.unschedulable: Mask = np.zeros(FIRST_ROWS, dtype=bool)
        self.allocatable: Ints = np.zeros((FIRST_ROWS, 4), dtype=np.int64)
        self.used: Ints = np.zeros((FIRST_ROWS, 4), dtype=np.int64)
        self.scoring_used: Ints = np.zeros((FIRST_ROWS, 2), dtype=np.int64)
        self.taints: Ints = np.zeros(FIRST_ROWS, dtype=np.int64)
        self.taint_sets: list[list[Obj]] = [[]]
        self._taint_numbers: dict[tuple[Taint, ...], int] = {(): 0}
        self._columns: dict[str, LabelColumn] = {}
        self._free: list[int] = list(range(FIRST_ROWS - 1, -1, -1))
        self.pods: dict[int, dict[str, PodInfo]] = defaultdict(dict)
        self.classes: dict[tuple[str, tuple[tuple[str, str], ...]], Counts] = {}
        self.deleting: dict[tuple[str, tuple[tuple[str, str], ...]], Counts] = {}
        self.required_affinity: dict[Term, Counts] = {}
        self.required_anti: dict[Term, Counts] = {}
        self.preferred_affinity: dict[Term, Counts] = {}
        self.preferred_anti: dict[Term, Counts] = {}
        self.host_ports: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
        self.images: dict[str, dict[int, int]] = {}
        self._orphans: dict[str, dict[str, PodInfo]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self.rows)

    # -- nodes ------------------------------------------------------------------------------------------------------

    def set_node(self, node: Obj) -> int:
        """Add or update a node; returns its row."""
        name = meta.name(node)
        row = self.rows.get(name)
        if row is None:
            row = self._take_row(name)
        old = self.objects[row]
        self.objects[row] = node
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.unschedulable[row] = bool(spec.get("unschedulable"))
        self.taints[row] = self._taint_number(
            tuple((t["key"], t.get("value") or "", t["effect"]) for t in spec.get("taints") or [])
        )
        self.allocatable[row] = 0
        for resource, text in (status.get("allocatable") or {}).items():
            number = self.column(resource)  # first: it may replace the array by a wider one
            self.allocatable[row, number] = amount(resource, text)
        labels = meta.labels(node)
        for key, column in self._columns.items():
            column.set(row, labels.get(key))
        self._set_images(row, old, status.get("images") or [])
        for pod in self._orphans.pop(name, {}).values():
            self.add_pod(pod, name)
        return row

    def remove_node(self, name: str) -> None:
        """Forget a node; pods still bound to it wait for its return."""
        row = self.rows.get(name)
        if row is None:
            return
        for pod in list(self.pods[row].values()):
            self.remove_pod(pod, name)
            self._orphans[name][pod.uid] = pod
        self._set_images(row, self.objects[row], [])
        for column in self._columns.values():
            column.set(row, None)
        self.pods.pop(row, None)
        self.valid[row] = self.unschedulable[row] = False
        self.allocatable[row] = 0
        self.taints[row] = 0
        self.objects[row], self.names[row] = None, ""
        del self.rows[name]
        self._free.append(row)

    def _take_row(self, name: str) -> int:
        if not self._free:
            self._grow()
        row = self._free.pop()
        self.rows[name], self.names[row] = row, name
        self.valid[row] = True
        return row

    def _grow(self) -> None:
        """Double the number of rows."""
        before = len(self.names)
        self.names += [""] * before
        self.objects += [None] * before
        for attribute in ("valid", "unschedulable", "allocatable", "used", "scoring_used", "taints"):
            array = getattr(self, attribute)
            setattr(self, attribute, np.concatenate([array, np.zeros_like(array)]))
        for column in self._columns.values():
            column.codes = np.concatenate([column.codes, np.full(before, -1, dtype=np.int64)])
        self._free = list(range(2 * before - 1, before - 1, -1))

    def _taint_number(self, taints: tuple[Taint, ...]) -> int:
        number = self._taint_numbers.get(taints)
        if number is None:
            number = self._taint_numbers[taints] = len(self.taint_sets)
            self.taint_sets.append([{"key": key, "value": value, "effect": effect} for key, value, effect in taints])
        return number

    def _set_images(self, row: int, old: Obj | None, images: Iterable[Obj]) -> None:
        for image in ((old or {}).get("status") or {}).get("images") or []:
            for name in image.get("names") or []:
                sizes = self.images.get(name)
                if sizes is not None:
                    sizes.pop(row, None)
                    if not sizes:
                        del self.images[name]
        for image in images:
            for name in image.get("names") or []:
                self.images.setdefault(name, {})[row] = image.get("sizeBytes") or 0

    # -- columns ----------------------------------------------------------------------------------------------------

    def column(self, resource: str) -> int:
        """The column of a resource, made when it is first heard of."""
        number = self.resources.get(resource)
        if number is None:
            number = self.resources[resource] = len(self.resources)
            for attribute in ("allocatable", "used"):
                array = getattr(self, attribute)
                setattr(self, attribute, np.concatenate([array, np.zeros((len(array), 1), dtype=np.int64)], axis=1))
        return number

    def label(self, key: str) -> LabelColumn:
        """The column of a label key."""
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = LabelColumn(len(self.names))
            for name, row in self.rows.items():
                node = self.objects[row]
                column.set(row, meta.labels(node or {}).get(key))
                assert self.names[row] == name
        return column

    def matching(self, selector: selectors.LabelSelector) -> Mask:
        """Which nodes have labels that the selector matches; each distinct value is looked at once."""
        out = self.valid.copy()
        if selector.nothing:
            out[:] = False
        for requirement in selector.requirements:
            column = self.label(requirement.key)
            verdicts = np.zeros(len(column.vocabulary) + 1, dtype=bool)
            for value, code in column.vocabulary.items():
                verdicts[code] = requirement.matches({requirement.key: value})
            verdicts[-1] = requirement.matches({})
            out &= verdicts[column.codes]
        return out

    # -- pods -------------------------------------------------------------------------------------------------------

    def add_pod(self, pod: PodInfo, node: str) -> None:
        """Count a pod on its node."""
        row = self.rows.get(node)
        if row is None:
            self._orphans[node][pod.uid] = pod
        elif pod.uid not in self.pods[row]:
            self.pods[row][pod.uid] = pod
            self._count(pod, row, 1)

    def remove_pod(self, pod: PodInfo, node: str) -> None:
        """Stop counting a pod."""
        row = self.rows.get(node)
        if row is None:
            self._orphans[node].pop(pod.uid, None)
        elif (known := self.pods[row].pop(pod.uid, None)) is not None:
            self._count(known, row, -1)

    def _count(self, pod: PodInfo, row: int, by: int) -> None:
        self.used[row, 0] += by
        for resource, number in pod.requests.items():
            column = self.column(resource)
            self.used[row, column] += by * number
        self.scoring_used[row, 0] += by * pod.scoring.get("cpu", 0)
        self.scoring_used[row, 1] += by * pod.scoring.get("memory", 0)
        _change(self.classes, pod.signature, row, by)
        if meta.is_deleting(pod.pod):
            _change(self.deleting, pod.signature, row, by)
        for table, terms in (
            (self.required_affinity, pod.terms.required_affinity),
            (self.required_anti, pod.terms.required_anti),
            (self.preferred_affinity, pod.terms.preferred_affinity),
            (self.preferred_anti, pod.terms.preferred_anti),
        ):
            for term in terms:
                _change(table, term, row, by)
        for port in pod.host_ports:
            self._count_port(port, row, by)

    def _count_port(self, port: HostPort, row: int, by: int) -> None:
        by_row = self.host_ports.setdefault((port.protocol, port.port), {})
        addresses = by_row.setdefault(row, {})
        addresses[port.ip] = addresses.get(port.ip, 0) + by
        if not addresses[port.ip]:
            del addresses[port.ip]
        if not addresses:
            del by_row[row]

    def pods_on(self, node: str) -> list[PodInfo]:
        """The pods counted on a node."""
        row = self.rows.get(node)
        return [] if row is None else list(self.pods[row].values())

    def count_pods(self, selector: selectors.LabelSelector, namespace: str) -> Ints:
        """How many pods of `namespace` that are not being deleted match, per node."""
        total = np.zeros(len(self.names), dtype=np.int64)
        for sign, table in ((1, self.classes), (-1, self.deleting)):
            for signature, counts in table.items():
                if signature[0] == namespace and selector.matches(dict(signature[1])):
                    _pour(counts, total, sign)
        return total

    def count_term(self, term: Term, namespaces: Mapping[str, Mapping[str, str]]) -> Ints:
        """How many pods an affinity term speaks of, per node."""
        total = np.zeros(len(self.names), dtype=np.int64)
        for (namespace, labels), counts in self.classes.items():
            if term.matches(namespace, dict(labels), namespaces.get(namespace, {})):
                _pour(counts, total, 1)
        return total

    def spread(self, counts: Ints, topology_key: str) -> Ints:
        """For each node, the sum of `counts` over all nodes of its topology domain; 0 where it has none."""
        column = self.label(topology_key)
        inside = column.codes >= 0
        sums = np.zeros(len(column.vocabulary) + 1, dtype=np.int64)
        np.add.at(sums, column.codes[inside], counts[inside])
        return np.where(inside, sums[column.codes], 0)

    def pour(self, counts: Mapping[int, int]) -> Ints:
        """Counts per row as an array over all rows."""
        total = np.zeros(len(self.names), dtype=np.int64)
        _pour(counts, total, 1)
        return total


def _change(table: dict[K, Counts], key: K, row: int, by: int) -> None:
    counts = table.get(key)
    if counts is None:
        counts = table[key] = Counts()
    counts.change(row, by)
    if not counts:
        del table[key]


def _pour(counts: Mapping[int, int], total: Ints, sign: int) -> None:
    if counts:
        rows = np.fromiter(counts.keys(), dtype=np.int64, count=len(counts))
        total[rows] += sign * np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
