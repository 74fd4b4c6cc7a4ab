"""`projected` volumes: ConfigMaps, Secrets, the downward API, tokens and trust bundles in one directory.

A service account token is asked for anew when four fifths of its life, or a day, have passed; the volume tells its
pod when that will be, so nobody polls.
"""

from collections.abc import Mapping
from typing import Any

from pynetes.kubelet import spec
from pynetes.kubelet.volumes import trust_bundles
from pynetes.kubelet.volumes.atomic import Entry
from pynetes.kubelet.volumes.base import FileVolume, VolumeError
from pynetes.kubelet.volumes.config_map import config_map_entries
from pynetes.kubelet.volumes.downward_api import downward_entries
from pynetes.kubelet.volumes.secret import secret_entries
from pynetes.machinery import clock
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

DEFAULT_TOKEN_SECONDS = 3600
RENEW_AFTER = 0.8
RENEW_AT_LEAST = 24 * 3600.0


class ProjectedVolume(FileVolume):
    """Several sources, one directory; the later source wins a contested path."""

    plugin = "kubernetes.io/projected"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tokens: dict[tuple[str, int], tuple[str, float]] = {}

    async def entries(self) -> Mapping[str, Entry]:
        default_mode = self.source.get("defaultMode")
        entries: dict[str, Entry] = {}
        failures: list[str] = []
        for source in self.source.get("sources") or []:
            try:
                entries |= await self._source(source, default_mode)
            except VolumeError as error:
                failures.append(str(error))
        if failures:
            told = list(dict.fromkeys(failures))
            raise VolumeError(told[0] if len(told) == 1 else f"[{', '.join(told)}]")
        return entries

    async def _source(self, source: Obj, default_mode: object) -> dict[str, Entry]:
        if part := source.get("configMap"):
            return await config_map_entries(part, self.context, default_mode)
        if part := source.get("secret"):
            return await secret_entries(part.get("name", ""), part, self.context, default_mode)
        if part := source.get("downwardAPI"):
            return downward_entries(part, self.context, default_mode)
        if part := source.get("serviceAccountToken"):
            return await self._token(part, default_mode)
        if part := source.get("clusterTrustBundle"):
            return await self._trust_bundle(part, default_mode)
        return {}

    async def _token(self, source: Obj, default_mode: Any) -> dict[str, Entry]:
        seconds = source.get("expirationSeconds") or DEFAULT_TOKEN_SECONDS
        key = (source.get("audience") or "", seconds)
        token, renew_at = self._tokens.get(key, ("", 0.0))
        if clock.time() >= renew_at:
            try:
                status = await self.context.request_token(self.context.pod, *key)
            except (StatusError, ConnectionError) as error:
                if not token:
                    raise VolumeError(f"failed to fetch token: {error}") from None
                self.context.refresh_at(self.name, clock.time() + 10)
            else:
                expires = clock.parse_time(status["expirationTimestamp"]).timestamp()
                life = expires - clock.time()
                token, renew_at = status["token"], clock.time() + min(life * RENEW_AFTER, RENEW_AT_LEAST)
                self._tokens[key] = (token, renew_at)
        if renew_at > clock.time():
            self.context.refresh_at(self.name, renew_at)
        mode, owner = (0o644 if default_mode is None else int(default_mode)), self._common_user()
        if self.context.fs_group is not None or owner is not None:
            mode = 0o600
        return {source["path"]: Entry(token.encode(), mode, uid=owner)}

    def _common_user(self) -> int | None:
        """The user that runs every container of the pod, if it is one and the same."""
        pod = self.context.pod
        users = {spec.security(pod, container, "runAsUser") for container in spec.all_containers(pod)}
        return users.pop() if len(users) == 1 else None

    async def _trust_bundle(self, source: Obj, default_mode: Any) -> dict[str, Entry]:
        mode = 0o644 if default_mode is None else int(default_mode)
        bundles = await self.context.trust_bundles()
        return {source["path"]: Entry(trust_bundles.anchors(trust_bundles.chosen(source, bundles)), mode)}

    def uses(self) -> set[tuple[str, str]]:
        used = set()
        if any(source.get("clusterTrustBundle") for source in self.source.get("sources") or []):
            used.add((trust_bundles.RESOURCE, ""))
        for source in self.source.get("sources") or []:
            if part := source.get("configMap"):
                used.add(("configmaps", part["name"]))
            if part := source.get("secret"):
                used.add(("secrets", part["name"]))
        return used

    def shows_pod(self) -> bool:
        return any("downwardAPI" in source for source in self.source.get("sources") or [])
