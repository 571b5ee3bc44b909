"""The ways of an update's tensors: storages, time steps, the host, other libraries, other threads."""
