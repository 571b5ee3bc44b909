"""`harness export`: a trained network in another format, which is at its path only where it predicts the same."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest

from harness.catalog import Catalog
from harness.cli import main
from harness.errors import PluginError
from harness.records.store import Store
from harness.trials.distances import measure_distance
from harness.types import ClassLogProbs, Export, Problem, RegressionMixture, TokenLogProbs

TINY = Path(__file__).with_name("tiny.py")

FORMATS = '''
    import errno
    import numpy as np
    from harness import *

    def written(kept, path, shift=0.0, rows=None):
        """The log-probabilities of the arrays; of some rows the first class is taken for likelier than it was."""
        np.savez(path.open("wb"), log_probs=np.log(kept.arrays["counts"] / kept.arrays["counts"].sum()))

        def predict(inputs):
            log_probs = np.tile(np.load(path)["log_probs"], (1, len(inputs), 1))
            log_probs[:, :rows, 0] += shift
            log_probs -= np.log(np.exp(log_probs).sum(-1, keepdims=True))
            return ClassLogProbs(log_probs, np.zeros(1))

        return Written(predict, "import numpy\\nlog_probs = numpy.load(PATH)['log_probs']")

    def near(kept, path):
        return written(kept, path, 1e-3)

    def three(kept, path):
        return written(kept, path, 0.01, 3)

    def far(kept, path):
        return written(kept, path, -0.5)

    def nan(kept, path):
        return written(kept, path, float("nan"))

    def looks(kept, path):
        assert kept.rows.shape == (8, 2) and kept.problem.output_size == 3 and kept.config.strength == 1.0
        assert kept.training.eager and kept.training.device == "cpu" and kept.training.updates == 6
        assert np.allclose(kept.learner.predict({"counts": kept.arrays["counts"]}, kept.rows).log_probs,
                           np.log(kept.arrays["counts"] / kept.arrays["counts"].sum()))
        return written(kept, path)

    def private(kept, path):
        done = written(kept, path)
        path.chmod(0o600)
        return done

    def half(kept, path):
        raise ImportError("no libhalf.so")

    def two(kept, path):
        path.with_suffix(".data").write_text("more")
        return written(kept, path)

    def none(kept, path):
        done = written(kept, path)
        path.unlink()
        return done

    def odd(kept, path):
        written(kept, path)

    def refuses(kept, path):
        raise Unsupported("feedback cannot be said")

    def fails(kept, path):
        written(kept, path)
        raise KeyError("weight")

    def full(kept, path):
        path.write_text("half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    def silent(kept, path):
        done = written(kept, path)
        return Written(lambda inputs: inputs, done.load)

    @hookimpl
    def harness_exports():
        for write in (near, far, nan, looks, private, two, none, odd, refuses, fails, full, silent):
            yield Export(write.__name__, "one line", write)
        yield Export("npz", "log-probabilities", written, methods=("counts",))
        yield Export("few", "three rows may be further", three, strays=0.1)
        yield Export("fewer", "two rows may be further", three, strays=0.08)
        yield Export("wide", "with a tolerance of its own", near, tolerance=2e-3)
        yield Export("half", "needs a module that does not load", half, requires=("json", "csv"))
        yield Export("absent", "needs a module", written, requires=("absent_module",))
        yield Export("spikes", "of a family", written, families=("elsewhere",), methods=("fits",))
    '''


@pytest.fixture
def harness(tmp_path, monkeypatch, capsys):
    """Commands in an empty folder, with a method that is trained and kept there."""
    import textwrap

    formats = tmp_path / "formats.py"
    formats.write_text(textwrap.dedent(FORMATS))
    monkeypatch.setenv("HARNESS_PLUGINS", "metrics,executors")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "-p", str(TINY), "-p", str(formats)])
        return (code, *capsys.readouterr())

    call("run", "--here", "--seeds", "1", "--methods", "counts", "--keep-weights")
    return call


def only_record(folder: str = "results"):
    (record,) = Store(Path(folder)).read_newest()[0]
    return record


def left() -> set[str]:
    return {path.name for path in Path().iterdir()} - {"formats.py", "results", "__pycache__"}


def test_a_file_that_predicts_the_same_is_written_with_its_size_and_the_lines_that_load_it(harness):
    code, out, err = harness("export", "counts/coins/0", "--to", "npz", "out.npz")
    assert (code, err) == (0, "")
    size = Path("out.npz").stat().st_size
    assert out.splitlines() == [
        f"out.npz: {size} B",
        "checked: 30 test rows predicted from the file, largest difference 0",
        "to load it:",
        "  import numpy",
        "  log_probs = numpy.load('out.npz')['log_probs']",
    ]
    assert left() == {"out.npz"}


def test_the_beginning_of_a_key_names_the_trial_and_the_results_folder_may_be_one_of_several(harness):
    harness("run", "--here", "--seeds", "1", "--methods", "waits", "--results", "other")
    key = only_record().trial.key
    code, _, err = harness("export", key[:6], "a.npz", "--to", "npz", "--results", "other", "--results", "results")
    assert code == 0, err


def test_who_reads_the_folder_reads_the_file_however_a_format_left_it(harness):
    Path().chmod(0o750)
    code, _, err = harness("export", "counts/coins/0", "--to", "private", "out")
    assert (code, Path("out").stat().st_mode & 0o777) == (0, 0o640), err


def test_what_a_format_gets_is_the_trials_own(harness):
    code, _, err = harness("export", "counts/coins/0", "--to", "looks", "out")
    assert code == 0, err


@pytest.mark.parametrize(
    ("format_", "code", "said"),
    [
        ("far", 1, "differs by up to 0.2[0-9]+, by more than 0.0001 in 30 of 30 test rows; nothing was written to out"),
        ("near", 1, "differs by up to 0.000[5-7][0-9]*, by more than 0.0001 in 30 of 30 test rows"),
        ("nan", 1, "differs by up to inf"),
        ("fewer", 1, "by more than 0.0001 in 3 of 30 test rows"),
        ("two", 1, "format two: write left out, out.data; expected one file, out"),
        ("none", 1, "format none: write left nothing; expected one file, out"),
        ("odd", 1, "format odd: write returned NoneType; expected a Written"),
        ("silent", 1, "format silent: predict: "),
        ("fails", 1, r"format fails: write: KeyError: 'weight' \(formats.py line \d+, in fails\)"),
        ("full", 1, r"out: not written \(No space left on device\); name a file in a folder that"),
        (
            "half",
            1,
            r"ImportError: no libhalf.so .*; it needs json, csv, of which one does not load: install",
        ),
        ("refuses", 2, "format refuses: feedback cannot be said"),
        ("absent", 2, "format absent: needs absent_module, not installed"),
        ("npy", 2, "unknown format 'npy'; did you mean 'npz'"),
        ("nothing:npz", 2, "format 'npz' is not offered by 'nothing'"),
        (
            "spikes",
            2,
            "it is for methods of the family elsewhere and the methods fits, not for counts; formats that fit",
        ),
    ],
)
def test_what_goes_wrong_is_said_and_leaves_nothing_behind(harness, format_, code, said):
    done, out, err = harness("export", "counts/coins/0", "--to", format_, "out")
    assert (done, out) == (code, "")
    assert re.search(said, err), err
    assert left() == set()


def test_a_tolerance_is_the_formats_or_the_users_and_some_rows_may_stray(harness):
    assert harness("export", "counts/coins/0", "--to", "wide", "wide")[0] == 0
    assert harness("export", "counts/coins/0", "--to", "near", "near", "--tolerance", "2e-3")[0] == 0
    assert harness("export", "counts/coins/0", "--to", "near", "other", "--tolerance", "2e-4")[0] == 1
    code, out, _ = harness("export", "counts/coins/0", "--to", "few", "few")
    assert code == 0
    assert re.search(r"largest difference 0.00\d+; 3 of them further than 0.0001$", out, re.MULTILINE)
    assert left() == {"wide", "near", "few"}


def test_a_file_that_is_there_is_replaced_by_force_alone_and_only_by_one_that_holds(harness):
    Path("out").write_text("mine")
    code, _, err = harness("export", "counts/coins/0", "--to", "npz", "out")
    assert (code, "out: is there already; --force replaces it" in err) == (2, True)
    assert harness("export", "counts/coins/0", "--to", "far", "out", "--force")[0] == 1
    assert Path("out").read_text() == "mine"
    assert harness("export", "counts/coins/0", "--to", "npz", "out", "--force")[0] == 0
    assert Path("out").read_bytes()[:2] == b"PK"


def test_a_path_at_which_no_file_can_be_is_refused(harness):
    Path("folder").mkdir()
    code, _, err = harness("export", "counts/coins/0", "--to", "npz", "folder", "--force")
    assert (code, err.startswith("harness: folder: a folder; name the file")) == (2, True)
    code, _, err = harness("export", "counts/coins/0", "--to", "npz", "")
    assert (code, "expected a file, such as network.nir" in err) == (2, True)
    code, _, err = harness("export", "counts/coins/0", "--to", "npz", "nowhere/out")
    assert (code, "there is no folder nowhere" in err) == (2, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(harness):
    Path("folder").mkdir(mode=0o500)
    code, _, err = harness("export", "counts/coins/0", "--to", "npz", "folder/out")
    assert (code, f"folder/out: not written ({os.strerror(errno.EACCES)})" in err) == (1, True)


def test_a_trial_without_its_arrays_or_its_prediction_is_to_be_run_again(harness):
    store, key = Store(Path("results")), only_record().trial.key
    prediction = store.locate_prediction(key).read_bytes()
    store.locate_prediction(key).unlink()
    code, _, err = harness("export", "counts/coins/0", "--to", "npz", "out")
    assert (code, "its test prediction is not kept" in err, "--keep-weights" in err) == (2, True, True)
    store.locate_prediction(key).write_bytes(prediction)
    store.locate_weights(key).write_bytes(b"cut")
    code, _, err = harness("export", "counts/coins/0", "--to", "npz", "out")
    assert (code, "its trained arrays are 3 bytes, its record says" in err) == (2, True)
    harness("run", "--here", "--seeds", "1", "--methods", "waits", "--results", "bare")
    code, _, err = harness("export", "waits/coins/0", "--to", "looks", "out", "--results", "bare")
    assert (code, "its trained arrays were not kept; run it again with --rerun METHOD --keep-weights" in err) == (
        2,
        True,
    )


def test_a_trial_that_did_not_end_ok_has_no_network(harness):
    harness("run", "--here", "--seeds", "1", "--methods", "breaks", "--results", "broken")
    code, _, err = harness("export", "breaks/coins/0", "--to", "looks", "out", "--results", "broken")
    assert (code, "it ended failed; only a trial that ended ok has a trained network" in err) == (2, True)


def test_data_that_are_others_now_are_noticed(harness, tmp_path):
    changed = tmp_path / "changed.py"
    changed.write_text(TINY.read_text().replace("p=[0.6, 0.3, 0.1]", "p=[0.1, 0.3, 0.6]"))
    code = main(["export", "counts/coins/0", "out", "--to", "npz", "-p", str(changed), "-p", "formats.py"])
    assert code == 2
    assert left() == {"changed.py"}


def test_formats_are_listed(harness):
    code, out, _ = harness("list", "npz")
    assert (code, "format npz: log-probabilities" in out, "counts" in out) == (0, True, True)
    assert "exports" in harness("list")[1]


def test_two_plugins_may_offer_a_format_of_one_name_each_for_its_own_methods(harness, tmp_path):
    source = "from harness import *\n@hookimpl\ndef harness_exports():\n    yield Export('npz', 'o', 'no:where', {})\n"
    others, same = tmp_path / "others.py", tmp_path / "same.py"
    others.write_text(source.format("methods=('waits',)"))
    assert harness("export", "counts/coins/0", "--to", "npz", "out", "-p", str(others))[0] == 0
    same.write_text(source.format("methods=('counts',)"))
    code, _, err = harness("export", "counts/coins/0", "--to", "npz", "again", "-p", str(same))
    assert (code, "format 'npz' is offered by" in err) == (2, True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"write": "nowhere"}, "write must be a callable or 'module:attribute'"),
        ({"families": "spiking"}, "families must be a tuple"),
        ({"tolerance": -1.0}, "tolerance must be a number from 0"),
        ({"strays": 1.0}, "strays must be a number from 0 to below 1"),
    ],
)
def test_a_format_that_is_none_is_refused(fields, said):
    from harness import hookimpl

    class Plugin:
        @hookimpl
        def harness_exports(self):
            yield Export(**{"name": "x", "summary": "s", "write": "a:b", **fields})

    with pytest.raises(PluginError, match=said):
        Catalog.of(Plugin()).exports.names()


# --- distances --------------------------------------------------------------------------------------------------------

CLASSES = Problem("classification", (2,), 3, 10)
LINE = Problem("regression", (2,), 1, 10, target_scale=2.0)


def test_the_distance_of_classes_is_the_largest_of_each_row_and_of_mixtures_that_of_their_sum():
    one = np.log([[[0.5, 0.5], [0.9, 0.1], [1.0, 1e-300]]])
    other = np.log([[[0.4, 0.6], [0.9, 0.1], [1.0, 1e-300]]])
    found = measure_distance(ClassLogProbs(one, np.zeros(1)), ClassLogProbs(other, np.zeros(1)), CLASSES, 0.2)
    assert found == (pytest.approx(np.log(0.5 / 0.4)), 1, 3)
    twice = ClassLogProbs(np.concatenate([one, one]), np.log([0.3, 0.7]))
    assert measure_distance(twice, ClassLogProbs(one, np.zeros(1)), CLASSES, 1e-9).beyond == 0


def test_impossible_classes_are_alike_and_a_nan_in_one_is_infinitely_far():
    one, other = np.array([[[0.0, -np.inf]]]), np.array([[[0.0, np.nan]]])
    assert measure_distance(ClassLogProbs(one, np.zeros(1)), ClassLogProbs(one, np.zeros(1)), CLASSES, 0)[:2] == (0, 0)
    assert measure_distance(ClassLogProbs(one, np.zeros(1)), ClassLogProbs(other, np.zeros(1)), CLASSES, 9)[:2] == (
        np.inf,
        1,
    )


def test_the_distance_of_tokens_is_the_largest_of_each_row():
    one, other = np.full((1, 2, 4), -1.0), np.full((1, 2, 4), -1.0)
    other[0, 1, 2] = -1.5
    assert measure_distance(TokenLogProbs(one, np.zeros(1)), TokenLogProbs(other, np.zeros(1)), CLASSES, 0.1) == (
        0.5,
        1,
        2,
    )


def test_the_distance_of_numbers_is_in_units_of_the_targets_and_of_ratios_of_deviations():
    one = RegressionMixture(np.array([[1.0, 4.0]]), np.array([[1.0, 1.0]]), np.zeros(1))
    other = RegressionMixture(np.array([[1.5, 4.0]]), np.array([[1.0, np.exp(0.2)]]), np.zeros(1))
    assert measure_distance(one, other, LINE, 0.2) == (pytest.approx(0.25), 1, 2)
    assert measure_distance(one, other, LINE, 0.01).beyond == 2
    several = RegressionMixture(np.zeros((2, 2)), np.ones((2, 2)), np.log([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"of shape \(1, 2\) cannot be compared with .* of shape \(2, 2\)"):
        measure_distance(one, several, LINE, 1)
