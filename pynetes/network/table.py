"""One nftables table, kept equal to what its owners want, by transactions of only what changed.

An owner (a service, the policies, the static skeleton) claims a `Fragment`: chains, sets and elements. `Plan` holds
the claims and what was last written; `Plan.transaction` gives the netlink messages between the two. What a change
costs depends on the fragment that changed, never on how many others there are.

Two owners may claim the same element (two services with one external IP and port): the first in the order of their
names has it, the other gets it when the first lets go. The kernel applies a transaction whole or not at all, so no
packet ever sees half a change.
"""

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pynetes.network import netlink, nft
from pynetes.network.netlink import Message, NetfilterSocket
from pynetes.network.nft import Element, Rule, SetSpec, Verdict

Hook = tuple[str, int, int]
Data = bytes | Verdict
ElementKey = tuple[str, bytes]


@dataclass(slots=True)
class Fragment:
    """What one owner wants in the table.

    `shared` are chains that any number of owners may want, the same for all of them by name; they are made on the
    first request and stay.
    """

    sets: dict[str, SetSpec] = field(default_factory=dict)
    chains: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)
    shared: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    elements: dict[ElementKey, Data] = field(default_factory=dict)

    def chain(self, name: str, *rules: Rule, hook: Hook | None = None) -> None:
        """Add a chain with its rules."""
        self.chains[name] = rules
        if hook is not None:
            self.hooks[name] = hook

    def element(self, set_name: str, key: bytes, data: Data = b"") -> None:
        """Add an element."""
        self.elements[set_name, key] = data


class Plan:
    """All fragments of a table, what of them the kernel has, and the way from one to the other."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._fragments: dict[str, Fragment] = {}
        self._owners: dict[ElementKey, str] = {}
        self._contested: dict[ElementKey, set[str]] = {}
        self._sets: dict[str, SetSpec] = {}
        self._chains: dict[str, str] = {}  # name → owner
        self._dirty_chains: set[str] = set()
        self._dirty_elements: dict[ElementKey, Data | None] = {}
        self._dirty_sets: set[str] = set()
        self._written_sets: dict[str, SetSpec] = {}
        self._written_chains: dict[str, Hook | None] = {}

    @property
    def sets(self) -> dict[str, SetSpec]:
        """The sets that fragments ask for now."""
        return self._sets

    def elements(self, set_name: str) -> dict[bytes, Data]:
        """The elements that a set should have (for tests and status)."""
        return {
            key: self._fragments[owner].elements[set_name, key]
            for (name, key), owner in self._owners.items()
            if name == set_name
        }

    def put(self, owner: str, fragment: Fragment | None) -> None:
        """Replace what `owner` claims; None releases all of it."""
        for name, rules in fragment.shared.items() if fragment else ():
            if name not in self._chains:
                self.put(f"shared {name}", Fragment(chains={name: rules}))
        old = self._fragments.pop(owner, None) or Fragment()
        new = fragment or Fragment()
        if fragment is not None:
            self._fragments[owner] = fragment
        for name in old.chains.keys() | new.chains.keys():
            if old.chains.get(name) != new.chains.get(name):
                self._dirty_chains.add(name)
            self._chains.pop(name, None)
        self._chains.update(dict.fromkeys(new.chains, owner))
        for name in old.sets.keys() | new.sets.keys():
            if old.sets.get(name) != new.sets.get(name):
                self._dirty_sets.add(name)
                self._sets.pop(name, None)
        self._sets.update(new.sets)
        for key, data in old.elements.items():
            if new.elements.get(key) != data:
                self._release(key, owner, data)
        for key, data in new.elements.items():
            if old.elements.get(key) != data:
                self._claim(key, owner)

    def _release(self, key: ElementKey, owner: str, data: Data) -> None:
        rivals = self._contested.get(key)
        if rivals is not None:
            rivals.discard(owner)
            if len(rivals) <= 1:
                del self._contested[key]
        if self._owners.get(key) != owner:
            return
        self._dirty_elements.setdefault(key, data)
        if rivals:
            self._owners[key] = min(rivals)
        else:
            del self._owners[key]

    def _claim(self, key: ElementKey, owner: str) -> None:
        holder = self._owners.get(key)
        if holder is None:
            self._owners[key] = owner
            self._dirty_elements.setdefault(key, None)
        elif holder != owner:
            self._contested.setdefault(key, {holder}).add(owner)
            if owner < holder:
                self._dirty_elements.setdefault(key, self._fragments[holder].elements[key])
                self._owners[key] = owner

    def transaction(self) -> list[Message]:
        """The messages from what is written to what is wanted; call `written` when the kernel has taken them."""
        table = self.table
        gone_sets = [n for n in self._dirty_sets if n in self._written_sets and n not in self._sets]
        remade = {n for n in self._dirty_sets if n in self._written_sets and n in self._sets}
        changed_sets = [n for n in remade if self._written_sets[n] != self._sets[n]]
        if changed_sets:
            raise ValueError(f"a set cannot change its type in place: {changed_sets}")
        new_sets = [n for n in self._dirty_sets if n in self._sets and n not in self._written_sets]
        new_chains = [n for n in self._dirty_chains if n in self._chains and n not in self._written_chains]
        gone_chains = [n for n in self._dirty_chains if n not in self._chains and n in self._written_chains]
        hooks, rules = self._chain_contents()

        messages = [nft.new_set(table, name, self._sets[name]) for name in new_sets]
        messages += [nft.new_chain(table, name, hooks.get(name)) for name in new_chains]
        messages += self._element_changes(gone_sets)
        flushed = [n for n in self._dirty_chains if n in self._written_chains]
        messages += [nft.flush_chain(table, name) for name in flushed]
        messages += _rule_messages(table, rules)
        messages += self._element_additions()
        messages += [nft.delete_chain(table, name) for name in gone_chains]
        messages += [nft.delete_set(table, name) for name in gone_sets]
        return messages

    def written(self) -> None:
        """Take note that the last `transaction` is in the kernel."""
        hooks, _ = self._chain_contents()
        for name in self._dirty_chains:
            if name in self._chains:
                self._written_chains[name] = hooks.get(name)
            else:
                self._written_chains.pop(name, None)
        for name in self._dirty_sets:
            if name in self._sets:
                self._written_sets[name] = self._sets[name]
            else:
                self._written_sets.pop(name, None)
        self._dirty_chains.clear()
        self._dirty_sets.clear()
        self._dirty_elements.clear()

    def rebuild(self, chains: Iterable[str], sets: Iterable[str], keep: Iterable[str]) -> list[Message]:
        """One transaction that replaces a table found in the kernel (its `chains` and `sets`) by what is wanted.

        The sets in `keep` stay with their elements: that is how client affinity outlives the agent.
        """
        kept = {name for name in keep if name in self._sets}
        table = self.table
        messages = [nft.flush_chain(table)] if chains else []
        messages += [nft.delete_set(table, name) for name in sets if name not in kept]
        messages += [nft.delete_chain(table, name) for name in chains]
        self._written_sets = {name: self._sets[name] for name in kept}
        self._written_chains = {}
        self._dirty_chains = set(self._chains)
        self._dirty_sets = set(self._sets) - kept
        self._dirty_elements = dict.fromkeys(self._owners)
        return [nft.new_table(table), *messages, *self.transaction()]

    def _chain_contents(self) -> tuple[dict[str, Hook], dict[str, tuple[Rule, ...]]]:
        """Hooks and rules of the chains that are dirty and wanted."""
        hooks: dict[str, Hook] = {}
        rules: dict[str, tuple[Rule, ...]] = {}
        for name in self._dirty_chains & self._chains.keys():
            fragment = self._fragments[self._chains[name]]
            rules[name] = fragment.chains[name]
            if name in fragment.hooks:
                hooks[name] = fragment.hooks[name]
        return hooks, rules

    def _element_changes(self, gone_sets: list[str]) -> Iterator[Message]:
        gone: dict[str, list[bytes]] = {}
        for (name, key), before in self._dirty_elements.items():
            if before is not None and name in self._written_sets and name not in gone_sets:
                if before != self._wanted((name, key)):
                    gone.setdefault(name, []).append(key)
        for name, keys in gone.items():
            yield from nft.delete_elements(self.table, name, self._written_sets[name], keys)

    def _element_additions(self) -> Iterator[Message]:
        new: dict[str, list[Element]] = {}
        for element, before in self._dirty_elements.items():
            wanted = self._wanted(element)
            if wanted is not None and wanted != before:
                new.setdefault(element[0], []).append((element[1], wanted))
        for name, elements in new.items():
            yield from nft.add_elements(self.table, name, self._sets[name], elements)

    def _wanted(self, element: ElementKey) -> Data | None:
        owner = self._owners.get(element)
        return None if owner is None else self._fragments[owner].elements[element]


def _rule_messages(table: str, chains: dict[str, tuple[Rule, ...]]) -> Iterator[Message]:
    number = 1
    for name, rules in chains.items():
        for rule in rules:
            yield from nft.new_rule(table, name, rule, number)
            number += len(rule)


class KernelTable:
    """The table in the kernel of the network namespace in which this object is made."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._socket = NetfilterSocket()
        self._fresh = True

    def sync(self) -> int:
        """Bring the kernel to the plan; returns the number of messages that took. Blocks while the kernel works."""
        if self._fresh:
            messages = self._replace()
        else:
            messages = self._plan.transaction()
        try:
            self._socket.transact(messages)
        except netlink.NetlinkError:
            self._fresh = True  # somebody changed the table, or we misread it: start again from what is there
            raise
        self._plan.written()
        self._fresh = False
        return len(messages)

    def present(self) -> bool:
        """Whether the table is still there; if not, the next `sync` writes all of it."""
        here = self._plan.table in (self._name(body, 1) for body in [*self._socket.dump(nft.get_tables())])
        self._fresh = self._fresh or not here
        return here

    @staticmethod
    def tables() -> list[str]:
        """The names of all IPv4 tables in this network namespace."""
        query = NetfilterSocket()
        try:
            return [KernelTable._name(body, 1) for body in query.dump(nft.get_tables())]
        finally:
            query.close()

    def _replace(self) -> list[Message]:
        if not self.present():
            return self._plan.rebuild((), (), ())
        chains = [self._name(body, 3) for body in self._dump(nft.get_chains(self._plan.table))]
        found = {self._name(body, 2): netlink.parse(body) for body in self._dump(nft.get_sets(self._plan.table))}
        named = {name: about for name, about in found.items() if not int.from_bytes(about.get(3, b""), "big") & 1}
        keep = [
            name
            for name, attributes in named.items()
            if (spec := self._plan.sets.get(name)) is not None and spec.dynamic and nft.is_like(spec, attributes)
        ]
        return self._plan.rebuild(chains, named, keep)

    def _dump(self, message: Message) -> Iterator[bytes]:
        for body in self._socket.dump(message):
            if netlink.parse(body).get(1) == self._plan.table.encode() + b"\0":
                yield body

    @staticmethod
    def _name(body: bytes, kind: int) -> str:
        return netlink.parse(body)[kind].rstrip(b"\0").decode()

    def remove(self) -> None:
        """Delete the table, if it is there."""
        try:
            self._socket.transact([nft.delete_table(self._plan.table)])
        except netlink.NetlinkError as error:
            if error.errno != errno.ENOENT:
                raise

    def close(self) -> None:
        """Close the socket; the table stays."""
        self._socket.close()
