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


def read_declared(plugin: object) -> object:
    """The interface that a plugin declares, or this one where it declares none."""
    return getattr(plugin, ATTRIBUTE, INTERFACE)


def find_declared(error: BaseException) -> object:
    """The same of a module whose import has failed, from the names that it had by then."""
    from traceback import walk_tb  # a healthy run does without

    modules = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code.co_name == "<module>"]
    return next((frame.f_globals[ATTRIBUTE] for frame in reversed(modules) if ATTRIBUTE in frame.f_globals), INTERFACE)
