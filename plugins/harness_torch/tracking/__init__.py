"""Operators and tensors of an update, followed: storages, time steps, the host, other libraries, other threads."""
