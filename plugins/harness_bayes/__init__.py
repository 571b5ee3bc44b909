"""The library of Bayesian methods: networks as lanes, Gaussian weights, likelihoods, priors, mixtures as predictions.

It registers no method. Importing this package imports no torch.
"""

from __future__ import annotations

harness_interface = 2
