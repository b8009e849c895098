"""What an installation carries: startup files at the top, root folders inside the package, nothing else at the top."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.throw_away import ROOT


def build(kind: str, source: Path, target: Path) -> Path:
    """Build an sdist or a wheel."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", target]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = target.iterdir()
    return built


def test_wheel_and_sdist(tmp_path):
    pytest.importorskip("hatchling")
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "logs"))
    names = set(zipfile.ZipFile(build("wheel", source, tmp_path / "wheel")).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gcrl_zoo", "gcrl_zoo.pth", "gcrl_zoo.start"}
    for folder in ("wrappers", "hyperparams"):
        files = {f"gcrl_zoo/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.*") if path.suffix != ".pyc"}
        assert files <= names

    sdist = build("sdist", source, tmp_path / "sdist")
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not before Python 3.11.4
    shutil.unpack_archive(sdist, tmp_path / "unpacked", **safely)
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert set(zipfile.ZipFile(build("wheel", unpacked, tmp_path / "wheel2")).namelist()) == names
