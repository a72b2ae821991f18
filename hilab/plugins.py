"""Drivers, players, simulated benches and protocols, found by entry point: ours and a laboratory's alike.

A module is imported only after it is known to lie where the distribution that registered it put it, so
that a folder of the same name in the working directory can neither shadow ours nor run instead of it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from hilab.errors import HilabError, UsageError

DRIVERS = "hilab.drivers"
PLAYERS = "hilab.players"
PROTOCOLS = "hilab.protocols"
SIM_BENCHES = "hilab.sim_benches"
SIM_SERVERS = "hilab.sim_servers"

KINDS = {
    DRIVERS: "driver",
    PLAYERS: "player",
    PROTOCOLS: "protocol",
    SIM_BENCHES: "simulated bench",
    SIM_SERVERS: "server of simulated instruments",
}


class PluginError(HilabError):
    """A registered plug-in cannot be loaded, or must not be."""


def names(group: str) -> list[str]:
    """Names registered in an entry-point group, sorted. Imports nothing."""
    return sorted({entry.name for entry in importlib.metadata.entry_points(group=group)})


def load(group: str, name: str) -> Any:
    """The object registered as `name` in `group`.

    Raises UsageError for an unknown name (listing the known ones), PluginError when two distributions
    claim the name, when the module lies outside the distribution that registered it, or does not import.
    """
    entries = importlib.metadata.entry_points(group=group, name=name)
    if not entries:
        raise UsageError(unknown(KINDS.get(group, "plug-in"), name, names(group)))
    owners = {entry.dist.name if entry.dist else "?": entry for entry in entries}
    what = f"the {KINDS.get(group, 'plug-in')} {name!r}"
    if len(owners) > 1:
        raise PluginError(
            f"{what} is registered by several distributions ({', '.join(sorted(owners))}): "
            f"uninstall all but one"
        )
    return _import(next(iter(owners.values())), what)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not known: the nearest one, and all there are."""
    known = sorted(known)
    near = nearest(name, known)
    listed = f"known: {', '.join(known)}" if known else "none is registered"
    return f"there is no {kind} {name!r}{near} ({listed})"


def nearest(name: str, known: Iterable[str]) -> str:
    """', did you mean ...?' for the closest known name, or ''."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _import(entry: EntryPoint, what: str) -> Any:
    """Import the entry point's object, package by package, each checked before it is imported."""
    parts = entry.module.split(".")
    for depth in range(1, len(parts) + 1):
        module = ".".join(parts[:depth])
        spec = _find(module, what)
        is_namespace = spec.origin is None and depth < len(parts)
        if entry.dist is not None and not is_namespace and not _owns(entry.dist, spec):
            raise PluginError(
                f"{what} of {entry.dist.name} would be loaded from {_place(spec)}, which does not belong to "
                f"{entry.dist.name}: rename that module {module!r} or run hilab in another folder"
            )
    try:
        found: Any = importlib.import_module(entry.module)
        for attribute in filter(None, entry.attr.split(".")):
            found = getattr(found, attribute)
    except (ImportError, SyntaxError, AttributeError) as error:
        raise PluginError(f"{what} ({entry.value}) cannot be imported: {error}") from error
    return found


def _find(module: str, what: str) -> ModuleSpec:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, SyntaxError, AttributeError) as error:
        raise PluginError(f"{what} cannot be imported: {error}") from error
    if spec is None:
        raise PluginError(f"{what} cannot be imported: there is no module {module!r}")
    return spec


def _place(spec: ModuleSpec) -> str:
    return spec.origin or ", ".join(spec.submodule_search_locations or ()) or "an unknown place"


def _owns(dist: Distribution, spec: ModuleSpec) -> bool:
    """True if the module's file is one that the distribution installed, or lies in its editable source."""
    if spec.origin is None or not spec.has_location:
        return False
    origin = Path(spec.origin).resolve()
    source = _editable_source(dist)
    if source is not None:
        return origin.is_relative_to(source)
    if dist.files is None:  # no RECORD (made by hand): whatever lies beside the metadata
        return origin.is_relative_to(Path(str(dist.locate_file(""))).resolve())
    return any(file.name == origin.name and Path(file.locate()).resolve() == origin for file in dist.files)


def _editable_source(dist: Distribution) -> Path | None:
    """The source folder of an editable installation; None for a normal one."""
    text = dist.read_text("direct_url.json")
    if not text:
        return None
    record = json.loads(text)
    url = urlsplit(record.get("url", ""))
    if url.scheme != "file" or not record.get("dir_info", {}).get("editable"):
        return None
    host = f"//{url.netloc}" if url.netloc else ""
    return Path(url2pathname(host + url.path)).resolve()
