"""PodTolerationRestriction: what the pods of a namespace tolerate by default, and what they may."""

import json
from typing import Any

from pynetes.machinery.errors import StatusError
from pynetes.testing.apiserver import running_apiserver

ALPHA = "scheduler.alpha.kubernetes.io"


def tolerates(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "operator": "Exists", **more}


async def test_a_namespace_gives_tolerations_and_limits_them() -> None:
    given, allowed = [tolerates("team", effect="NoSchedule")], [tolerates("team"), tolerates("node.kubernetes.io/x")]
    allowed += [tolerates(f"node.kubernetes.io/{each}") for each in ("not-ready", "unreachable", "memory-pressure")]
    annotations = {
        f"{ALPHA}/defaultTolerations": json.dumps(given),
        f"{ALPHA}/tolerationsWhitelist": json.dumps(allowed),
    }
    options: dict[str, Any] = {
        "enable_admission_plugins": ["PodTolerationRestriction"],
        "disable_admission_plugins": ["ServiceAccount"],
    }
    async with running_apiserver(**options) as server:
        client = server.client()
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "annotations": annotations}}
        await client.create("namespaces", namespace)

        async def made(name: str, *tolerations: dict[str, Any], **resources: Any) -> list[dict[str, Any]]:
            spec = {
                "containers": [{"name": "c", "image": "i", "resources": resources}],
                "tolerations": list(tolerations),
            }
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
            listed: list[dict[str, Any]] = (await client.create("pods", pod, "n"))["spec"]["tolerations"]
            return [each for each in listed if each["key"] not in NODE_TROUBLE]

        assert await made("plain") == given
        assert await made("wider", tolerates("team")) == [tolerates("team")]
        pressure = tolerates("node.kubernetes.io/memory-pressure", effect="NoSchedule")
        assert await made("burstable", requests={"cpu": "1"}) == [*given, pressure]
        try:
            await made("refused", tolerates("other"))
        except StatusError as error:
            assert (error.code, error.message) == (
                500,
                "pod tolerations (possibly merged with namespace default tolerations) "
                "conflict with its namespace whitelist",
            )
        else:
            raise AssertionError("it was admitted")


NODE_TROUBLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
