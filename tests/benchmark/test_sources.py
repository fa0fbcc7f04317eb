"""What identifies the code and the data of a figure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from metarec_stream.benchmark import sources
from metarec_stream.benchmark.sources import code_digest, commit, file_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in place of this one: a imports b, b imports c and settings, d is alone."""
    files = {
        "a.py": "from metarec_stream import b\nx = 1",
        "b.py": "from metarec_stream.c.deep import f\nfrom metarec_stream.c.settings import g",
        "c/deep.py": "y = 2  # two",
        "c/settings.py": "z = 3",
        "d.py": "w = 4",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sources, "_PACKAGE", tmp_path)
    return tmp_path


def digest(module: str) -> str:
    """A module's digest of now: what was read before is forgotten."""
    sources._tree.cache_clear()
    sources._meaning.cache_clear()
    return code_digest([f"metarec_stream.{module}"])


@pytest.mark.parametrize(
    ("file", "text", "counts"),
    [
        ("a.py", "from metarec_stream import b\nx = 2", True),
        ("c/deep.py", "y = 3", True),
        ("c/deep.py", "y = (\n    2\n)  # also two", False),
        ("c/settings.py", "z = 4", False),
        ("d.py", "w = 5", False),
    ],
)
def test_only_code_that_is_imported_counts(
    package: Path, file: str, text: str, counts: bool
) -> None:
    """Directly or not; comments, layout, settings and other modules do not."""
    before = digest("a")
    (package / file).write_text(text)
    assert (digest("a") != before) == counts


def test_a_control_does_not_depend_on_another() -> None:
    """What `isgd` runs has its own code in it, and not that of `markov` or of the learner."""
    found = sources._closure(["metarec_stream.evaluate.controls.isgd"])
    assert "metarec_stream.evaluate.controls.ranking" in found
    assert not [name for name in found if "markov" in name or "learner" in name]


def test_a_data_file_is_identified_by_its_bytes(tmp_path: Path) -> None:
    """The same bytes under another name are the same data."""
    for name, text in {"one": "a,b", "two": "a,b", "three": "a,c"}.items():
        (tmp_path / name).write_text(text)
    one, two, three = (file_digest(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two != three


def test_outside_of_a_checkout_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one it is its short name, with a plus where a file is not as it was committed."""
    monkeypatch.setattr(sources, "_PACKAGE", tmp_path / "metarec_stream")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "metarec_stream").mkdir()
    found = []
    for act in (None, "init -q", "commit -q --allow-empty -m first", "changed"):
        if act == "changed":
            (tmp_path / "metarec_stream" / "a.py").write_text("x = 1")
        elif act:
            name = ("-c", "user.name=t", "-c", "user.email=t@localhost")
            subprocess.run(["git", *name, *act.split()], cwd=tmp_path, check=True)
        commit.cache_clear()
        found.append(commit())
    commit.cache_clear()
    assert found[:2] == [None, None]
    assert found[2] is not None
    assert len(found[2]) == 12
    assert found[3] == f"{found[2]}+"
