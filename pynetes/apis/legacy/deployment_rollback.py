"""What was posted to `deployments/NAME/rollback`: which revision's template to bring back."""

from pynetes.apis.legacy.shape import INT64, STRING, Json, text_map
from pynetes.machinery.resources import Subresource

VERSIONS = ("extensions/v1beta1", "apps/v1beta1")
KIND = "DeploymentRollback"


def subresource(api_version: str) -> Subresource:
    """The subresource in one of its versions."""
    group, _, version = api_version.rpartition("/")
    return Subresource("rollback", group, version, KIND, ("create",))


def definition(api_version: str) -> str:
    """The name of its definition in one of its versions."""
    group, _, version = api_version.rpartition("/")
    return f"io.k8s.api.{group}.{version}.{KIND}"


def _schema(api_version: str) -> Json:
    group, _, version = api_version.rpartition("/")
    return {
        "type": "object",
        "required": ["name", "rollbackTo"],
        "properties": {
            "apiVersion": STRING,
            "kind": STRING,
            "name": STRING,
            "rollbackTo": {"type": "object", "properties": {"revision": INT64}},
            "updatedAnnotations": text_map(),
        },
        "x-kubernetes-group-version-kind": [{"group": group, "kind": KIND, "version": version}],
    }


DEFINITIONS = {definition(each): _schema(each) for each in VERSIONS}
PROSE = {
    name: {
        "": "A wish to bring back the template of a former revision of a Deployment.",
        "name": "The name of the Deployment.",
        "rollbackTo": "The revision to go back to; the one before this if it names none.",
        "updatedAnnotations": "Annotations to set on the Deployment.",
    }
    for name in DEFINITIONS
}
