"""The torch backend: order of the batches, clocks, meters, isolation, devices."""

from __future__ import annotations

import dataclasses
import gc
import random
import weakref

import numpy as np
import pytest
import torch

from harness import Batch, Budget, ClassLogProbs, Data, Problem, RegressionMixture, TrainingTerms, Trial, UsageError
from harness.types import Choice
from harness_torch.backend.clocks import EventClock, KeepMeter
from harness_torch.backend.devices import check
from harness_torch.backend.torch_backend import TorchBackend

BACKEND = TorchBackend()


def shuffled(rows: int, augment=None) -> Data:
    split = Batch(np.arange(rows, dtype=np.float32)[:, None], np.arange(rows))
    return BACKEND.place(Data(Problem("classification", (1,), rows, rows), split, split, split, augment=augment), "cpu")


def take(data: Data, count: int, size: int, seed: int = 0) -> list[Batch]:
    stream = BACKEND.batches(data, size, seed)
    return [next(stream) for _ in range(count)]


def test_batches_are_full_and_every_row_comes_once_an_epoch():
    batches = take(shuffled(10), 5, 4)  # two epochs of 10 rows in 5 batches of 4
    rows = torch.cat([batch.targets for batch in batches])
    assert [len(batch.targets) for batch in batches] == [4] * 5
    assert sorted(rows[:10].tolist()) == sorted(rows[10:].tolist()) == list(range(10))
    assert torch.equal(torch.cat([batch.inputs[:, 0] for batch in batches]).long(), rows)


def test_the_order_depends_on_the_seed_alone():
    first, again, other = (torch.cat([b.targets for b in take(shuffled(50), 5, 10, seed)]) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_order_ignores_the_global_generators():
    torch.manual_seed(1)
    first = take(shuffled(50), 1, 10)[0].targets
    torch.manual_seed(2)
    assert torch.equal(first, take(shuffled(50), 1, 10)[0].targets)


def test_a_batch_larger_than_the_data_is_the_data():
    (batch,) = take(shuffled(6), 1, 100)
    assert sorted(batch.targets.tolist()) == list(range(6))


def test_augmentation_sees_training_batches_and_a_generator_of_its_own():
    noisy = shuffled(20, augment=lambda inputs, generator: inputs + torch.rand(inputs.shape, generator=generator))
    first, again = take(noisy, 1, 20)[0], take(noisy, 1, 20)[0]
    plain = take(shuffled(20), 1, 20)[0]
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, plain.inputs)
    assert torch.equal(first.targets, plain.targets)


def noisy(rows: int) -> Data:
    return shuffled(rows, augment=lambda inputs, generator: inputs + torch.rand(inputs.shape, generator=generator))


def stream(rows: int) -> Data:
    tokens = torch.arange(rows + 1)[None]
    split = Batch(tokens, tokens[:, 1:])
    return Data(Problem("language", (), rows + 1, rows, order="contiguous", window=3), split, split, split)


@pytest.mark.parametrize("make", [shuffled, noisy, stream])
def test_a_lane_gets_the_batches_that_its_trial_would_get_alone(make):
    first, second = make(50), make(50)
    second = dataclasses.replace(second, train=second.train._replace(inputs=second.train.inputs + 1))
    data, seeds = [first, second, first], [3, 4, 5]
    together = BACKEND.lane_batches(data, 8, seeds)
    alone = [BACKEND.batches(each, 8, seed) for each, seed in zip(data, seeds, strict=True)]
    for _ in range(15):  # more than two epochs, with batches that begin in one and end in the next
        batch, own = next(together), [next(each) for each in alone]
        assert batch.first == own[0].first
        for lane, expected in enumerate(own):
            assert torch.equal(batch.inputs[lane], expected.inputs)
            assert torch.equal(batch.targets[lane], expected.targets)


def test_data_that_lanes_share_are_there_once_and_are_not_copied():
    data = shuffled(50)
    batches = BACKEND.lane_batches([data] * 100, 50, range(100))
    first = next(batches).inputs
    data.train.inputs.add_(100)
    second = next(batches).inputs
    rows = [gathered.flatten(1).sort(dim=1).values for gathered in (first, second)]
    assert torch.equal(rows[0], torch.arange(50.0).expand(100, 50))
    assert torch.equal(rows[1], rows[0] + 100)


def test_the_meter_of_lanes_keeps_each_update_by_value():
    meter, value = KeepMeter(), torch.zeros(3, requires_grad=True)
    for number in range(2):
        meter.add({"loss": value + number, "kl": torch.full((3,), float(number))})
    with torch.no_grad():
        value.fill_(7.0)
    read = meter.read()
    assert read["loss"].tolist() == [[0.0] * 3, [1.0] * 3]
    assert read["kl"].tolist() == [[0.0] * 3, [1.0] * 3]
    assert meter.read() == {}


@pytest.mark.parametrize("piece_bytes", [1, 24, 25, 10**6])
def test_a_transform_sees_every_row_of_every_split_once_in_pieces(monkeypatch, piece_bytes):
    monkeypatch.setattr("harness_torch.backend.torch_backend.PIECE_BYTES", piece_bytes)
    rows, sizes = np.arange(7 * 12, dtype=np.uint8).reshape(7, 3, 4), []

    def transform(inputs):
        sizes.append(len(inputs))
        return inputs.flatten(1).float() / 2  # of another type and shape

    splits = [Batch(rows[:count], np.arange(count)) for count in (7, 2, 1)]
    problem = Problem("classification", (12,), 7, 7)
    data = BACKEND.place(Data(problem, *splits, {"far": splits[0]}, transform=transform), "cpu")
    for split, count in ((data.train, 7), (data.valid, 2), (data.test, 1), (data.shifted["far"], 7)):
        assert split.inputs.dtype == torch.float32
        assert np.array_equal(split.inputs.numpy(), rows[:count].reshape(count, 12) / 2)
    assert sum(sizes) == 17
    assert max(sizes) == min(7, max(1, piece_bytes // 12))
    assert BACKEND.place(data, "cpu").train.inputs[1, 1] == 6.5  # not transformed again


def test_windows_fold_a_stream_into_rows_and_announce_a_new_one():
    tokens = torch.arange(41)
    split = Batch(tokens[None], tokens[None, 1:])
    data = Data(Problem("language", (), 41, 40, order="contiguous", window=7), split, split, split)
    batches = take(data, 3, 2)  # 40 targets in 2 streams of 20: windows [0, 7) and [7, 14), the last 6 are dropped
    assert batches[0].inputs.tolist() == [list(range(7)), list(range(20, 27))]
    assert batches[1].inputs.tolist() == [list(range(7, 14)), list(range(27, 34))]
    assert torch.equal(batches[1].targets, batches[1].inputs + 1)
    assert [batch.first for batch in batches] == [True, False, True]


def test_a_stream_that_is_shorter_than_a_window_is_refused():
    tokens = torch.arange(41)
    split = Batch(tokens[None], tokens[None, 1:])
    data = Data(Problem("language", (), 41, 40, order="contiguous", window=7), split, split, split)
    with pytest.raises(ValueError, match="40 steps in 8 streams are shorter than a window of 7"):
        take(data, 1, 8)


def test_numbers_of_a_trial_alone_are_kept_as_they_are():
    meter = KeepMeter()
    for value in (1.0, float("nan")):
        meter.add({"loss": torch.tensor(value), "rate": 0.5})
    read = meter.read()
    assert read["rate"].tolist() == [0.5, 0.5]
    assert read["loss"][0] == 1.0
    assert np.isnan(read["loss"][1])


def test_the_meter_holds_no_graph_of_an_update():
    class Held:
        pass

    class Keep(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, held):
            ctx.held = held
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient, None

    meter, graphs = KeepMeter(), []
    for _ in range(3):
        held = Held()
        graphs.append(weakref.ref(held))
        meter.add({"loss": Keep.apply(torch.ones((), requires_grad=True), held)})
        del held
    gc.collect()
    assert [graph() for graph in graphs] == [None] * 3
    assert meter.read()["loss"].tolist() == [2.0] * 3


def test_arrays_are_copies_on_every_device():
    named = {"weight": torch.ones(2)}
    BACKEND.arrays(named, "cpu")["weight"].zero_()
    assert named["weight"].tolist() == [1, 1]


def test_the_host_clock_keeps_a_lap_for_each_update():
    clock = BACKEND.clock("cpu")
    for _ in range(3):
        clock.start()
        clock.stop()
    assert len(clock.seconds()) == 3
    assert all(lap >= 0 for lap in clock.seconds())


def test_isolation_seeds_and_gives_back_every_global_generator():
    def draws():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    expected = draws()
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    with BACKEND.isolated(7):
        first = draws()
    assert draws() == expected
    with BACKEND.isolated(7):
        assert draws() == first


def test_predictions_become_float64_arrays_of_the_same_kind():
    prediction = BACKEND.numpy(ClassLogProbs(torch.zeros(1, 2, 3, requires_grad=True), torch.zeros(1)))
    assert isinstance(prediction, ClassLogProbs)
    assert prediction.log_probs.dtype == np.float64


def test_rescaling_a_mixture_scales_means_and_variances():
    mixture = RegressionMixture(np.array([[1.0]]), np.array([[4.0]]), np.zeros(1)).rescaled(10.0, 3.0)
    assert mixture.means.tolist() == [[13.0]]
    assert mixture.variances.tolist() == [[36.0]]


def test_arrays_survive_safetensors(tmp_path):
    named = {"weight": torch.arange(6.0).view(2, 3).t(), "steps": torch.tensor(3)}
    BACKEND.save(named, tmp_path / "w.safetensors")
    loaded = BACKEND.load(tmp_path / "w.safetensors")
    assert all(torch.equal(loaded[name], named[name]) for name in named)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_who_reads_the_folder_reads_the_arrays_in_it(tmp_path):
    tmp_path.chmod(0o750)
    BACKEND.save({"weight": torch.ones(2)}, tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o640


def test_memory_errors_are_told_from_others():
    with pytest.raises(RuntimeError) as huge:
        torch.empty(2**60)
    assert BACKEND.out_of_memory(huge.value)
    assert BACKEND.out_of_memory(MemoryError())
    assert BACKEND.out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"))
    assert BACKEND.out_of_memory(RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"))
    assert not BACKEND.out_of_memory(RuntimeError("shapes do not match"))


@pytest.mark.parametrize(
    ("device", "precision", "said"),
    [
        ("gpu", "fp32", "--device gpu"),
        ("cuda:x", "fp32", "--device cuda:x"),
        ("cpu", "fp8", "--precision fp8"),
        ("cpu", "tf32", "--precision tf32"),
    ],
)
def test_a_device_or_precision_that_is_not_there_is_refused(device, precision, said):
    with pytest.raises(UsageError, match=said):
        check(device, precision, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_device_says_what_to_do():
    with pytest.raises(UsageError, match="--device cpu"):
        check("cuda", "fp32", 1)
    assert check("auto", "fp32", 4) == "cpu"


def test_setup_sets_threads_precision_and_determinism():
    choice = Choice("x", {}, {}, "x")
    trial = Trial(
        choice, choice, 0, TrainingTerms(Budget("epochs", 1), 1, "cpu", "fp32", threads=1, deterministic=True)
    )
    before = torch.get_num_threads()
    try:
        BACKEND.setup(trial)
        known = BACKEND.environment("cpu")
        assert (known["threads"], known["deterministic"]) == (1, True)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(before)


def test_a_trial_takes_denormal_numbers_for_zero_with_which_a_processor_takes_tens_of_times_as_long():
    choice = Choice("x", {}, {}, "x")
    torch.set_flush_denormal(False)
    half = torch.full((8,), torch.finfo(torch.float32).tiny).div(2)
    assert half.any()
    assert not BACKEND.environment("cpu")["flushes_denormals"]
    BACKEND.setup(Trial(choice, choice, 0, TrainingTerms(Budget("epochs", 1), 1, "cpu", "fp32", threads=1)))
    assert not (half * 1).any()
    assert BACKEND.environment("cpu")["flushes_denormals"]


@pytest.mark.gpu
def test_the_event_clock_measures_the_device_and_not_the_launch():
    clock = EventClock(torch.device("cuda"))
    matrix = torch.rand(4096, 4096, device="cuda")
    for _ in range(2):
        clock.start()
        for _ in range(20):
            matrix = matrix @ matrix
        clock.stop()
    # 20 products of 4096^3 take milliseconds on any GPU; launching them takes well under one.
    assert min(clock.seconds()) > 1e-3


@pytest.mark.gpu
def test_the_order_is_the_same_on_every_device():
    data = shuffled(100)
    moved = BACKEND.place(data, "cuda")
    assert torch.equal(take(data, 1, 10)[0].targets, take(moved, 1, 10)[0].targets.cpu())


@pytest.mark.gpu
def test_lanes_have_the_same_order_on_every_device():
    data = shuffled(100)
    moved = BACKEND.place(data, "cuda")
    here, there = (next(BACKEND.lane_batches([each] * 3, 10, [1, 2, 3])) for each in (data, moved))
    assert there.inputs.is_cuda
    assert torch.equal(here.targets, there.targets.cpu())
    meter = KeepMeter()
    meter.add({"loss": there.inputs.mean(dim=(1, 2))})
    assert meter.read()["loss"][0] == pytest.approx(here.inputs.mean(dim=(1, 2)).numpy())


def test_predictions_are_not_autotuned_for_and_training_is_again_afterwards(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with BACKEND.evaluating():
        assert not torch.backends.cudnn.benchmark
    with pytest.raises(ZeroDivisionError), BACKEND.evaluating():
        raise ZeroDivisionError
    assert torch.backends.cudnn.benchmark
