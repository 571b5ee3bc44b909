"""The number of the hook interface: what a plugin says, by hooks and nouns, and which names it may import.

A plugin that says which one it was written for, `harness_interface = 2` above its imports, is told in one line where
the harness has another. One that says nothing is loaded.
"""

from __future__ import annotations

from harness.errors import PluginError
from harness.hookspecs import INTERFACE

ATTRIBUTE = "harness_interface"


def require_interface(declared: object) -> None:
    """Raises PluginError for what is not the interface of this harness."""
    if declared == INTERFACE and type(declared) is int:
        return
    if type(declared) is not int:
        raise PluginError(f"{ATTRIBUTE} is {declared!r}; expected a whole number such as {INTERFACE}")
    if declared > INTERFACE:
        raise PluginError(
            f"it is written for hook interface {declared}, and this harness has {INTERFACE}: install a newer harness"
        )
    raise PluginError(
        f"it is written for hook interface {declared}, and this harness has {INTERFACE}: install a newer version of "
        f"it, or mend what CHANGELOG.md names under 'Hook interface {INTERFACE}' and say {ATTRIBUTE} = {INTERFACE}"
    )


def declared_by(plugin: object) -> object:
    """The interface that a plugin declares, or this one where it declares none."""
    return getattr(plugin, ATTRIBUTE, INTERFACE)


def declared_where(error: BaseException) -> object:
    """The same of a module whose import has failed, from the names that it had by then."""
    found: object = INTERFACE
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_code.co_name == "<module>":
            found = frame.f_globals.get(ATTRIBUTE, found)
    return found
