"""Rows of tiny problems, the terms of training on them, and how far what comes out is from what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from harness import Batch, Fit, Problem, Training


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def rows(problem: Problem, count: int | None = None, seed: int = 1, dtype: torch.dtype = torch.float64) -> Batch:
    """Normal inputs with random classes or noisy sines of their first numbers, as many as the problem has; or windows
    of four texts.
    """
    if problem.kind == "language":
        return _draw_texts(problem, count or 4, problem.window, seed)
    count, draw = problem.train_size if count is None else count, generator(seed)
    inputs = torch.randn(count, *problem.input_shape, generator=draw, dtype=dtype)
    if problem.kind == "classification":
        return Batch(inputs, torch.randint(problem.output_size, (count,), generator=draw))
    return Batch(inputs, inputs[:, 0].sin() + 0.1 * torch.randn(count, generator=draw, dtype=dtype))


def fit(problem: Problem, dtype: torch.dtype = torch.float64) -> Fit:
    """All that a learner sees as a whole: rows, or one text; to be validated by others."""
    if problem.kind == "language":
        return Fit(*(_draw_texts(problem, 1, problem.train_size, seed) for seed in (1, 2)))
    return Fit(*(rows(problem, seed=seed, dtype=dtype) for seed in (1, 2)))


def windows(problem: Problem, count: int, texts: int = 4) -> Iterator[Batch]:
    """Windows of texts, each of which goes on where the one before ended."""
    inputs, targets, _ = _draw_texts(problem, texts, count * problem.window, seed=4)
    for window, cut in enumerate(zip(inputs.split(problem.window, 1), targets.split(problem.window, 1), strict=True)):
        yield Batch(*cut, first=window == 0)


def _draw_texts(problem: Problem, count: int, length: int, seed: int) -> Batch:
    tokens = torch.randint(problem.output_size, (count, length + 1), generator=generator(seed))
    return Batch(tokens[:, :-1], tokens[:, 1:])


def terms(
    updates: int | None = None, precision: str = "fp64", batch_size: int = 4, seed: int = 0, device: str = "cpu", **more
) -> Training:
    return Training(seed, device, precision, batch_size, updates, **more)


def largest_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Of any tensor, relative to the largest entry of the expected one; none from zeros is none."""
    assert found.keys() == expected.keys()
    differences = {k: (found[k] - expected[k]).abs().max().item() for k in expected}
    assert not any(map(math.isnan, differences.values())), differences  # which max would pass over
    sizes = {k: expected[k].abs().max().item() for k in expected if differences[k]}
    return max((differences[k] / size if size else math.inf for k, size in sizes.items()), default=0.0)
