"""ClusterRoles with an aggregationRule: their rules are those of all the roles that it selects."""

from collections.abc import Iterable

from pynetes.controllers.controller import Context, Controller
from pynetes.machinery import meta, selectors
from pynetes.machinery.meta import Obj

ROLES = "clusterroles.rbac.authorization.k8s.io"


def aggregate(role: Obj, roles: Iterable[Obj]) -> list[Obj]:
    """The rules that `role` should have, each once, in the order of the roles' names."""
    chosen = [selectors.from_label_selector(each) for each in role["aggregationRule"].get("clusterRoleSelectors") or []]
    rules: list[Obj] = []
    for selector in chosen:
        for other in sorted(roles, key=meta.name):
            if meta.name(other) == meta.name(role) or not selector.matches(meta.labels(other)):
                continue
            rules += [rule for rule in other.get("rules") or [] if rule not in rules]
    return rules


class ClusterRoleAggregationController(Controller):
    """Keeps aggregated ClusterRoles."""

    name = "clusterrole-aggregation-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.roles = self.watch(ROLES, self._changed)

    def _changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return [meta.name(role) for role in self.roles.list() if role.get("aggregationRule")]

    async def reconcile(self, key: str) -> None:
        role = self.roles.get(key)
        if role is None or not role.get("aggregationRule"):
            return
        rules = aggregate(role, self.roles.list())
        if rules != (role.get("rules") or []):
            await self.client.update(ROLES, {**role, "rules": rules})
