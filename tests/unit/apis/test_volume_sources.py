"""Sources of volumes: what is refused, and at which path."""

import pytest

CONTAINER = {"name": "app", "image": "example/app"}
PATH = "spec.volumes[0].projected"
BUNDLE = f"{PATH}.sources[0].clusterTrustBundlePEM"


@pytest.mark.parametrize(
    ("sources", "errors"),
    [
        ([{}], []),
        (
            [{"secret": {"name": "s"}, "configMap": {"name": "c"}}],
            [f"{PATH}.sources[0]: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            [
                {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
                {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}},
                {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            ],
            [
                f'{PATH}: Invalid value: "c": conflicting duplicate paths',
                f'{PATH}: Invalid value: "p": conflicting duplicate paths',
            ],
        ),
        ([{"serviceAccountToken": {}}], [f"{PATH}.path: Required value"]),
        (
            [{"clusterTrustBundle": {"path": "t", "name": "a", "labelSelector": {}}}],
            [f"{BUNDLE}.labelSelector: Invalid value: {{}}: labelSelector must be unset if name is specified"],
        ),
        (
            [{"clusterTrustBundle": {"path": "t", "name": ""}}],
            [f"{BUNDLE}.name: Required value: must be a valid object name"],
        ),
        (
            [{"clusterTrustBundle": {"path": "t"}}],
            [f"{BUNDLE}: Required value: either name or signerName must be specified"],
        ),
        (
            [{"clusterTrustBundle": {"path": "t", "signerName": "x"}}],
            [
                f'{BUNDLE}.signerName: Invalid value: "x": must be a fully qualified domain and path of the form '
                "'example.com/signer-name'"
            ],
        ),
    ],
)
def test_projected_sources(create, sources, errors):
    volume = {"name": "v", "projected": {"sources": sources}}
    assert create("pods", {"spec": {"containers": [CONTAINER], "volumes": [volume]}}).errors == errors


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("iqn.2015-06.com.example.test:target00", None),
        ("eui.0123456789abcdef", None),
        ("disk", "must be valid format starting with iqn, eui, or naa"),
        ("iqn.2015-06", "must be valid format"),
        ("naa.62004567ba64678d", "must be valid format"),
    ],
)
def test_iscsi_names(create, name, detail):
    volume = {"name": "v", "iscsi": {"targetPortal": "127.0.0.1", "iqn": name, "lun": 1}}
    errors = create("pods", {"spec": {"containers": [CONTAINER], "volumes": [volume]}}).errors
    assert errors == ([] if detail is None else [f'spec.volumes[0].iscsi.iqn: Invalid value: "{name}": {detail}'])
