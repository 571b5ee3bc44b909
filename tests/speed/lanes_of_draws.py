"""Draws of a network as lanes beside a loop over draws: K S = 50 draws of a network with one layer of 50 units.

    python -m tests.speed.lanes_of_draws

Weights are drawn in both, on one thread. What lanes save are the operators of small products, so it depends on the rows
of a mini-batch, and each number of rows is a line of the table.
"""

from __future__ import annotations

import argparse
import sys

import torch

from harness import Problem, Training
from harness_bayes import likelihoods, mixture, networks, variational
from harness_bayes.config import MixtureOptions

from .paired import Row, interleaved, processor_time, ratio, show

INPUTS, COMPONENTS, DRAWS = 13, 5, 10
BARS = {51: (3.5, 3.0), 128: (2.0, 2.0), 455: (1.2, 0.95)}  # rows: loop over lanes in training, and in prediction


class Setting:
    """A mixture and so many rows."""

    def __init__(self, rows: int) -> None:
        options = MixtureOptions(components=COMPONENTS, train_samples=DRAWS, estimator="weights")
        problem = Problem("regression", (INPUTS,), 1, rows)
        self.learner = mixture.build(options)
        self.state = self.learner.init(problem, Training(0, "cpu", "fp32", rows, 1), None)
        self.alone = [self._component(k) for k in range(COMPONENTS)]
        self.inputs, self.targets = torch.randn(1, rows, INPUTS), torch.randn(1, rows)

    def _component(self, k: int) -> dict[str, torch.Tensor]:
        parameters = self.state.parameters.items()
        chosen = {name: tensor[k : k + 1] for name, tensor in parameters if name != "log_noise"}
        return {name: tensor.detach().clone().requires_grad_() for name, tensor in chosen.items()}

    def train_as_lanes(self) -> None:
        q, noise = self.state.mixture(), self.state.noise
        outputs = networks.apply(self.state.network, q.draw(DRAWS, noise), self.inputs)
        self._likelihood(outputs).mean().backward()

    def train_in_a_loop(self) -> None:
        for alone in self.alone:
            for _ in range(DRAWS):
                q = variational.read_mixture(self.state.network, alone)
                outputs = networks.apply(self.state.network, q.draw(1, self.state.noise), self.inputs)
                (self._likelihood(outputs).mean() / COMPONENTS / DRAWS).backward()

    def _likelihood(self, outputs: torch.Tensor) -> torch.Tensor:
        return likelihoods.log_likelihood(self.state.likelihood, outputs, self.targets, self.state.log_noise)

    @torch.no_grad()
    def predict_as_lanes(self) -> None:
        networks.apply(self.state.network, self.state.mixture().draw(DRAWS, self.state.noise), self.inputs)

    @torch.no_grad()
    def predict_in_a_loop(self) -> None:
        for alone in self.alone:
            q = variational.read_mixture(self.state.network, alone)
            for _ in range(DRAWS):
                networks.apply(self.state.network, q.draw(1, self.state.noise), self.inputs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rows = []
    for count, (training, prediction) in BARS.items():
        setting = Setting(count)
        ways = {
            "train, lanes": setting.train_as_lanes,
            "train, loop": setting.train_in_a_loop,
            "predict, lanes": setting.predict_as_lanes,
            "predict, loop": setting.predict_in_a_loop,
        }
        seconds = interleaved({name: processor_time(way) for name, way in ways.items()}, rounds)
        for stage, bar in (("train", training), ("predict", prediction)):
            found = ratio(seconds[f"{stage}, lanes"], seconds[f"{stage}, loop"])
            rows.append(Row(f"{count} rows, {stage}: lanes / loop", found, 1 / bar))
    return show(rows)


if __name__ == "__main__":
    sys.exit(main())
