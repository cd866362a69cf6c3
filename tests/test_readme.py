"""Example in the README."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def test_example_runs(tmp_path, monkeypatch, capsys):
    """The example runs without changes and writes its file. It is short."""
    code = re.search(r"<!-- example -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code[1], "README.md", "exec"), {})
    assert (tmp_path / "cutouts.asdf").is_file()
    assert "no_overlap" in capsys.readouterr().out
    assert len(code[1].strip().splitlines()) <= 18
