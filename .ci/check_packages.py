"""Wheel and sdist hold what they must and nothing else; each is installed by itself and imported from there.

Run as ``python .ci/check_packages.py DIST TREE``.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

LARGEST_WHEEL = 2_000_000  # bytes
PROGRAM = """
from importlib.metadata import distribution
from pathlib import Path

import skhvae
from skhvae.datasets import load_adult

root, found = Path(skhvae.__file__).parent, distribution("skhvae")
assert root.parent == Path({site!r}), root
assert found.version == skhvae.__version__
assert (root / "py.typed").exists()
assert any(str(path).endswith("licenses/LICENSE") for path in found.files)
assert load_adult().shape == (32561, 12)
assert skhvae.HeterogeneousVAEImputer().get_params()
"""


def check(names: list[str], package: Path, where: str) -> None:
    """All files of the package are among the names: code, data and type marker."""
    wanted = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    missing = sorted(wanted - set(names))
    assert not missing, f"{where} lacks {missing}"


def main(dist: Path, tree: Path) -> None:
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    size = wheel.stat().st_size
    assert size < LARGEST_WHEEL, f"the wheel has {size:,} bytes"
    names = zipfile.ZipFile(wheel).namelist()
    check(names, tree / "skhvae", wheel.name)
    others = {name.split("/")[0] for name in names} - {"skhvae"}
    assert all(name.endswith(".dist-info") for name in others), others
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    check(names, tree / "skhvae", sdist.name)
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.cfg"} <= set(names)
    for package in (wheel, sdist):
        with tempfile.TemporaryDirectory() as site:
            pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", site, package]
            subprocess.run([sys.executable, *pip], check=True)
            program = f"import sys; sys.path.insert(0, {site!r})\n" + PROGRAM.format(site=site)
            # -P: nor the folder where it runs.
            subprocess.run([sys.executable, "-P", "-c", program], check=True, cwd=site)
        print(f"{package.name}: {package.stat().st_size:,} bytes, installed and imported")


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))
