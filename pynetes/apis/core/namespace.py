"""Namespaces: kept by `spec.finalizers` until the namespace controller has emptied them."""

from typing import Any

from pynetes.apis import metadata, printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.errors import FieldError
from pynetes.machinery.meta import Obj

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


class NamespaceStrategy(Strategy):
    """A namespace."""

    name_check = staticmethod(names.dns1123_label)
    columns = (printing.NAME, column("Status", description="Active, or Terminating."), printing.AGE)

    def default(self, obj: Obj) -> None:
        metadata_ = obj.setdefault("metadata", {})
        if metadata_.get("name"):
            metadata_.setdefault("labels", {})[NAME_LABEL] = metadata_["name"]
        obj.setdefault("spec", {})
        if not (obj.get("status") or {}).get("phase"):
            obj.setdefault("status", {})["phase"] = "Active"

    def prepare_create_spec(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Active"}
        # A generated name is only known now.
        obj["metadata"].setdefault("labels", {})[NAME_LABEL] = meta.name(obj)
        finalizers = obj["spec"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        self.keep_finalizers(new, old)

    def keep_finalizers(self, new: Obj, old: Obj) -> None:
        """`spec.finalizers` change only through the finalize subresource."""
        before = (old.get("spec") or {}).get("finalizers")
        new["spec"] = {**(new.get("spec") or {})}
        new["spec"].pop("finalizers", None)
        if before is not None:
            new["spec"]["finalizers"] = before

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        for index, finalizer in enumerate((obj.get("spec") or {}).get("finalizers") or []):
            metadata.finalizer_name(errors, finalizer, f"spec.finalizers[{index}]")

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        phase = (new.get("status") or {}).get("phase")
        if meta.is_deleting(new):
            if phase != "Terminating":
                detail = "may only be 'Terminating' if `deletionTimestamp` is not empty"
                errors.invalid("status.Phase", phase, detail)
        elif phase != "Active":
            errors.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")

    def prepare_subresource_update(self, subresource: str, new: Obj, old: Obj) -> None:
        super().prepare_subresource_update(subresource, new, old)
        if "status" in old:
            new["status"] = old["status"]

    def validate_subresource_update(self, subresource: str, new: Obj, old: Obj) -> list[FieldError]:
        errors = Errors(super().validate_subresource_update(subresource, new, old))
        self.validate_spec(errors, new)
        return errors

    def mark_deleting(self, obj: Obj) -> None:
        obj.setdefault("status", {})["phase"] = "Terminating"

    def blocks_removal(self, obj: Obj) -> bool:
        return super().blocks_removal(obj) or bool((obj.get("spec") or {}).get("finalizers"))

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), printing.status(obj).get("phase", ""), printing.age(obj)]

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"name": meta.name(obj), "status.phase": printing.status(obj).get("phase") or ""}
