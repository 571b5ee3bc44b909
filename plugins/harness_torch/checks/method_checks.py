"""Checks of a method that look at torch itself: live tensors, generators, devices, synchronisations."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from harness import Broken, Unsupported
from harness.testing import Run, Subject
from harness_torch.costs.formulas import count_work
from harness_torch.costs.operator_calls import Call, find_tensors
from harness_torch.phases import Phase
from harness_torch.tracking.departures import Departures
from harness_torch.tracking.host_tensors import follow_host_tensors
from harness_torch.tracking.operator_counter import Counter, Tally
from harness_torch.tracking.random_draws import Draws
from harness_torch.tracking.storages import find_live_tensors, find_storages, hold_garbage

UNLIKELY_SEED = 271_828_182_845
# What may be saved: weights that are trained in bf16 are kept in fp32 as a rule.
WIDTHS = {"fp32": (torch.float32,), "tf32": (torch.float32,), "bf16": (torch.float32, torch.bfloat16)}
NARROW = frozenset({torch.bfloat16, torch.float16})


# --- memory -----------------------------------------------------------------------------------------------------------


def no_leak(subject: Subject) -> None:
    """Compare live tensors and their bytes after 3 and 8 updates, each followed by predictions, and where they differ
    after 13: a tensor that is made once, such as that of a captured graph, is no leak.
    """
    run = subject.start()
    batch = next(subject.batches())
    counts: list[tuple[int, int]] = []
    with hold_garbage():
        for updates in (3, 5, 5):
            for _ in range(updates):
                _scalars = run.step(batch)
                run.learner.predict(run.state, run.data.valid.inputs)
            del _scalars
            counts.append(_count_live_tensors())
            if counts[-2:-1] == counts[-1:]:
                return
    (first, size), (tensors, larger), (last, largest) = counts
    raise Broken(
        f"{first} live tensors of {size} bytes after 3 updates and predictions, {tensors} of {larger} after 8, "
        f"{last} of {largest} after 13: something is kept that should be freed or overwritten"
    )


def _count_live_tensors() -> tuple[int, int]:
    """Count the tensors that Python reaches, and the bytes of their storages."""
    gc.collect()
    tensors = find_live_tensors()
    sizes = {storage._cdata: storage.nbytes() for tensor in tensors for storage in find_storages(tensor)}
    return len(tensors), sum(sizes.values())


# --- global state -----------------------------------------------------------------------------------------------------


def global_state_untouched(subject: Subject) -> None:
    """Compare generators and settings of the process before and after init, update and predict."""
    subject.data  # noqa: B018 - made before the state is looked at
    # Seeded with something that no method could happen to seed them with.
    with _restore_settings(), subject.backend.isolated(UNLIKELY_SEED):
        before = _read_global_state()
        run = subject.start()
        _require_unchanged(before, "init")
        run.updates(2)
        _require_unchanged(before, "update")
        for view in run.predictors:
            run.predict(run.data.valid.inputs, view)
        _require_unchanged(before, "predict")
        run.finish()
        _require_unchanged(before, "finish")


def _read_global_state() -> Mapping[str, Any]:
    name, keys, *position = np.random.get_state(legacy=True)  # noqa: NPY002 - this check is about it
    return {
        "torch's global generator": torch.get_rng_state().numpy().tobytes(),
        "numpy's global generator": (name, np.asarray(keys).tobytes(), *position),
        "random's global generator": random.getstate(),
        **({f"cuda:{i}'s generator": torch.cuda.get_rng_state(i).numpy().tobytes() for i in _list_gpus()}),
        **{name: read() for name, (read, _) in SETTINGS.items()},
    }


SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's matmul precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's deterministic mode": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
}


def _list_gpus() -> range:
    return range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)


@contextmanager
def _restore_settings() -> Iterator[None]:
    """Give the settings back at the end, however they were changed."""
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    try:
        yield
    finally:
        for name, (read, write) in SETTINGS.items():
            if read() != before[name]:
                write(before[name])


def _require_unchanged(before: Mapping[str, Any], stage: str) -> None:
    changed = [name for name, state in _read_global_state().items() if before.get(name, state) != state]
    if changed:
        remedy = "draw from a generator of your own, seeded with training.seed, and leave the settings as they are"
        raise Broken(f"{stage} changed {' and '.join(changed)}: {remedy}")


def seed_decides(subject: Subject) -> None:
    """Compare the trainings of two seeds, of a method that draws random numbers at all."""
    batches = subject.batches()
    first, drawn = subject.start(), [next(batches), next(batches)]  # the order of batches is drawn, too
    with Draws() as draws:
        second = subject.start(subject.training(seed=7))
        for batch in drawn:
            first.update(batch)
            second.update(batch)
    if subject.base is not None or not draws.operators:
        raise Unsupported(
            "it starts from the weights of another method" if subject.base else "it draws no random numbers from torch"
        )
    one, other = first.seen(), second.seen()
    if all(np.array_equal(array, other[name], equal_nan=True) for name, array in one.items()):
        raise Broken(f"two seeds give one training, though it draws by {min(draws.operators)}: seed with training.seed")


# --- device, precision, synchronisation -------------------------------------------------------------------------------


def device_and_precision(subject: Subject) -> None:
    """Check, under every precision of the method, that predictions, saved arrays and scalars lie on the device, that
    saved arrays are as wide as the precision says, and that products are taken in it.
    """
    for precision in subject.method.precisions:
        if precision != "tf32" or subject.device != "cpu":
            _check_places_and_widths(subject, precision)
            _check_products(subject, precision)


def _check_places_and_widths(subject: Subject, precision: str) -> None:
    run = subject.start(subject.training(precision=precision))
    batch = next(subject.batches())
    scalars = run.step(batch)
    found = {f"scalar {name!r}": value for name, value in scalars.items()}
    for view, predict in run.predictors.items():
        prediction = predict(run.state, run.data.valid.inputs)
        found |= {f"{name} of {view}": field for name, field in zip(prediction._fields, prediction, strict=True)}
    kept = dict(run.saved()) if run.saves else {}
    for name, value in (found | {f"saved array {name!r}": array for name, array in kept.items()}).items():
        # A single number moves to the device without a wait.
        if isinstance(value, Tensor) and value.numel() > 1 and value.device.type != torch.device(subject.device).type:
            raise Broken(f"the {name} is on {value.device}; training.device is {subject.device}")
    widths = WIDTHS.get(precision)
    for name, array in kept.items():
        if widths and isinstance(array, Tensor) and array.is_floating_point() and array.dtype not in widths:
            raise Broken(f"the saved array {name!r} is {array.dtype}; training.precision is {precision}")


def _check_products(subject: Subject, precision: str) -> None:
    """Check that under bf16 some product is in half the width, and under the others none."""
    run = subject.start(subject.training(eager=True, precision=precision))
    batch = next(subject.batches())
    factors = _FactorTypes()
    with Counter(factors):
        run.step(batch)
        run.learner.predict(run.state, run.data.valid.inputs)
    narrow = sorted(map(str, factors.types & NARROW))
    if precision == "bf16" and factors.types and torch.bfloat16 not in factors.types:
        taken = ", ".join(sorted(map(str, factors.types)))
        raise Broken(f"no product is taken in torch.bfloat16 but in {taken}; training.precision is bf16")
    if precision in WIDTHS and precision != "bf16" and narrow:
        raise Broken(f"products are taken in {', '.join(narrow)}; training.precision is {precision}")


class _FactorTypes:
    """The types of the factors of matrix products and convolutions."""

    def __init__(self) -> None:
        self.types: set[torch.dtype] = set()

    def add(self, phase: Phase, call: Call) -> None:
        del phase
        done = count_work(call)
        if done is not None and done.macs:
            self.types |= {
                each.dtype for each in find_tensors(list(call.arguments.values())) if each.is_floating_point()
            }


def no_synchronisation(subject: Subject) -> None:
    """Look for operators of a steady update that make a GPU's host wait: they are there on a CPU, too."""
    with follow_host_tensors() as host:
        run = subject.start(subject.training(eager=True))
        run.updates(2)
        batch = next(subject.batches())
        tally, left = Tally(host), Departures(host)
        with left, Counter(tally):
            scalars = run.step(batch)
    del scalars
    waits = {name: count.syncs for (_, name), count in tally.counts.items() if count.syncs} | left.waits
    if waits:
        listed = ", ".join(f"{count}x {name}" for name, count in waits.items())
        raise Broken(f"an update makes the host wait for the device: {listed} (.item(), float() and masks do that)")


# --- saved arrays -----------------------------------------------------------------------------------------------------


def arrays_safe(subject: Subject) -> None:
    """Check that saved arrays are tensors which safetensors takes: contiguous, none of them a part of another."""
    run: Run = subject.start()
    run.updates(1)
    named = run.saved()
    for name, array in named.items():
        if not isinstance(array, Tensor):
            raise Broken(f"the saved array {name!r} is a {type(array).__name__}; expected a tensor")
        if not array.is_contiguous():
            raise Broken(f"the saved array {name!r} is not contiguous: write .contiguous()")
        if array.requires_grad:
            raise Broken(f"the saved array {name!r} requires grad: write .detach()")
    try:
        safetensors.torch.save(dict(named))
    except (RuntimeError, ValueError) as error:
        first, _, _ = str(error).strip().partition("\n")
        raise Broken(f"safetensors does not take what is saved: {first}") from error
