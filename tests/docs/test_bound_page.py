"""docs/bound.md: the numbers that it prints follow from each other by the equations that stand beside them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "bound.md").read_text(encoding="utf-8")
SHOWN = re.search(r"^```text\n(.*?)^```$", PAGE, re.M | re.S)[1]
VALUES = {
    title.strip(): float(value) for title, value in re.findall(r"^(\S.{30,36}?)  +(\d\S*)(?:  .*)?$", SHOWN, re.M)
}
STEPS_T, PIXELS, CLASSES, DELTA = 28, 28, 10, 0.05  # mnist-rows; the default chance that a bound does not hold


def said(pattern):
    return float(re.search(pattern, SHOWN)[1])


def parameters(nodes, inputs=PIXELS):
    """Of an IRNN: input, bias and state of each node, and the readout."""
    return nodes * (inputs + 1 + nodes) + CLASSES * (nodes + 1)


def length(count, n, bits=8):
    """sqrt(((q p + 32 s + 64) ln 2 + ln 1/delta) / 2 n) of five tensors."""
    return math.sqrt(((bits * count + 32 * 5 + 64) * math.log(2) + math.log(1 / DELTA)) / (2 * n))


def test_sizes_are_those_of_the_network_that_the_page_names():
    assert [VALUES[each] for each in ("steps T", "nodes m", "nodes kept k")] == [STEPS_T, 128, 42]
    assert VALUES["parameters left p"] == parameters(42)


def test_what_the_states_say_fits_together():
    trace = 128 * VALUES["regularisation lam"] / 1e-4
    assert said(r"([\d.]+) Tr S / m, at which") == pytest.approx(
        VALUES["feasible regularisation lam(k)"] / trace * 128, rel=1e-3
    )
    assert said(r"Tr E\n +([\d.]+) % of all") == pytest.approx(
        100 * VALUES["information loss, input L_A"] / trace, abs=0.05
    )
    assert said(r"at most ([\d.]+)\n") == pytest.approx(math.sqrt(20 * 128 / 3), abs=0.05)
    growth = sum(VALUES["kappa"] ** step for step in range(STEPS_T - 1))
    assert said(r"S_\{T-1\}\(kappa\) is (\S+)\n") == pytest.approx(growth, rel=27 * 0.005 / VALUES["kappa"])


def test_bounds_and_gaps_are_those_of_the_errors_beside_them():
    for name in ("8-bit", "compressed", "base"):
        gap = VALUES[f"test error, {name}"] - VALUES[f"training error, {name}"]
        assert VALUES[f"gap, {name}"] == pytest.approx(gap, abs=1e-5)
    bound = VALUES["training error, 8-bit"] + length(VALUES["parameters left p"], VALUES["training sequences n"])
    assert VALUES["Occam bound at q = 8 bits"] == pytest.approx(bound, abs=5e-5)
    bias = [VALUES[name] for name in ("bias, measured", "bias bound", "bias bound before J is known")]
    assert bias == sorted(bias)


def test_what_is_called_vacuous_is():
    parts = re.split(r"^(?=\S)", SHOWN, flags=re.M)
    limits = {
        part.split("  ")[0]: each[1] for part in parts if (each := re.search(r"without any node it is (\S+)", part))
    }
    assert list(limits) == ["bias bound", "bias bound at the last step", "bias bound before J is known"]
    assert all(VALUES[name] > float(limit) for name, limit in limits.items())
    assert VALUES["variance term"] > 1
    assert "a loss is 1 at most" in next(part for part in parts if part.startswith("variance term"))


def test_the_conclusion_is_that_of_the_numbers():
    assert f"errs in\n{100 * VALUES['Occam bound at q = 8 bits']:.0f} % of unseen rows" in PAGE
    assert length(parameters(128), VALUES["training sequences n"]) > 1
    few = [length(parameters(nodes, inputs=8), 1079) for nodes in (42, 128)]
    printed = re.search(r"1,079 rows of `digits-rows` \(([\d.]+) and ([\d.]+)\)", PAGE).groups()
    assert all(0 <= float(each) + 0.05 - least <= 0.15 for each, least in zip(printed, few, strict=True))
