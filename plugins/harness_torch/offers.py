"""The instruments of this package and their metrics, by name, without importing torch."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Instrument, Metric


def instruments() -> Iterator[Instrument]:
    """Offer all instruments, by name."""
    yield Instrument(
        "activation-memory",
        "peak of the live tensors that an update holds and makes, seen operator by operator",
        factory="harness_torch.instruments.activation_memory:ActivationMemory",
        repeats=True,
    )
    yield Instrument(
        "saved-memory",
        "peak of the live tensors that autograd keeps for the backward pass",
        factory="harness_torch.instruments.saved_tensors:SavedMemory",
        repeats=True,
    )
    yield Instrument(
        "operations",
        "MACs and element-wise operations by phase, with a list of operators that have no formula",
        factory="harness_torch.instruments.operation_counts:Operations",
        repeats=True,
    )
    # Named as the metric, so that the reason for which it is missing stands in its cell.
    yield Instrument(
        "inference_macs",
        "MACs, element-wise operations and bytes moved of a prediction of the trained network",
        factory="harness_torch.instruments.operation_counts:Inference",
        repeats=True,
    )
    yield Instrument(
        "inference-memory",
        "peak of the live tensors that a prediction of the trained network makes",
        factory="harness_torch.instruments.activation_memory:InferenceMemory",
        repeats=True,
    )
    # Named as the metric, likewise.
    yield Instrument(
        "synaptic_ops",
        "pairs of nonzero weight and nonzero input in a prediction of the trained network, and how often its neurons "
        "fire",
        factory="harness_torch.instruments.synaptic_operations:SynapticOperations",
    )
    for rows in LATENCIES:  # named as the metrics, likewise
        yield Instrument(
            f"latency_{rows}_seconds",
            f"time of a prediction of {rows} row{'s' if rows > 1 else ''} by the trained network",
            factory=f"harness_torch.instruments.latency:of_{rows}",
            on_request=True,
        )
    yield Instrument(
        "tensor-peak",
        "peak of what the allocator has given out: weights, gradients, activations, operators' own temporaries",
        factory="harness_torch.instruments.allocator_peaks:TensorPeak",
        repeats=True,
    )
    # Named as the metric, likewise.
    yield Instrument(
        "train_peak_bytes",
        "peak of what the GPU's allocator has given out to the step as it is trained, fused and captured included",
        factory="harness_torch.instruments.allocator_peaks:TrainPeak",
        intrusive=False,
    )
    yield Instrument(
        "process-peak",
        "most memory that the trial's process had resident",
        factory="harness_torch.instruments.allocator_peaks:ProcessPeak",
        intrusive=False,
    )
    # Named as the metric, likewise.
    yield Instrument(
        "gpu_process_bytes",
        "memory of the GPU that the trial's process has at the end of training, its context included (NVML)",
        factory="harness_torch.instruments.gpu_readings:GpuProcess",
        intrusive=False,
    )
    yield Instrument(
        "energy_joules",
        "energy that the GPU drew for the timed pass, its idle power subtracted (NVML)",
        factory="harness_torch.instruments.gpu_readings:Energy",
        intrusive=False,
    )
    yield Instrument(
        "gpu-trouble",
        "other processes on the GPU before and after the timed pass, and throttling during it, too (NVML)",
        factory="harness_torch.instruments.gpu_readings:GpuTrouble",
        intrusive=False,
    )


def metrics() -> Iterator[Metric]:
    """Offer a metric for each number that an instrument reads and a table may show."""
    for name, summary in MEMORY.items():
        yield Metric(name, summary, unit="B", better="lower", per="update", exact=True, bounded_by="launches")
    for name, summary in COUNTS.items():
        bound = "uncovered" if name in INCOMPLETE else ""
        yield Metric(name, summary, unit="", better="lower", per="update", exact=True, bounded_by=bound)
    for name, summary in SYNAPTIC.items():
        bound = f"{name.partition('_')[0]}_uncovered"
        exact = name in BY_SHAPE
        yield Metric(name, summary, unit="", better="lower", per="example", exact=exact, bounded_by=bound)
    for name, (summary, per) in INFERENCE_BYTES.items():
        yield Metric(name, summary, unit="B", better="lower", per=per, exact=True, bounded_by="inference_launches")
    yield Metric(
        "firing_rate", "spikes per neuron and time step of the trained network", unit="", better="lower", per="step"
    )
    for rows in LATENCIES:
        summary = f"median time of a prediction of {rows} row{'s' if rows > 1 else ''} by the trained network"
        yield Metric(f"latency_{rows}_seconds", summary, unit="s", better="lower", per="prediction")
    yield Metric("train_peak_bytes", "peak of the GPU's memory in training less the data", "B", "lower", per="trial")
    yield Metric("process_peak_bytes", "most resident memory of the process", unit="B", better="lower", per="trial")
    yield Metric("gpu_process_bytes", "memory of the GPU that the process has", unit="B", better="lower", per="trial")
    yield Metric("energy_joules", "energy of the GPU above idle, evaluation included", "J", "lower", per="trial")
    yield Metric("gpu_foreign_processes", "other processes on the GPU", unit="", better="lower", per="trial")


LATENCIES = (1, 32, 256)  # rows of a prediction that is timed

MEMORY = {
    "activation_bytes": "peak of live tensors less parameters, gradients, optimiser state and data",
    "held_before_bytes": "of activation_bytes, what is carried into an update",
    "held_after_bytes": "of activation_bytes, what is left after an update",
    "state_bytes": "carried from one marked time step or update to the next, of what activation_bytes counts",
    "saved_bytes": "peak of live tensors saved for the backward pass, less parameters and data",
    "tensor_peak_bytes": "peak of all allocated tensor memory less the data, operators' own temporaries included",
}

SYNAPTIC = {
    "inference_macs": "multiply-accumulates of a prediction of the trained network",
    "synaptic_ops": "pairs of nonzero weight and nonzero input in a prediction of the trained network",
    "synaptic_acs": "of synaptic_ops, those that only accumulate: the input is a spike",
    "synaptic_macs": "of synaptic_ops, those that multiply: the input is real-valued",
    "synaptic_dense_ops": "synaptic_ops if no weight and no input were zero",
}

INFERENCE_BYTES = {
    "inference_bytes_moved": ("bytes that the operators of a prediction of the trained network move", "example"),
    "inference_activation_bytes": ("peak of live tensors that a prediction of 32 rows makes", "prediction"),
}

BY_SHAPE = ("inference_macs", "synaptic_dense_ops")  # the others depend on who fires

# Operators without a formula are missing in these; those that were not seen at all, in `launches` and in memory too.
INCOMPLETE = ("forward_macs", "backward_macs", "optimizer_macs", "total_macs", "elementwise_ops")

COUNTS = {
    "forward_macs": "multiply-accumulates of the forward pass, executed without gradients included",
    "backward_macs": "multiply-accumulates of the backward pass",
    "optimizer_macs": "multiply-accumulates of the optimiser's step",
    "total_macs": "multiply-accumulates of the whole update",
    "elementwise_ops": "arithmetic operations on single elements in the whole update; reductions one per input",
    "bytes_moved": "bytes that the operators of an update read and write",
    "launches": "operators of an update that compute or copy something",
    "host_syncs": "operators of an update for which the host waits for the device",
}
