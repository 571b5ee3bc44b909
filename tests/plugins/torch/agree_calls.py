"""`harness agree` with a plugin in a file beside it, as the tests of the command call it."""

from __future__ import annotations

from textwrap import dedent

from harness.cli import main


def command(plugin, tmp_path, monkeypatch, capfd):
    """Call the command on a CPU: exit code, standard output, standard error."""
    monkeypatch.setenv("HARNESS_PLUGINS", "torch,metrics,executors")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin.py").write_text(dedent(plugin))

    def call(*arguments):
        code = main(["agree", *arguments, "-p", "plugin.py", "--device", "cpu", "--threads", "1"])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call
