"""Library of the spiking family: neurons, surrogates, networks, the LIF inference path. Registers no method.

Nothing here imports torch on its own account: `config` and `architectures` are plain Python, the other modules are
imported inside a trial.
"""
