"""Objects that remember who asked for them: certificate signing requests.

What a client says about itself in such an object is replaced by what the server knows.
"""

from pynetes.apiserver.registry import Context, Finish, Operation, Registry, on_write
from pynetes.machinery.meta import Obj


@on_write("certificatesigningrequests.certificates.k8s.io")
async def name_the_requester(
    registry: Registry, operation: Operation, new: Obj | None, old: Obj | None, ctx: Context
) -> Finish | None:
    """Write the user of the request into a new object's spec."""
    if operation != "CREATE" or new is None:
        return None
    spec = new.setdefault("spec", {})
    for field in ("username", "uid", "groups", "extra"):
        spec.pop(field, None)
    user = ctx.user
    spec["username"] = user.name
    if user.uid:
        spec["uid"] = user.uid
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    return None
