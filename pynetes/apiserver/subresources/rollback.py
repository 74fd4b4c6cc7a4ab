"""Rolling a Deployment back as clients did before they did it themselves (`deployments/rollback`, in old versions).

The wish is written into the Deployment; the Deployment controller fulfils it.
"""

from typing import TYPE_CHECKING

from pynetes.apis.legacy import deployment_rollback
from pynetes.apiserver import bodies, negotiate, parameters
from pynetes.apiserver.request import Request, Response
from pynetes.apiserver.subresources import subresource
from pynetes.machinery import errors, meta
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer


@subresource("deployments.extensions", "rollback", verbs=("create",))
@subresource("deployments.apps", "rollback", verbs=("create",))
async def roll_back(request: Request, server: "ApiServer", rt: ResourceType, namespace: str, name: str) -> Response:
    """Ask for a former revision of the Deployment in the path."""
    if rt.subresource("rollback") is None:
        raise errors.path_not_found()
    ctx = parameters.context(request, "CreateOptions")
    target = deployment_rollback.definition(rt.api_version)
    raw = negotiate.body_json(request, deployment_rollback.KIND)
    wish = bodies.decode_as(raw, target, rt.api_version, deployment_rollback.KIND, ctx)
    if wish.get("name", "") != name:
        raise errors.bad_request(f"name in URL ({name}) does not match name in DeploymentRollback ({wish.get('name')})")

    def wished(deployment: Obj) -> None:
        deployment["spec"]["rollbackTo"] = dict(wish.get("rollbackTo") or {})
        annotations = {**meta.annotations(deployment), **(wish.get("updatedAnnotations") or {})}
        if annotations:
            deployment["metadata"]["annotations"] = annotations

    await server.registry.update(rt, namespace, name, wished, ctx)
    message = f'rollback request for deployment "{name}" succeeded'
    status: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "message": message}
    return negotiate.object_response(request, status | {"code": 200}, 200)
