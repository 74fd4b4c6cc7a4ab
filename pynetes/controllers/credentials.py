"""Acting as a controller's own service account, so that each may do only what its role allows.

A token is asked for when a controller first speaks, and again when four fifths of its life are over or when it
is refused. The account is made if it is not there.
"""

import asyncio

from pynetes.client.client import Client
from pynetes.controllers.controller import ignore_not_found
from pynetes.machinery import clock
from pynetes.machinery.errors import StatusError

NAMESPACE = "kube-system"
_LIFETIME_SECONDS = 3600


class AccountTokens:
    """The current token of one account in kube-system."""

    def __init__(self, client: Client, account: str) -> None:
        self._client = client
        self._account = account
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def __call__(self) -> str:
        async with self._lock:
            if clock.monotonic() >= self._renew_at:
                await self._renew()
        return self._token

    def reject(self, token: str) -> None:
        """The account was made anew, or the server has new keys: ask for another at once."""
        if token == self._token:
            self._renew_at = 0.0

    async def _renew(self) -> None:
        answer = await ignore_not_found(self._request())
        if answer is None:
            await self._make_account()
            answer = await self._request()
        self._token = answer["status"]["token"]
        expires = clock.parse_time(answer["status"]["expirationTimestamp"])
        life = (expires - clock.now()).total_seconds()
        self._renew_at = clock.monotonic() + life * 0.8

    async def _request(self) -> dict[str, dict[str, str]]:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _LIFETIME_SECONDS},
        }
        return await self._client.create("serviceaccounts", body, NAMESPACE, name=self._account, subresource="token")

    async def _make_account(self) -> None:
        try:
            await self._client.create("serviceaccounts", {"metadata": {"name": self._account}}, NAMESPACE)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise


def account_client(client: Client, account: str) -> Client:
    """A client that acts as `account`."""
    agent = f"kube-controller-manager/pynetes/system:serviceaccount:{NAMESPACE}:{account}"
    return client.acting_as(AccountTokens(client, account), agent)
