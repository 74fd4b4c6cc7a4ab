"""Query parameters and option bodies: ListOptions, DeleteOptions and what writes are told.

Everything is checked here with upstream's texts, so that the verbs see only values that make sense.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from pynetes.apiserver import negotiate
from pynetes.apiserver.registry import Context, Resource
from pynetes.apiserver.request import LOOPBACK, Request
from pynetes.machinery import clock, errors, json_syntax, scheme, selectors, wire
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Record

META_GROUP = "meta.k8s.io"
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
FIELD_VALIDATION = ("Ignore", "Strict", "Warn")
PROPAGATION = ("Background", "Foreground", "Orphan")


@dataclass(slots=True)
class ListOptions:
    """What a list or a watch is asked for."""

    labels: selectors.LabelSelector | None = None
    fields: selectors.FieldSelector | None = None
    limit: int = 0
    token: str = ""
    resource_version: str = ""
    match: str = ""
    watch: bool = False
    bookmarks: bool = False
    send_initial_events: bool | None = None
    timeout: float | None = None
    fields_of: Callable[[Record], Mapping[str, str]] | None = None

    @property
    def selects(self) -> bool:
        """Whether anything is left out by a selector."""
        return self.labels is not None or self.fields is not None

    def matches(self, record: Record) -> bool:
        """Whether a record is selected."""
        if self.labels is not None and not self.labels.matches(record.labels):
            return False
        if self.fields is None:
            return True
        return self.fields.matches(record.fields if self.fields_of is None else self.fields_of(record))


_NO_OPTIONS = ListOptions()


def list_options(request: Request, resource: Resource) -> ListOptions:
    """The ListOptions in a query, checked."""
    if not request.raw_query and request.info is not None and request.info.verb != "watch":
        return _NO_OPTIONS
    options = ListOptions(
        labels=_label_selector(request.param("labelSelector")),
        fields=field_selector(request.param("fieldSelector"), resource),
        fields_of=resource.fields_of,
        limit=max(_integer(request, "limit"), 0),
        token=request.param("continue"),
        resource_version=request.param("resourceVersion"),
        match=request.param("resourceVersionMatch"),
        watch=request.info is not None and request.info.verb == "watch",
        bookmarks=flag(request, "allowWatchBookmarks"),
        send_initial_events=flag(request, "sendInitialEvents") if "sendInitialEvents" in request.query else None,
        timeout=float(_integer(request, "timeoutSeconds")) if request.param("timeoutSeconds") else None,
    )
    findings = list(_check_list(options))
    if findings:
        raise errors.invalid(META_GROUP, "ListOptions", "", findings)
    if options.resource_version and not options.resource_version.isdigit():
        raise bad_version(options.resource_version)
    return options


def _check_list(options: ListOptions) -> list[FieldError]:
    """Upstream's rules for resourceVersionMatch and sendInitialEvents."""
    found = []
    if options.send_initial_events is not None and not options.watch:
        found.append(errors.forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if options.watch:
        found += _check_watch(options)
    elif options.match:
        if not options.resource_version:
            found.append(
                errors.forbidden_field(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
                )
            )
        if options.token:
            found.append(
                errors.forbidden_field(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
                )
            )
        if options.match not in ("Exact", "NotOlderThan"):
            found.append(errors.not_supported("resourceVersionMatch", options.match, ["Exact", "NotOlderThan", ""]))
        if options.match == "Exact" and options.resource_version == "0":
            found.append(
                errors.forbidden_field(
                    "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
                )
            )
    return found


def _check_watch(options: ListOptions) -> list[FieldError]:
    if options.send_initial_events is not None:
        found = []
        if options.match != "NotOlderThan":
            found.append(
                errors.forbidden_field(
                    "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                )
            )
        if options.token or options.limit:
            name = "continue" if options.token else "limit"
            found.append(errors.forbidden_field(name, f"{name} is forbidden for watch with sendInitialEvents"))
        return found
    if options.match:
        return [
            errors.forbidden_field(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        ]
    return []


def _label_selector(text: str) -> selectors.LabelSelector | None:
    if not text:
        return None
    try:
        return selectors.parse_label_selector(text)
    except ValueError as error:
        raise errors.bad_request(str(error)) from error


def field_selector(text: str, resource: Resource) -> selectors.FieldSelector | None:
    """A field selector on this resource; 400 for a field it does not know."""
    if not text:
        return None
    try:
        selector = selectors.parse_field_selector(text)
    except ValueError as error:
        raise errors.bad_request(str(error)) from error
    for term in selector.terms:
        if term.field not in resource.supported_fields:
            raise errors.bad_request(_unknown_field(term.field, resource))
    return selector


def _unknown_field(name: str, resource: Resource) -> str:
    """Kinds with fields of their own say it in their words, the others in the generic ones."""
    own = resource.supported_fields - {"metadata.name", "metadata.namespace"}
    if not own:
        return f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    if resource.rt.group == "batch":
        return f'field label "{name}" not supported for Job'
    return f"field label not supported: {name}"


def bad_version(text: str) -> errors.StatusError:
    """422 for a resourceVersion that is no number."""
    finding = errors.invalid_value("resourceVersion", text, _go_parse_error(text))
    return errors.invalid(META_GROUP, "ListOptions", "", [finding])


def _go_parse_error(text: str) -> str:
    return f"strconv.ParseUint: parsing {errors.quote(text)}: invalid syntax"


def flag(request: Request, name: str) -> bool:
    """A boolean parameter as upstream reads it: present and neither `false` nor `0`."""
    values = request.query.get(name) if request.raw_query else None
    return values is not None and values[0].lower() not in ("false", "0")


def _integer(request: Request, name: str) -> int:
    text = request.param(name)
    if not text:
        return 0
    if not _INTEGER.fullmatch(text):
        raise errors.bad_request(f"strconv.ParseInt: parsing {errors.quote(text)}: invalid syntax")
    if not -(1 << 63) <= (value := int(text)) < 1 << 63:
        raise errors.bad_request(f"strconv.ParseInt: parsing {errors.quote(text)}: value out of range")
    return value


# Continue tokens.


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a chunked list goes on: after which key (below the prefix), and at which revision (0: the newest)."""

    revision: int
    start_after: str

    def encode(self) -> str:
        """The opaque token, in upstream's form."""
        token = {"v": META_GROUP + "/v1", "rv": self.revision or -1, "start": self.start_after + "\0"}
        return base64.urlsafe_b64encode(wire.encode(token)).rstrip(b"=").decode()


def continuation(token: str) -> Continuation:
    """What a continue token says; 400 if it is not one of ours."""
    raw = b""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        found = wire.decode(raw)
        version, revision, start = found["v"], int(found.get("rv", 0)), found["start"]
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError, KeyError, TypeError) as error:
        raise errors.bad_request(f"continue key is not valid: {json_syntax.error(raw) or error}") from error
    if version != META_GROUP + "/v1":
        raise errors.bad_request(f"continue key is not valid: server does not recognize this encoded version {version}")
    if not start:
        raise errors.bad_request("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
    if revision == 0:
        raise errors.bad_request("continue key is not valid: incorrect encoded start resourceVersion")
    return Continuation(max(revision, 0), start.removesuffix("\0"))


# Writes.


def context(request: Request, kind: str, manager: str = "") -> Context:
    """The options of a create, update or patch (`kind`: CreateOptions …) as the query gives them."""
    user = request.user or LOOPBACK
    if not request.raw_query:
        return Context(user, field_manager=manager or default_manager(request), warnings=request.warnings)
    findings: list[FieldError] = []
    dry_run = _dry_run(request.query.get("dryRun", []), findings)
    field_manager = request.param("fieldManager")
    if len(field_manager) > 128:
        findings.append(errors.too_long("fieldManager", 128))
    if not field_manager.isprintable():
        findings.append(errors.invalid_value("fieldManager", field_manager, "should only contain printable characters"))
    validation = request.param("fieldValidation")
    if validation and validation not in FIELD_VALIDATION:
        findings.append(errors.not_supported("fieldValidation", validation, FIELD_VALIDATION))
    if findings:
        raise errors.invalid(META_GROUP, kind, "", findings)
    options: Obj = {"kind": kind, "apiVersion": f"{META_GROUP}/v1"}
    options |= {
        name: value
        for name, value in (
            ("dryRun", ["All"] if dry_run else None),
            ("fieldManager", field_manager),
            ("fieldValidation", validation),
        )
        if value
    }
    return Context(
        user=user,
        dry_run=dry_run,
        field_manager=field_manager or manager or default_manager(request),
        field_validation=validation or "Warn",
        warnings=request.warnings,
        options=options,
    )


def timeout(request: Request, limit: float) -> float:
    """How long a request may take: `?timeout=`, but never longer than the server's own limit."""
    text = request.param("timeout")
    if not text:
        return limit
    try:
        wanted = clock.parse_duration(text)
    except ValueError:
        raise errors.bad_request(
            f"invalid timeout specified in the request URL - time: invalid duration {errors.quote(text)}"
        ) from None
    return min(wanted, limit) if wanted > 0 else limit


def default_manager(request: Request) -> str:
    """The field manager of a client that names none: its user agent up to the first slash."""
    return prefix_of_agent(request.headers.get("user-agent", ""))


def prefix_of_agent(agent: str) -> str:
    """The part of a user agent before its version, printable and at most 128 characters; `unknown` if empty."""
    text = "".join(letter for letter in agent.partition("/")[0] if letter.isprintable())[:128]
    return text or "unknown"


def delete_options(request: Request) -> tuple[Obj, Context]:
    """DeleteOptions from the body, or from the query if there is no body."""
    context = Context(request.user or LOOPBACK, warnings=request.warnings)
    options: Obj = {}
    if request.body:
        options = _delete_body(request)
    query = request.query if request.raw_query else {}
    if "dryRun" in query:
        options["dryRun"] = query["dryRun"]
    for name in ("propagationPolicy",):
        if name in query and not request.body:
            options[name] = query[name][0]
    if "gracePeriodSeconds" in query and not request.body:
        options["gracePeriodSeconds"] = _integer(request, "gracePeriodSeconds")
    if "orphanDependents" in query and not request.body:
        options["orphanDependents"] = flag(request, "orphanDependents")
    findings = _check_delete(options)
    if findings:
        raise errors.invalid(META_GROUP, "DeleteOptions", "", findings)
    context.dry_run = bool(options.get("dryRun"))
    context.options = {"kind": "DeleteOptions", "apiVersion": f"{META_GROUP}/v1", **options}
    return options, context


def _delete_body(request: Request) -> Obj:
    """The DeleteOptions in a body; any group's spelling of the version will do."""
    options = scheme.decode(_DELETE_OPTIONS, negotiate.body_json(request, "DeleteOptions"))
    if options.pop("kind", "DeleteOptions") != "DeleteOptions":
        raise errors.bad_request("decoded object cannot be converted to DeleteOptions")
    options.pop("apiVersion", None)
    return options


def _check_delete(options: Obj) -> list[FieldError]:
    found: list[FieldError] = []
    policy = options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        found.append(
            errors.invalid_value(
                "propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"
            )
        )
    if policy is not None and policy not in PROPAGATION:
        found.append(errors.not_supported("propagationPolicy", policy, [*PROPAGATION, "nil"]))
    _dry_run(options.get("dryRun") or [], found)
    return found


def _dry_run(values: list[str], findings: list[FieldError]) -> bool:
    if any(value != "All" for value in values):
        findings.append(errors.not_supported("dryRun", values[0] if len(values) == 1 else values, ["All"]))
    return bool(values)
