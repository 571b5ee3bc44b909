"""Where the tensors of an update go: storages, time steps, the host, other libraries, other threads."""
