"""RBAC's index: who may do what, and why."""

import time

import pytest

from pynetes.apiserver.authz.authorizer import Authorizer, forbidden
from pynetes.apiserver.authz.rbac import Rbac
from pynetes.apiserver.authz.reconcile import default_objects
from pynetes.apiserver.request import RequestInfo, UserInfo
from pynetes.controllers.main import CONTROLLERS
from pynetes.machinery.meta import Obj


def role(name: str, *rules: Obj, namespace: str = "", labels: dict[str, str] | None = None, **more: object) -> Obj:
    metadata: Obj = {"name": name, "labels": labels or {}} | ({"namespace": namespace} if namespace else {})
    return {"kind": "Role" if namespace else "ClusterRole", "metadata": metadata, "rules": list(rules), **more}


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> Obj:
    made: Obj = {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": [group]}
    return made | ({"resourceNames": names.split()} if names else {})


def binding(name: str, to: str, *subjects: str, namespace: str = "", kind: str = "ClusterRole") -> Obj:
    made = []
    for text in subjects:
        subject_kind, _, subject = text.partition(":")
        if subject_kind == "ServiceAccount":
            space, _, account = subject.rpartition("/")
            made.append({"kind": subject_kind, "name": account} | ({"namespace": space} if space else {}))
        else:
            made.append({"kind": subject_kind, "name": subject})
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"metadata": metadata, "roleRef": {"kind": kind, "name": to}, "subjects": made}


def rbac(*objects: Obj) -> Rbac:
    index = Rbac()
    for obj in objects:
        (index.change_binding if "roleRef" in obj else index.change_role)(None, obj)
    return index


def ask(verb: str, resource: str, namespace: str = "", name: str = "", group: str = "") -> RequestInfo:
    plural, _, sub = resource.partition("/")
    return RequestInfo(True, verb, group, "v1", plural, sub, namespace, name)


ALICE = UserInfo("alice", groups=("dev", "system:authenticated"))
READER = role("reader", rule("get list", "pods"))


def test_a_cluster_role_binding_allows_in_every_namespace_and_says_why() -> None:
    index = rbac(READER, binding("b", "reader", "User:alice"))
    for namespace in ("", "default", "other"):
        decision = index.authorize(ALICE, ask("list", "pods", namespace))
        assert decision == (True, 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to User "alice"')


def test_a_role_binding_allows_in_its_namespace_only() -> None:
    index = rbac(READER, binding("b", "reader", "Group:dev", namespace="team"))
    decision = index.authorize(ALICE, ask("get", "pods", "team", "x"))
    assert decision.reason == 'RBAC: allowed by RoleBinding "b/team" of ClusterRole "reader" to Group "dev"'
    assert not index.authorize(ALICE, ask("get", "pods", "other", "x")).allowed
    assert not index.authorize(ALICE, ask("list", "pods")).allowed


def test_a_role_is_looked_up_in_the_namespace_of_its_binding() -> None:
    index = rbac(
        role("r", rule("get", "secrets"), namespace="a"),
        role("r", rule("delete", "secrets"), namespace="b"),
        binding("x", "r", "User:alice", namespace="b", kind="Role"),
    )
    assert index.authorize(ALICE, ask("delete", "secrets", "b", "s")).allowed
    assert not index.authorize(ALICE, ask("get", "secrets", "b", "s")).allowed


@pytest.mark.parametrize(
    ("resources", "asked", "allowed"),
    [
        ("pods", "pods/log", False),
        ("pods/log", "pods/log", True),
        ("*", "pods/log", True),
        ("*/scale", "deployments/scale", True),
        ("*/scale", "deployments", False),
        ("pods/*", "pods/log", False),  # a name with a star in it is only a name
    ],
)
def test_subresources_are_matched_as_names_of_their_own(resources: str, asked: str, allowed: bool) -> None:
    index = rbac(role("r", rule("get", resources)), binding("b", "r", "User:alice"))
    assert index.authorize(ALICE, ask("get", asked, "n", "x")).allowed is allowed


def test_resource_names_limit_to_those_objects() -> None:
    index = rbac(role("r", rule("get", "secrets", names="one two")), binding("b", "r", "User:alice"))
    assert index.authorize(ALICE, ask("get", "secrets", "n", "two")).allowed
    assert not index.authorize(ALICE, ask("get", "secrets", "n", "three")).allowed
    assert not index.authorize(ALICE, ask("get", "secrets", "n")).allowed


@pytest.mark.parametrize(("path", "allowed"), [("/metrics", True), ("/logs/x/y", True), ("/logs", False), ("/", False)])
def test_non_resource_paths_match_exactly_or_by_prefix(path: str, allowed: bool) -> None:
    paths = {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]}
    index = rbac(role("r", paths), binding("b", "r", "User:alice"))
    assert index.authorize(ALICE, RequestInfo(False, "get", path=path)).allowed is allowed


def test_a_service_account_without_namespace_is_one_of_the_bindings_namespace() -> None:
    index = rbac(READER, binding("b", "reader", "ServiceAccount:bot", namespace="ns"))
    bot = UserInfo("system:serviceaccount:ns:bot")
    decision = index.authorize(bot, ask("get", "pods", "ns", "x"))
    assert decision.reason.endswith('to ServiceAccount "bot/ns"')


def test_a_missing_role_is_named_in_the_refusal() -> None:
    index = rbac(binding("b", "gone", "User:alice"), binding("c", "lost", "User:alice", namespace="n", kind="Role"))
    info = ask("get", "pods", "n", "x")
    decision = index.authorize(ALICE, info)
    assert decision.reason == (
        'RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found, '
        'role.rbac.authorization.k8s.io "lost" not found]'
    )
    assert forbidden(ALICE, info, decision.reason).message == (
        'pods "x" is forbidden: User "alice" cannot get resource "pods" in API group "" in the namespace "n": '
        + decision.reason
    )


def test_changes_take_effect_at_once() -> None:
    index = rbac(READER)
    info = ask("get", "pods", "n", "x")
    bound = binding("b", "reader", "User:alice")
    assert not index.authorize(ALICE, info).allowed
    index.change_binding(None, bound)
    assert index.authorize(ALICE, info).allowed
    index.change_role(READER, role("reader", rule("list", "pods")))
    assert not index.authorize(ALICE, info).allowed
    index.change_role(None, READER)
    index.change_binding(bound, binding("b", "reader", "User:bob"))
    assert not index.authorize(ALICE, info).allowed
    assert index.authorize(UserInfo("bob"), info).allowed
    index.change_binding(binding("b", "reader", "User:bob"), None)
    assert not index.authorize(UserInfo("bob"), info).allowed


def test_an_aggregated_role_has_the_rules_of_those_it_selects_and_of_those_they_select() -> None:
    def aggregate(label: str) -> Obj:
        return {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}

    index = rbac(
        role("admin", aggregationRule=aggregate("to-admin")),
        role("edit", aggregationRule=aggregate("to-edit"), labels={"to-admin": "true"}),
        role("mine", rule("create", "widgets", "example.com"), labels={"to-edit": "true"}),
        binding("b", "admin", "User:alice"),
    )
    assert index.authorize(ALICE, ask("create", "widgets", "n", group="example.com")).allowed
    index.change_role(role("mine"), None)
    assert not index.authorize(ALICE, ask("create", "widgets", "n", group="example.com")).allowed


def test_roles_that_select_each_other_come_to_an_end() -> None:
    both = {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}
    index = rbac(
        role("one", rule("get", "pods"), aggregationRule=both, labels={"x": "y"}),
        role("two", rule("list", "pods"), aggregationRule=both, labels={"x": "y"}),
        binding("b", "one", "User:alice"),
    )
    assert index.authorize(ALICE, ask("list", "pods")).allowed


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (
            ask("list", "pods", "default"),
            'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"',
        ),
        (
            ask("create", "pods/exec", "d", "p"),
            'pods "p" is forbidden: User "x" cannot create resource "pods/exec" in API group "" in the namespace "d"',
        ),
        (
            ask("list", "deployments", "", group="apps"),
            'deployments.apps is forbidden: User "x" cannot list resource "deployments" in API group "apps" '
            "at the cluster scope",
        ),
        (RequestInfo(False, "get", path="/metrics"), 'forbidden: User "x" cannot get path "/metrics"'),
    ],
)
def test_refusals_read_as_upstreams(info: RequestInfo, message: str) -> None:
    error = forbidden(UserInfo("x"), info)
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)


def default_authorizer() -> Authorizer:
    authorizer = Authorizer()
    for obj in default_objects():
        change = authorizer.rbac.change_binding if "roleRef" in obj else authorizer.rbac.change_role
        change(None, obj)
    return authorizer


@pytest.mark.parametrize(
    ("user", "groups", "info", "allowed"),
    [
        ("system:kube-scheduler", "", ask("create", "pods/binding", "n", "p"), True),
        ("system:kube-scheduler", "", ask("get", "secrets", "n", "p"), False),
        ("system:kube-proxy", "", ask("watch", "endpointslices", group="discovery.k8s.io"), True),
        ("system:kube-proxy", "", ask("patch", "services/status", "n", "s"), True),
        ("anyone", "system:masters", ask("delete", "nodes", "", "n"), True),
        ("anyone", "system:authenticated", RequestInfo(False, "get", path="/openapi/v2"), True),
        ("system:anonymous", "system:unauthenticated", RequestInfo(False, "get", path="/version"), True),
        ("system:anonymous", "system:unauthenticated", RequestInfo(False, "get", path="/api"), False),
        (
            "anyone",
            "system:authenticated",
            ask("create", "selfsubjectaccessreviews", group="authorization.k8s.io"),
            True,
        ),
        ("system:serviceaccount:kube-system:job-controller", "", ask("create", "pods", "n"), True),
        ("system:serviceaccount:default:default", "system:serviceaccounts", ask("list", "pods", "n"), False),
    ],
)
def test_the_default_policy(user: str, groups: str, info: RequestInfo, allowed: bool) -> None:
    authorizer = default_authorizer()
    assert authorizer.authorize(UserInfo(user, groups=tuple(groups.split())), info).allowed is allowed


def test_view_edit_and_admin_build_on_each_other() -> None:
    authorizer = default_authorizer()
    for name in ("view", "edit", "admin"):
        authorizer.rbac.change_binding(None, binding(f"b-{name}", name, f"User:{name}", namespace="n"))

    def may(user: str, verb: str, resource: str, group: str = "") -> bool:
        return authorizer.authorize(UserInfo(user), ask(verb, resource, "n", "x", group)).allowed

    assert [may(user, "get", "pods") for user in ("view", "edit", "admin")] == [True, True, True]
    assert [may(user, "get", "secrets") for user in ("view", "edit", "admin")] == [False, True, True]
    roles = [may(user, "create", "rolebindings", "rbac.authorization.k8s.io") for user in ("view", "edit", "admin")]
    assert roles == [False, False, True]
    assert not may("admin", "update", "resourcequotas")


def test_a_decision_takes_microseconds() -> None:
    authorizer = default_authorizer()
    user = UserInfo("system:kube-scheduler", groups=("system:authenticated",))
    info = ask("create", "pods/binding", "n", "p")
    authorizer.authorize(user, info)
    started = time.perf_counter()
    for _ in range(2000):
        authorizer.authorize(user, info)
    assert (time.perf_counter() - started) / 2000 < 100e-6


def test_every_controller_acts_as_an_account_that_has_a_role() -> None:
    bound = {
        subject["name"]
        for obj in default_objects()
        if obj["kind"] in ("ClusterRoleBinding", "RoleBinding")
        for subject in obj.get("subjects") or []
        if subject.get("namespace") == "kube-system"
    }
    accounts = {kind.account or kind.name for kind in CONTROLLERS if not kind.acts_as_manager}
    assert accounts - bound == set()
