"""What the README shows."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def test_example(tmp_path, monkeypatch, capsys):
    """The example in Python runs as it stands and writes its file."""
    code = re.search(r"<!-- example -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code[1], "README.md", "exec"), {})
    assert (tmp_path / "cutouts.asdf").is_file()
    assert "no_overlap" in capsys.readouterr().out
    assert len(code[1].strip().splitlines()) <= 18
