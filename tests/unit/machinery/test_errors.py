"""Errors in the API's own form."""

from pynetes.machinery import errors


def test_field_errors_say_what_upstream_says() -> None:
    shown = {
        str(errors.required("spec.x", "why")): "spec.x: Required value: why",
        str(errors.required("spec.x")): "spec.x: Required value",
        str(errors.invalid_value("a", "b", "no")): 'a: Invalid value: "b": no',
        str(errors.invalid_value("a", 3, "no")): "a: Invalid value: 3: no",
        str(errors.invalid_value("a", None, "no")): 'a: Invalid value: "null": no',
        str(errors.invalid_value("a", True, "no")): "a: Invalid value: true: no",
        str(errors.invalid_value("a", {"x": [1]}, "no")): 'a: Invalid value: {"x":[1]}: no',
        str(errors.not_supported("a", "x", ["y", "z"])): 'a: Unsupported value: "x": supported values: "y", "z"',
        str(errors.duplicate("a", "x")): 'a: Duplicate value: "x"',
        str(errors.forbidden_field("a", "may not")): "a: Forbidden: may not",
        str(errors.too_long("a", 63)): "a: Too long: may not be more than 63 bytes",
        str(errors.too_many("a", 5, 3)): "a: Too many: 5: must have at most 3 items",
        str(errors.field_not_found("a", "x")): 'a: Not found: "x"',
    }
    assert all(made == expected for made, expected in shown.items()), shown


def test_an_invalid_object_lists_its_causes() -> None:
    status = errors.invalid(
        "apps", "Deployment", "web", [errors.required("spec.a", "x"), errors.invalid_value("spec.b", 1, "y")]
    ).status()
    assert status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Deployment.apps "web" is invalid: [spec.a: Required value: x, spec.b: Invalid value: 1: y]',
        "reason": "Invalid",
        "details": {
            "name": "web",
            "group": "apps",
            "kind": "Deployment",
            "causes": [
                {"reason": "FieldValueRequired", "message": "Required value: x", "field": "spec.a"},
                {"reason": "FieldValueInvalid", "message": "Invalid value: 1: y", "field": "spec.b"},
            ],
        },
        "code": 422,
    }


def test_one_error_stands_without_brackets_and_the_same_twice_stands_once() -> None:
    error = errors.required("a")
    assert errors.invalid("", "Pod", "p", [error]).message == 'Pod "p" is invalid: a: Required value'
    assert errors.invalid("", "Pod", "p", [error, error]).message == 'Pod "p" is invalid: a: Required value'


def test_status_errors_survive_the_wire() -> None:
    for error in (
        errors.not_found("apps", "deployments", "web"),
        errors.conflict("", "pods", "a"),
        errors.too_many_requests("slow down", 3),
        errors.internal("broken"),
        errors.unauthorized(),
    ):
        again = errors.from_status(error.status())
        assert again.status() == error.status()


def test_messages_name_the_group_resource() -> None:
    assert errors.not_found("apps", "deployments", "web").message == 'deployments.apps "web" not found'
    assert errors.not_found("", "pods", "web").message == 'pods "web" not found'
    assert errors.already_exists("", "pods", "web").status()["details"] == {"name": "web", "kind": "pods"}
    assert errors.conflict("", "pods", "a").message == (
        'Operation cannot be fulfilled on pods "a": the object has been modified; please apply your changes to the'
        " latest version and try again"
    )
    assert errors.forbidden("", "pods", "", "no").message == "pods is forbidden: no"
    assert errors.forbidden("", "", "", "no").message == "forbidden: no"
    assert (
        errors.method_not_supported("", "pods", "patch").message == 'patch is not supported on resources of kind "pods"'
    )
    assert errors.too_many_requests("x", 3).retry_after == 3
