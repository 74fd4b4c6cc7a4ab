"""The Common Expression Language, as Kubernetes extends it: parse once, evaluate often.

    program = cel.compile("object.spec.replicas <= params.max", {"object", "params"})
    program.evaluate({"object": {...}, "params": {...}})

`syntax` turns text into a tree, `program` turns the tree into Python closures, `values` says how values compare and
convert, `library` holds the functions: CEL's own, the strings, sets and optional extensions, and Kubernetes' (quantity,
ip, cidr, url, semver, regex, lists). Evaluation is dynamically typed; where the types of the names are known (`types`),
`checker` refuses beforehand what cannot work, by the `signatures` of all functions. `CelError` is the only exception.
"""

from pynetes.machinery.cel.program import Program, compile
from pynetes.machinery.cel.values import CelError

__all__ = ["CelError", "Program", "compile"]
