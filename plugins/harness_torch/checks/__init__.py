"""The promises of a method that are tested by looking at torch, without importing it."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Check


def checks() -> Iterator[Check]:
    """Offer the checks, all of them about methods."""
    for name, summary in PROMISES.items():
        module = ELSEWHERE.get(name, "method_checks")
        yield Check(name, summary, "method", f"harness_torch.checks.{module}:{name.replace('-', '_')}")


PROMISES = {
    "seed-decides": "another seed gives another training, for one that draws at random",
    "global-state-untouched": "no global generator and no setting of the process is changed",
    "no-leak": "as many live tensors after 8 updates as after 3",
    "device-and-precision": "what it returns lies on the device, what it saves and multiplies is as wide as asked",
    "no-synchronisation": "no update makes the host wait for the device",
    "arrays-safe": "saved arrays are contiguous tensors that share no memory",
    "profiled-as-timed": "an eager update, which is counted, does to the state what a timed one does",
}
ELSEWHERE = {"profiled-as-timed": "profiled_update"}
