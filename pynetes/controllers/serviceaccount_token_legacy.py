"""A token Secret for every service account, as Kubernetes made them before v1.24.

Off unless the feature gate `LegacyServiceAccountTokenNoAutoGeneration` is turned off: what was written for those
versions expects each account to list a Secret with a token of its own. `serviceaccount_token` fills the Secrets.
"""

from collections.abc import Iterable

from pynetes.controllers.controller import Context, Controller, ignore_not_found
from pynetes.controllers.serviceaccount_token import ACCOUNT_NAME, ACCOUNT_UID, TYPE
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

GATE = "LegacyServiceAccountTokenNoAutoGeneration"


class LegacyTokenGenerator(Controller):
    """Makes the missing Secrets and lists them in their accounts."""

    name = "legacy-serviceaccount-token-generator"
    acts_as_manager = True
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._on = not context.options.gate(GATE, True)
        self.accounts = self.watch("serviceaccounts", self._account_changed)

    def _account_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return (meta.key(new),) if self._on and new is not None else ()

    async def reconcile(self, key: str) -> None:
        account = self.accounts.get(key)
        if account is None or meta.is_deleting(account):
            return
        namespace, name = meta.split_key(key)
        existing = await self.client.list("secrets", namespace, field_selector=f"type={TYPE}")
        mine = [s for s in existing.items if meta.annotations(s).get(ACCOUNT_UID) == meta.uid(account)]
        listed = account.get("secrets") or []
        if {meta.name(secret) for secret in mine} & {reference.get("name") for reference in listed}:
            return
        secret = mine[0] if mine else await self._create(account, namespace, name)
        with_it = {**account, "secrets": [*listed, {"name": meta.name(secret)}]}
        await ignore_not_found(self.client.update("serviceaccounts", with_it))

    async def _create(self, account: Obj, namespace: str, name: str) -> Obj:
        draft = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": f"{name}-token-{meta.random_suffix(5)}",
                "annotations": {ACCOUNT_NAME: name, ACCOUNT_UID: meta.uid(account)},
            },
            "type": TYPE,
        }
        return await self.client.create("secrets", draft, namespace=namespace)
