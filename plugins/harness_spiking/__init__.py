"""Library of the spiking family: neurons, surrogates, networks, the LIF inference path. It offers nothing of its own.

Importing this package imports no torch: `config` and `architectures` are plain Python, the other modules are imported
inside a trial.
"""
