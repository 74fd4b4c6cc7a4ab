"""Who the server takes a request to be from."""

import base64
import json
from typing import Any

import pytest

from pynetes.machinery import clock
from pynetes.testing.apiserver import RunningApiServer
from pynetes.testing.rest import Rest

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


async def who(rest: Rest, **headers: str) -> dict[str, Any]:
    answer = await rest("POST", WHOAMI, {}, headers={key.replace("_", "-"): value for key, value in headers.items()})
    assert answer.status == 201, answer.body
    info: dict[str, Any] = answer.json["status"]["userInfo"]
    return info


async def token(admin: Rest, namespace: str, account: str = "default", **spec: Any) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    made = await admin.make(path, {"spec": {"expirationSeconds": 600, **spec}})
    text: str = made["status"]["token"]
    return text


async def pod(admin: Rest, namespace: str, name: str = "p") -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n1"}
    return await admin.make(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": name}, "spec": spec})


def claims(text: str) -> dict[str, Any]:
    body = text.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return decoded


async def test_a_client_certificate_names_user_and_groups(admin: Rest) -> None:
    info = await who(admin.as_user("jane", "dev", "ops"))
    assert info["username"] == "jane"
    assert info["groups"] == ["dev", "ops", "system:authenticated"]
    assert info["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


async def test_a_request_without_credentials_is_anonymous_and_sees_only_public_paths(admin: Rest) -> None:
    nobody = admin.with_token("")
    assert (await nobody("GET", "/version")).status == 200
    assert (await nobody("GET", "/readyz")).status == 200
    refused = await nobody("GET", "/api/v1/namespaces")
    assert refused.status == 403
    assert refused.message == (
        'namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group "" '
        "at the cluster scope"
    )


@pytest.mark.parametrize("text", ["nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "abcdef.0123456789abcdef"])
async def test_a_token_that_nobody_knows_is_unauthorized(admin: Rest, text: str) -> None:
    answer = await admin.with_token(text)("GET", "/version")
    assert answer.status == 401
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


async def test_a_service_account_token_stands_for_the_account(admin: Rest, namespace: str) -> None:
    text = await token(admin, namespace)
    info = await who(admin.with_token(text))
    assert info["username"] == f"system:serviceaccount:{namespace}:default"
    assert info["groups"] == ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    said = claims(text)
    assert said["aud"] == ["https://kubernetes.default.svc.cluster.local"]
    assert said["iss"] == "https://kubernetes.default.svc.cluster.local"
    assert said["exp"] - said["iat"] == 600
    assert info["extra"]["authentication.kubernetes.io/credential-id"] == [f"JTI={said['jti']}"]


async def test_a_token_dies_with_its_account_even_if_one_of_that_name_returns(admin: Rest, namespace: str) -> None:
    rest = admin.with_token(await token(admin, namespace))
    assert (await rest("GET", "/version")).status == 200
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await admin("DELETE", f"{path}/default")
    assert (await rest("GET", "/version")).status == 401
    await admin.make(path, {"metadata": {"name": "default"}})
    assert (await rest("GET", "/version")).status == 401


async def test_a_token_bound_to_a_pod_carries_pod_and_node_and_dies_with_the_pod(admin: Rest, namespace: str) -> None:
    made = await pod(admin, namespace)
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
    rest = admin.with_token(await token(admin, namespace, boundObjectRef=reference))
    extra = (await who(rest))["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
    assert extra["authentication.kubernetes.io/pod-uid"] == [made["metadata"]["uid"]]
    assert extra["authentication.kubernetes.io/node-name"] == ["n1"]
    deleted = await admin("DELETE", f"/api/v1/namespaces/{namespace}/pods/p?gracePeriodSeconds=0")
    assert deleted.status == 200, deleted.body
    assert (await rest("GET", "/version")).status == 401


async def test_the_kubelets_usual_token_lasts_a_year_but_says_an_hour(admin: Rest, namespace: str) -> None:
    made = await pod(admin, namespace)
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
    said = claims(await token(admin, namespace, boundObjectRef=reference, expirationSeconds=3607))
    assert said["exp"] - said["iat"] == 365 * 24 * 3600
    assert said["kubernetes.io"]["warnafter"] - said["iat"] == 3607


@pytest.mark.parametrize(
    ("spec", "status", "message"),
    [
        (
            {"expirationSeconds": 599},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: '
            "may not specify a duration less than 10 minutes",
        ),
        ({"expirationSeconds": (1 << 32) + 1}, 422, "may not specify a duration larger than 2^32 seconds"),
        ({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "none"}}, 404, 'pods "none" not found'),
        ({"boundObjectRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}}, 400, "cannot bind token for"),
    ],
)
async def test_a_token_request_that_makes_no_sense(
    admin: Rest, namespace: str, spec: dict[str, Any], status: int, message: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    answer = await admin("POST", path, {"spec": spec})
    assert answer.status == status
    assert message in answer.message


async def test_a_token_request_names_the_account_it_is_for(admin: Rest, namespace: str) -> None:
    account = (await admin("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")).json
    path, uid = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token", account["metadata"]["uid"]
    own = {"name": "default", "namespace": namespace, "uid": uid}
    assert (await admin("POST", path, {"metadata": own, "spec": {}})).status == 201
    other = await admin("POST", path, {"metadata": own | {"name": "other"}, "spec": {}})
    assert other.status == 422
    assert other.message.endswith(
        'metadata.name: Invalid value: "other": must match the service account name if specified'
    )
    earlier = await admin("POST", path, {"metadata": own | {"uid": "earlier"}, "spec": {}})
    assert earlier.status == 409
    assert earlier.message == (
        'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "default": the UID in the token request '
        f"(earlier) does not match the UID of the service account ({uid})"
    )


async def test_a_token_for_somebody_else_is_no_token_here(admin: Rest, namespace: str) -> None:
    text = await token(admin, namespace, audiences=["vault"])
    assert (await admin.with_token(text)("GET", "/version")).status == 401
    review = await admin.make(REVIEWS, {"spec": {"token": text, "audiences": ["vault", "other"]}})
    assert review["status"]["authenticated"] is True
    assert review["status"]["audiences"] == ["vault"]
    assert review["status"]["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    refused = await admin.make(REVIEWS, {"spec": {"token": text}})
    assert "authenticated" not in refused["status"]
    assert refused["status"]["error"].startswith(
        '[invalid bearer token, token audiences ["vault"] is invalid for the target audiences ["'
    )


async def test_an_expired_token_is_refused(server: RunningApiServer, admin: Rest, namespace: str) -> None:
    class Later(clock.SystemClock):
        def time(self) -> float:
            return super().time() + 700

    text = await token(admin, namespace)
    rest = admin.with_token(text)
    assert (await rest("GET", "/version")).status == 200
    with clock.use(Later()):
        assert (await rest("GET", "/version")).status == 401


async def test_a_token_signed_by_another_key_is_refused(admin: Rest, namespace: str) -> None:
    text = await token(admin, namespace)
    head, body, signature = text.split(".")
    forged = dict(claims(text), sub="system:serviceaccount:kube-system:default")
    body = base64.urlsafe_b64encode(json.dumps(forged).encode()).rstrip(b"=").decode()
    assert (await admin.with_token(f"{head}.{body}.{signature}")("GET", "/version")).status == 401


async def test_the_content_of_a_token_secret_works_while_the_secret_holds_it(
    server: RunningApiServer, admin: Rest, namespace: str
) -> None:
    account = (await admin("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")).json
    prefix = "kubernetes.io/serviceaccount/"
    tokens = server.server.service_account_tokens
    assert tokens is not None
    text = tokens.issue(
        {
            "iss": "kubernetes/serviceaccount",
            "sub": f"system:serviceaccount:{namespace}:default",
            f"{prefix}namespace": namespace,
            f"{prefix}secret.name": "legacy",
            f"{prefix}service-account.name": "default",
            f"{prefix}service-account.uid": account["metadata"]["uid"],
        }
    )
    rest = admin.with_token(text)
    assert (await rest("GET", "/version")).status == 401
    secret = {
        "metadata": {"name": "legacy", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token",
        "data": {"token": base64.b64encode(text.encode()).decode()},
    }
    await admin.make(f"/api/v1/namespaces/{namespace}/secrets", secret)
    assert (await who(rest))["username"] == f"system:serviceaccount:{namespace}:default"
    # The day of its use is noted, in the server's own time.
    path, since = f"/api/v1/namespaces/{namespace}/secrets/legacy", "kubernetes.io/legacy-token-last-used"
    await server.server.legacy_tokens.stop()
    assert (await admin("GET", path)).json["metadata"]["labels"] == {since: f"{clock.now():%Y-%m-%d}"}
    tracking = "kube-apiserver-legacy-service-account-token-tracking"
    noted = (await admin("GET", f"/api/v1/namespaces/kube-system/configmaps/{tracking}")).json
    assert noted["data"] == {"since": f"{clock.now():%Y-%m-%d}"}
    # One that was made for the account unasked is warned of.
    assert (await rest("GET", "/version")).warnings == []
    await admin.patch(f"/api/v1/namespaces/{namespace}/serviceaccounts/default", {"secrets": [{"name": "legacy"}]})
    [warning] = (await rest("GET", "/version")).warnings
    assert "instead of auto-generated secret-based tokens." in warning
    invalid = "kubernetes.io/legacy-token-invalid-since"
    await admin.patch(path, {"metadata": {"labels": {invalid: "2026-01-01"}}})
    assert (await rest("GET", "/version")).status == 401
    review = await admin.make("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": text}})
    assert (
        f"the token in secret {namespace}/legacy for service account {namespace}/default has been marked invalid"
        in (review["status"]["error"])
    )
    await admin.patch(path, {"metadata": {"labels": {invalid: None}}})
    assert (await rest("GET", "/version")).status == 200
    await admin("DELETE", path)
    assert (await rest("GET", "/version")).status == 401


async def test_a_bootstrap_token_lets_a_node_ask_to_join(admin: Rest) -> None:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    data = {
        "token-id": encoded("abcdef"),
        "token-secret": encoded("0123456789abcdef"),
        "usage-bootstrap-authentication": encoded("true"),
        "auth-extra-groups": encoded("system:bootstrappers:workers"),
    }
    secret = {"metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token", "data": data}
    await admin.make("/api/v1/namespaces/kube-system/secrets", secret)
    rest = admin.with_token("abcdef.0123456789abcdef")
    info = await who(rest)
    assert info["username"] == "system:bootstrap:abcdef"
    assert set(info["groups"]) == {"system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"}
    assert (await admin.with_token("abcdef.0123456789abcdee")("GET", "/version")).status == 401
    await admin("DELETE", "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef")
    assert (await rest("GET", "/version")).status == 401


async def test_an_administrator_may_act_as_anybody(admin: Rest) -> None:
    headers = {"Impersonate-User": "jane", "Impersonate-Group": "dev", "Impersonate-Extra-Scopes": "view"}
    answer = await admin("POST", WHOAMI, {}, headers=headers)
    info = answer.json["status"]["userInfo"]
    assert info == {"username": "jane", "groups": ["dev", "system:authenticated"], "extra": {"scopes": ["view"]}}
    account = await admin("POST", WHOAMI, {}, headers={"Impersonate-User": "system:serviceaccount:a:b"})
    assert account.json["status"]["userInfo"]["groups"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:a",
        "system:authenticated",
    ]


async def test_acting_as_somebody_takes_the_right_to(admin: Rest) -> None:
    jane = admin.as_user("jane")
    refused = await jane("GET", "/version", headers={"Impersonate-User": "bob"})
    assert refused.status == 403
    assert refused.message == ('forbidden: User "jane" cannot impersonate-on:user-info:get path "/version"')
    refused = await jane("GET", "/api/v1/pods", headers={"Impersonate-User": "system:serviceaccount:ns:bot"})
    assert refused.message == (
        'pods is forbidden: User "jane" cannot impersonate-on:serviceaccount:list resource "pods" '
        'in API group "" at the cluster scope'
    )
    rules = [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"]}]
    base = "/apis/rbac.authorization.k8s.io/v1"
    await admin.make(f"{base}/clusterroles", {"metadata": {"name": "as-bob"}, "rules": rules})
    await admin.make(
        f"{base}/clusterrolebindings",
        {
            "metadata": {"name": "as-bob"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "as-bob"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
        },
    )
    allowed = await jane("POST", WHOAMI, {}, headers={"Impersonate-User": "bob"})
    assert allowed.json["status"]["userInfo"]["username"] == "bob"
    refused = await jane("GET", "/version", headers={"Impersonate-User": "bob", "Impersonate-Group": "system:masters"})
    assert refused.status == 403


async def allow(admin: Rest, name: str, user: str, *rules: dict[str, Any]) -> None:
    base = "/apis/rbac.authorization.k8s.io/v1"
    await admin.make(f"{base}/clusterroles", {"metadata": {"name": name}, "rules": list(rules)})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    await admin.make(
        f"{base}/clusterrolebindings", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    )


def identity(mode: str, resource: str, *only: str) -> dict[str, Any]:
    names = {"resourceNames": list(only)} if only else {}
    rule = {"verbs": [f"impersonate:{mode}"], "apiGroups": ["authentication.k8s.io"], "resources": [resource]}
    return rule | names


def action(mode: str, verb: str, resource: str = "pods") -> dict[str, Any]:
    return {"verbs": [f"impersonate-on:{mode}:{verb}"], "apiGroups": [""], "resources": [resource]}


async def test_acting_as_somebody_may_be_allowed_for_some_deeds_only(admin: Rest) -> None:
    kim, as_bob = admin.as_user("kim"), {"Impersonate-User": "bobby"}
    await allow(admin, "kim-acts", "kim", action("user-info", "list"))
    refused = await kim("GET", "/api/v1/pods", headers=as_bob)
    assert refused.message == (
        'users.authentication.k8s.io "bobby" is forbidden: User "kim" cannot impersonate:user-info resource "users" '
        'in API group "authentication.k8s.io" at the cluster scope'
    )
    await allow(admin, "kim-is-bobby", "kim", identity("user-info", "users", "bobby"))
    # What bobby may do is still bobby's own affair.
    own = await kim("GET", "/api/v1/pods", headers=as_bob)
    assert own.message.startswith('pods is forbidden: User "bobby" cannot list resource "pods"')
    await allow(admin, "bobby-lists", "bobby", {"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["pods"]})
    assert (await kim("GET", "/api/v1/pods", headers=as_bob)).status == 200
    refused = await kim("GET", "/api/v1/pods?watch=1", headers=as_bob)
    assert refused.message.startswith('pods is forbidden: User "kim" cannot impersonate-on:user-info:watch')
    refused = await kim("GET", "/api/v1/pods", headers={"Impersonate-User": "system:serviceaccount:a:bobby"})
    assert refused.message.startswith('pods is forbidden: User "kim" cannot impersonate-on:serviceaccount:list')


async def test_groups_and_extra_fields_are_asked_for_one_by_one(admin: Rest) -> None:
    lee = admin.as_user("lee")
    await allow(
        admin, "lee-acts", "lee", {"verbs": ["impersonate-on:user-info:create"], "apiGroups": ["*"], "resources": ["*"]}
    )
    await allow(admin, "lee-is", "lee", identity("user-info", "users", "rob"), identity("user-info", "groups", "dev"))
    await allow(admin, "lee-has", "lee", identity("user-info", "userextras/acme.io/scope", "view"))

    async def act(**headers: str) -> Any:
        said = {key.replace("_", "-"): value for key, value in headers.items()}
        return await lee("POST", WHOAMI, {}, headers={"Impersonate-User": "rob"} | said)

    info = (await act(Impersonate_Group="dev")).json["status"]["userInfo"]
    assert info["groups"] == ["dev", "system:authenticated"]
    assert (await act(Impersonate_Group="ops")).message.startswith('groups.authentication.k8s.io "ops" is forbidden')
    assert (await act(Impersonate_Group="system:masters")).message.endswith(
        "impersonating the system:masters group is not allowed"
    )
    plain = await act(**{"Impersonate-Extra-scope": "view"})
    assert plain.message.endswith(
        'extra.key: Invalid value: "scope": must be a domain-prefixed path (such as "acme.io/foo")'
    )
    extra = await act(**{"Impersonate-Extra-acme.io%2Fscope": "view"})
    assert extra.json["status"]["userInfo"]["extra"] == {"acme.io/scope": ["view"]}


async def test_an_account_may_be_let_act_as_the_node_it_runs_on(admin: Rest, namespace: str) -> None:
    made = await pod(admin, namespace)
    node = made["spec"]["nodeName"]
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
    agent = admin.with_token(await token(admin, namespace, boundObjectRef=reference))
    account = f"system:serviceaccount:{namespace}:default"
    await allow(
        admin, f"{namespace}-n", account, identity("associated-node", "nodes"), action("associated-node", "list")
    )
    listed = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"
    assert (await agent("GET", listed, headers={"Impersonate-User": f"system:node:{node}"})).status == 200
    refused = await agent("GET", listed, headers={"Impersonate-User": "system:node:another"})
    assert refused.message.startswith(f'pods is forbidden: User "{account}" cannot impersonate-on:arbitrary-node:list')
    refused = await agent("GET", f"{listed}&watch=1", headers={"Impersonate-User": f"system:node:{node}"})
    assert refused.message.startswith(
        f'pods is forbidden: User "{account}" cannot impersonate-on:associated-node:watch'
    )


async def test_groups_without_a_user_cannot_be_impersonated(admin: Rest) -> None:
    answer = await admin("GET", "/version", headers={"Impersonate-Group": "dev"})
    assert answer.status == 400
    assert answer.message == (
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"dev"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name"
    )


async def test_the_issuer_publishes_its_keys(admin: Rest, namespace: str) -> None:
    rest = admin.with_token(await token(admin, namespace))
    configuration = (await rest("GET", "/.well-known/openid-configuration")).json
    assert configuration["issuer"] == "https://kubernetes.default.svc.cluster.local"
    keys = (await rest("GET", "/openid/v1/jwks")).json["keys"]
    header = (await token(admin, namespace)).split(".")[0]
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["kid"] in {key["kid"] for key in keys}
    assert (await admin.with_token("")("GET", "/openid/v1/jwks")).status == 403
