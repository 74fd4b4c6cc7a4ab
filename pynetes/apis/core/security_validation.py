"""Validation of security contexts: users, privileges, and the profiles of seccomp, AppArmor and Windows."""

from pynetes.apis.checks import Errors
from pynetes.apis.core.mount_validation import local_descending_path
from pynetes.machinery import names
from pynetes.machinery.meta import Obj


def container_context(errors: Errors, context: Obj | None, spec: Obj, path: str) -> None:
    """`securityContext` of a container."""
    if context is None:
        return
    for field in ("runAsUser", "runAsGroup"):
        if context.get(field) is not None:
            errors.check(f"{path}.{field}", context[field], names.user_id(context[field]))
    proc_mount = context.get("procMount")
    if proc_mount is not None:
        if proc_mount not in ("Default", "Unmasked"):
            errors.unsupported(f"{path}.procMount", proc_mount, ("Default", "Unmasked"))
        if proc_mount == "Unmasked" and spec.get("hostUsers", True):
            errors.invalid(f"{path}.procMount", proc_mount, "`hostUsers` must be false to use `Unmasked`")
    seccomp_profile(errors, context.get("seccompProfile"), f"{path}.seccompProfile")
    app_armor_profile(errors, context.get("appArmorProfile"), f"{path}.appArmorProfile")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            errors.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or []):
            errors.invalid(
                path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            )
    windows_options(errors, context.get("windowsOptions"), f"{path}.windowsOptions")


def seccomp_profile(errors: Errors, profile: Obj | None, path: str) -> None:
    """A seccomp profile; only Localhost ones name a file."""
    if profile is None:
        return
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if kind == "Localhost":
        if local is None:
            errors.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            local_descending_path(errors, local, f"{path}.localhostProfile")
    elif local is not None:
        errors.invalid(f"{path}.localhostProfile", local, "can only be set when seccomp type is Localhost")
    if not kind:
        errors.required(f"{path}.type", "type is required when seccompProfile is set")
    elif kind not in ("Localhost", "RuntimeDefault", "Unconfined"):
        errors.unsupported(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))


def app_armor_profile(errors: Errors, profile: Obj | None, path: str) -> None:
    """An AppArmor profile; only Localhost ones name a profile."""
    if profile is None:
        return
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if kind == "Localhost":
        where = f"{path}.localhostProfile"
        if local is None:
            errors.required(where, "must be set when AppArmor type is Localhost")
        elif local.strip() != local:
            errors.invalid(where, local, "must not be padded with whitespace")
        elif not local:
            errors.required(where, "must be set when AppArmor type is Localhost")
        elif len(local) > 4095:
            errors.too_long(where, 4095)
    elif local is not None:
        errors.invalid(f"{path}.localhostProfile", local, "can only be set when AppArmor type is Localhost")
    if not kind:
        errors.required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind not in ("Localhost", "RuntimeDefault", "Unconfined"):
        errors.unsupported(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))


def windows_options(errors: Errors, options: Obj | None, path: str) -> None:
    """Windows' security options."""
    for field in ("gmsaCredentialSpecName",):
        name = (options or {}).get(field)
        if name is not None:
            errors.check(f"{path}.{field}", name, names.dns1123_subdomain(name))
    user = (options or {}).get("runAsUserName")
    if user == "":
        errors.invalid(f"{path}.runAsUserName", user, "runAsUserName cannot be an empty string")
