"""Keys of methods that stand on the kit."""

import pytest

from harness.catalog import Settings, load_catalog
from harness.planning.fingerprints import Fingerprints

FAMILY = """
from harness import Method, hookimpl
{imports}

class Learner:
    pass

@hookimpl
def harness_methods():
    yield Method("mine", "of another family", Learner, ("classification",))
"""


@pytest.mark.parametrize(
    ("imports", "file"),
    [
        ("from harness_torch.training import step", "harness_torch/training/step.py"),
        ("import harness_torch.training.optimiser as optimisers", "harness_torch/training/optimiser.py"),
        ("from harness_torch import counted", "harness_torch/marks.py"),
    ],
)
def test_the_key_of_a_foreign_family_follows_all_of_the_kit_that_it_imports(tmp_path, monkeypatch, imports, file):
    monkeypatch.setenv("HARNESS_PLUGINS", "")
    path = tmp_path / "family.py"
    path.write_text(FAMILY.format(imports=imports))
    followed = Fingerprints().follow_once(load_catalog(Settings((str(path),))).methods.offer("mine"))
    assert followed.gaps == ()
    assert any(name.endswith(file) for name in followed.files)
