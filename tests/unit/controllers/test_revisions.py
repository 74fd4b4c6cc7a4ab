"""The data of ControllerRevisions, which clients compare byte by byte."""

import json

from pynetes.controllers.revisions import data_of

OWNER = {
    "spec": {
        "template": {
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {}}], "dnsPolicy": "ClusterFirst"},
            "metadata": {"labels": {"b": "2", "a": "1"}},
        }
    }
}


def test_the_data_has_the_bytes_that_upstream_s_clients_make() -> None:
    assert json.dumps(data_of(OWNER), separators=(",", ":")) == (
        '{"spec":{"template":{"$patch":"replace",'
        '"metadata":{"creationTimestamp":null,"labels":{"a":"1","b":"2"}},'
        '"spec":{"containers":[{"image":"i","name":"c","resources":{}}],"dnsPolicy":"ClusterFirst"}}}}'
    )


def test_the_owner_is_left_as_it_was() -> None:
    before = json.dumps(OWNER)
    data_of(OWNER)
    assert json.dumps(OWNER) == before
