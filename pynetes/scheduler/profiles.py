"""Profiles: which plugins judge the pods of which `schedulerName`, with which weights and settings.

What upstream's KubeSchedulerConfiguration says in a file (`--config`), over the default plugins. A profile may switch
plugins off and on, for all points (`multiPoint`) or for one, weigh the scores, and set the plugins' arguments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pynetes.machinery.meta import Obj
from pynetes.scheduler.framework import Plugin
from pynetes.scheduler.plugins import FILTERS, SCORES, make
from pynetes.scheduler.plugins.volumes import VolumeBinding

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"
DEFAULT_NAME = "default-scheduler"
# Plugins of upstream that work at other points than filter and score, or are part of the cycle here.
BUILT_IN = frozenset({"SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder", "DynamicResources"})


class BadConfiguration(ValueError):
    """A configuration that means nothing."""


@dataclass
class Profile:
    """The plugins for the pods of one scheduler name."""

    name: str = DEFAULT_NAME
    filters: list[Plugin] = field(default_factory=list)
    scorers: list[tuple[Plugin, int]] = field(default_factory=list)
    preempts: bool = True


def load(path: str) -> Obj:
    """The configuration in a file."""
    try:
        config: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BadConfiguration(f"{path}: {error}") from error
    if not isinstance(config, dict) or (config.get("apiVersion"), config.get("kind")) != (API_VERSION, KIND):
        raise BadConfiguration(f"{path}: expected a {KIND} of {API_VERSION}")
    return config


def profiles(config: Obj, names: Iterable[str] = (DEFAULT_NAME,), strategy: str = "") -> dict[str, Profile]:
    """The profiles of a configuration; without any, the default one for each of `names`."""
    listed = config.get("profiles") or [{"schedulerName": name} for name in names]
    shared = VolumeBinding()  # what one profile promised, the others must know
    out: dict[str, Profile] = {}
    for index, each in enumerate(listed):
        made = _profile(each, shared, strategy)
        if made.name in out:
            raise BadConfiguration(f"profiles[{index}].schedulerName: Duplicate value: {made.name!r}")
        out[made.name] = made
    return out


def _profile(config: Obj, shared: VolumeBinding, strategy: str) -> Profile:
    chosen = config.get("plugins") or {}
    arguments = {each["name"]: each.get("args") or {} for each in config.get("pluginConfig") or ()}
    if strategy:
        arguments.setdefault("NodeResourcesFit", {"scoringStrategy": {"type": strategy}})
    known = {*FILTERS, *SCORES, *BUILT_IN}
    named = {
        each["name"]
        for point in chosen.values()
        for each in [*(point.get("enabled") or ()), *(point.get("disabled") or ())]
    }
    if strange := sorted(named - known - {"*"}):
        raise BadConfiguration(f"plugin {strange[0]!r} does not exist")
    made: dict[str, Plugin] = {shared.name: shared}

    def plugin(name: str) -> Plugin:
        if name not in made:
            made[name] = make(name, arguments.get(name) or {})
        return made[name]

    filters = _chosen(chosen, ("preFilter", "filter"), dict.fromkeys(FILTERS, 1))
    scores = _chosen(chosen, ("preScore", "score"), SCORES)
    return Profile(
        config.get("schedulerName") or DEFAULT_NAME,
        [plugin(name) for name in filters if name in FILTERS],
        [(plugin(name), weight) for name, weight in scores.items() if name in SCORES],
        "DefaultPreemption" in _chosen(chosen, ("postFilter",), {"DefaultPreemption": 1}),
    )


def _chosen(plugins: Mapping[str, Obj], points: Iterable[str], default: Mapping[str, int]) -> dict[str, int]:
    """The plugins of one point and their weights; what a point says goes before what `multiPoint` says."""
    out = dict(default)
    for point in ("multiPoint", *points):
        said = plugins.get(point) or {}
        off = {each["name"] for each in said.get("disabled") or ()}
        if "*" in off:
            out.clear()
        for name in off:
            out.pop(name, None)
        for each in said.get("enabled") or ():
            out[each["name"]] = each.get("weight") or out.get(each["name"]) or default.get(each["name"]) or 1
    return out
