"""Covariances that are added up in chunks are those of all states at once."""

from __future__ import annotations

import pytest
import torch
from tiny_problems import normal

from harness_recurrent import covariance
from harness_recurrent.covariance import Covariance, PerStep, find_dead


def states(steps=7, rows=11, size=5, dtype=torch.float64):
    return normal(steps, rows, size).to(dtype)


def direct(h):
    """The mean of h h^T, one row after the other."""
    total = torch.zeros(h.shape[-1], h.shape[-1], dtype=torch.float64)
    for row in h.reshape(-1, h.shape[-1]).double():
        total += torch.outer(row, row)
    return total / h[..., 0].numel()


@pytest.mark.parametrize("chunk", [1, 5, 13, 60, 10**6])
@pytest.mark.parametrize("view", [lambda h: h, lambda h: h.transpose(0, 1), lambda h: h[::2]])
def test_chunks_of_any_size_and_views_give_the_mean_of_all(monkeypatch, chunk, view):
    monkeypatch.setattr(covariance, "CHUNK", chunk)
    h, found = view(states()), Covariance(5)
    found.add(h[:2])
    found.add(h[2:])
    assert found.rows == h[..., 0].numel()
    torch.testing.assert_close(found.mean(), direct(h), rtol=1e-14, atol=1e-15)
    assert (found.mean() == found.mean().T).all()


def test_no_more_than_a_chunk_is_ever_wide(monkeypatch):
    monkeypatch.setattr(covariance, "CHUNK", 60)
    h, widths, to = states(rows=100, dtype=torch.float32), [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda h, *args: widths.append(h.numel()) or to(h, *args))
    Covariance(5).add(h)
    assert sum(widths) == 7 * 100 * 5
    assert max(widths) <= 60


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_states_are_added_up_in_float64(dtype):
    h, found = states(rows=1000, dtype=dtype), Covariance(5)
    found.add(h)
    assert found.mean().dtype == torch.float64
    torch.testing.assert_close(found.mean(), direct(h), rtol=1e-13, atol=1e-15)


def test_a_single_state_and_none_are_rows_too():
    found = Covariance(5)
    found.add(states()[0, 0])
    found.add(states()[:, :0])
    assert found.rows == 1
    assert found.mean().equal(direct(states()[:1, :1]))


def test_each_step_has_its_own_and_their_mean_is_that_of_all(monkeypatch):
    monkeypatch.setattr(covariance, "CHUNK", 10)
    h, each, whole = states(), PerStep(7, 5), Covariance(5)
    for part in h.split(4, dim=1):
        each.add(part)
        whole.add(part)
    assert each.rows == 11
    for found, at_step in zip(each.mean(), h, strict=True):
        torch.testing.assert_close(found, direct(at_step), rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(each.mean().mean(0), whole.mean(), rtol=1e-14, atol=1e-15)


def test_dead_nodes_are_those_that_are_always_zero():
    h, found = states().relu(), Covariance(5)
    h[..., [1, 4]] = 0
    found.add(h)
    assert find_dead(found.mean()).tolist() == [False, True, False, False, True]


def test_what_cannot_be_a_covariance_is_refused():
    found, each = Covariance(5), PerStep(7, 5)
    with pytest.raises(ValueError, match="one row of hidden states"):
        found.mean()
    with pytest.raises(ValueError, match=r"\(\.\.\., 5\) were expected and came as \(7, 11, 4\)"):
        found.add(states(size=4))
    with pytest.raises(ValueError, match=r"7 steps were expected, time first, and came as \(6, 11, 5\)"):
        each.add(states(steps=6))
    found.add(states() * torch.inf)
    with pytest.raises(ValueError, match="finite"):
        found.mean()
