"""The signatures of CEL's operators and functions, and of those that Kubernetes adds.

One line each: the function, what it is called on (if anything), what it takes, what it gives; a single letter stands
for any type. `OVERLOADS` has them by name.
"""

from typing import NamedTuple

from pynetes.machinery.cel import types
from pynetes.machinery.cel.types import Type

_NUMBERS = ("int", "uint", "double")
_ORDERED = ("bool", "string", "bytes", "timestamp", "duration")
_FORMATS = (
    "dns1123Label dns1123Subdomain dns1035Label dns1123LabelPrefix dns1123SubdomainPrefix dns1035LabelPrefix "
    "qualifiedName labelValue uri uuid byte date datetime"
)

_TEXT = """
!_ : bool -> bool
-_ : int -> int | double -> double | duration -> duration
_&&_ : bool, bool -> bool
_||_ : bool, bool -> bool
_?_:_ : bool, A, A -> A
_==_ : A, A -> bool
_!=_ : A, A -> bool
@in : A, list(A) -> bool | A, map(A, B) -> bool
_+_ : bytes, bytes -> bytes | double, double -> double | duration, duration -> duration
_+_ : duration, timestamp -> timestamp | timestamp, duration -> timestamp | int, int -> int
_+_ : list(A), list(A) -> list(A) | string, string -> string | uint, uint -> uint
_-_ : double, double -> double | duration, duration -> duration | int, int -> int
_-_ : timestamp, duration -> timestamp | timestamp, timestamp -> duration | uint, uint -> uint
_*_ : double, double -> double | int, int -> int | uint, uint -> uint
_/_ : double, double -> double | int, int -> int | uint, uint -> uint
_%_ : int, int -> int | uint, uint -> uint
_[_] : list(A), int -> A | map(A, B), A -> B | optional_type(list(A)), int -> optional_type(A)
_[_] : optional_type(map(A, B)), A -> optional_type(B)
_[?_] : list(A), int -> optional_type(A) | optional_type(list(A)), int -> optional_type(A)
_[?_] : map(A, B), A -> optional_type(B) | optional_type(map(A, B)), A -> optional_type(B)
size : bytes -> int | list(A) -> int | map(A, B) -> int | string -> int
.size : bytes -> int | list(A) -> int | map(A, B) -> int | string -> int
type : A -> type(A)
dyn : A -> dyn
int : int -> int | double -> int | string -> int | timestamp -> int | duration -> int | uint -> int
uint : uint -> uint | double -> uint | int -> uint | string -> uint
double : double -> double | int -> double | string -> double | uint -> double
bool : bool -> bool | string -> bool
bytes : bytes -> bytes | string -> bytes
string : string -> string | bool -> string | bytes -> string | double -> string | duration -> string | int -> string
string : timestamp -> string | uint -> string | net.IP -> string | net.CIDR -> string
timestamp : timestamp -> timestamp | int -> timestamp | string -> timestamp
duration : duration -> duration | int -> duration | string -> duration
matches : string, string -> bool
.matches : string, string -> bool
.contains : string, string -> bool
.startsWith : string, string -> bool
.endsWith : string, string -> bool
.find : string, string -> string
.findAll : string, string -> list(string) | string, string, int -> list(string)
.charAt : string, int -> string
.indexOf : string, string -> int | string, string, int -> int | list(A), A -> int
.lastIndexOf : string, string -> int | string, string, int -> int | list(A), A -> int
.join : list(string) -> string | list(string), string -> string
.lowerAscii : string -> string
.upperAscii : string -> string
.trim : string -> string
.reverse : string -> string | list(A) -> list(A)
.replace : string, string, string -> string | string, string, string, int -> string
.split : string, string -> list(string) | string, string, int -> list(string)
.substring : string, int -> string | string, int, int -> string
.format : string, list(dyn) -> string
strings.quote : string -> string
.isSorted : list(A) -> bool
.sum : list(int) -> int | list(uint) -> uint | list(double) -> double | list(duration) -> duration
.min : list(A) -> A
.max : list(A) -> A
.flatten : list(list(A)) -> list(A) | list(A) -> list(dyn) | list(dyn), int -> list(dyn)
.distinct : list(A) -> list(A)
.slice : list(A), int, int -> list(A)
.sort : list(A) -> list(A)
.first : list(A) -> optional_type(A)
.last : list(A) -> optional_type(A)
lists.range : int -> list(int)
sets.contains : list(A), list(A) -> bool
sets.equivalent : list(A), list(A) -> bool
sets.intersects : list(A), list(A) -> bool
math.ceil : double -> double
math.floor : double -> double
math.abs : int -> int | uint -> uint | double -> double
optional.of : A -> optional_type(A)
optional.none : -> optional_type(dyn)
optional.ofNonZeroValue : A -> optional_type(A)
.hasValue : optional_type(A) -> bool
.value : optional_type(A) -> A
.orValue : optional_type(A), A -> A
.or : optional_type(A), optional_type(A) -> optional_type(A)
.getFullYear : timestamp -> int | timestamp, string -> int
.getMonth : timestamp -> int | timestamp, string -> int
.getDate : timestamp -> int | timestamp, string -> int
.getDayOfMonth : timestamp -> int | timestamp, string -> int
.getDayOfWeek : timestamp -> int | timestamp, string -> int
.getDayOfYear : timestamp -> int | timestamp, string -> int
.getHours : timestamp -> int | timestamp, string -> int | duration -> int
.getMinutes : timestamp -> int | timestamp, string -> int | duration -> int
.getSeconds : timestamp -> int | timestamp, string -> int | duration -> int
.getMilliseconds : timestamp -> int | timestamp, string -> int | duration -> int
quantity : string -> kubernetes.Quantity
isQuantity : string -> bool
.isInteger : kubernetes.Quantity -> bool
.asInteger : kubernetes.Quantity -> int
.asApproximateFloat : kubernetes.Quantity -> double
.sign : kubernetes.Quantity -> int
.add : kubernetes.Quantity, kubernetes.Quantity -> kubernetes.Quantity | kubernetes.Quantity, int -> kubernetes.Quantity
.sub : kubernetes.Quantity, kubernetes.Quantity -> kubernetes.Quantity | kubernetes.Quantity, int -> kubernetes.Quantity
.isLessThan : kubernetes.Quantity, kubernetes.Quantity -> bool | kubernetes.Semver, kubernetes.Semver -> bool
.isGreaterThan : kubernetes.Quantity, kubernetes.Quantity -> bool | kubernetes.Semver, kubernetes.Semver -> bool
.compareTo : kubernetes.Quantity, kubernetes.Quantity -> int | kubernetes.Semver, kubernetes.Semver -> int
semver : string -> kubernetes.Semver | string, bool -> kubernetes.Semver
isSemver : string -> bool | string, bool -> bool
.major : kubernetes.Semver -> int
.minor : kubernetes.Semver -> int
.patch : kubernetes.Semver -> int
ip : string -> net.IP
isIP : string -> bool
ip.isCanonical : string -> bool
.family : net.IP -> int
.isUnspecified : net.IP -> bool
.isLoopback : net.IP -> bool
.isLinkLocalMulticast : net.IP -> bool
.isLinkLocalUnicast : net.IP -> bool
.isGlobalUnicast : net.IP -> bool
cidr : string -> net.CIDR
isCIDR : string -> bool
.containsIP : net.CIDR, string -> bool | net.CIDR, net.IP -> bool
.containsCIDR : net.CIDR, string -> bool | net.CIDR, net.CIDR -> bool
.ip : net.CIDR -> net.IP
.masked : net.CIDR -> net.CIDR
.prefixLength : net.CIDR -> int
url : string -> kubernetes.URL
isURL : string -> bool
.getScheme : kubernetes.URL -> string
.getHost : kubernetes.URL -> string
.getHostname : kubernetes.URL -> string
.getPort : kubernetes.URL -> string
.getEscapedPath : kubernetes.URL -> string
.getQuery : kubernetes.URL -> map(string, list(string))
format.named : string -> optional_type(kubernetes.NamedFormat)
.validate : kubernetes.NamedFormat, string -> optional_type(list(string))
jsonpatch.escapeKey : string -> string
.path : kubernetes.authorization.Authorizer, string -> kubernetes.authorization.PathCheck
.group : kubernetes.authorization.Authorizer, string -> kubernetes.authorization.GroupCheck
.serviceAccount : kubernetes.authorization.Authorizer, string, string -> kubernetes.authorization.Authorizer
.resource : kubernetes.authorization.GroupCheck, string -> kubernetes.authorization.ResourceCheck
.subresource : kubernetes.authorization.ResourceCheck, string -> kubernetes.authorization.ResourceCheck
.namespace : kubernetes.authorization.ResourceCheck, string -> kubernetes.authorization.ResourceCheck
.name : kubernetes.authorization.ResourceCheck, string -> kubernetes.authorization.ResourceCheck
.fieldSelector : kubernetes.authorization.ResourceCheck, string -> kubernetes.authorization.ResourceCheck
.labelSelector : kubernetes.authorization.ResourceCheck, string -> kubernetes.authorization.ResourceCheck
.check : kubernetes.authorization.PathCheck, string -> kubernetes.authorization.Decision
.check : kubernetes.authorization.ResourceCheck, string -> kubernetes.authorization.Decision
.errored : kubernetes.authorization.Decision -> bool
.error : kubernetes.authorization.Decision -> string
.allowed : kubernetes.authorization.Decision -> bool
.reason : kubernetes.authorization.Decision -> string
"""


class Signature(NamedTuple):
    """What a function takes (for methods: the target first) and gives."""

    takes: tuple[Type, ...]
    gives: Type


def _read(text: str) -> dict[str, list[Signature]]:
    found: dict[str, list[Signature]] = {}
    for line in text.strip().splitlines():
        name, _, overloads = line.partition(" : ")
        for overload in overloads.split(" | "):
            takes, _, gives = overload.rpartition("->")
            pieces = [piece for piece in takes.replace(", ", ";").split(";") if piece.strip()]
            found.setdefault(name, []).append(Signature(tuple(map(types.parse, _joined(pieces))), types.parse(gives)))
    return found


def _joined(pieces: list[str]) -> list[str]:
    """Pieces between commas, those inside parentheses put together again."""
    found: list[str] = []
    for piece in pieces:
        if found and found[-1].count("(") > found[-1].count(")"):
            found[-1] += f", {piece}"
        else:
            found.append(piece)
    return found


OVERLOADS = _read(_TEXT)
for _relation in ("_<_", "_<=_", "_>_", "_>=_"):
    _pairs = [(kind, kind) for kind in _ORDERED] + [(left, right) for left in _NUMBERS for right in _NUMBERS]
    OVERLOADS[_relation] = [Signature((Type(left), Type(right)), types.BOOL) for left, right in _pairs]
for _format in _FORMATS.split():
    OVERLOADS[f"format.{_format}"] = [Signature((), Type("kubernetes.NamedFormat"))]
