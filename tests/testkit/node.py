"""Programs for Node.js that tests run, each folder with the packages of its package.json."""

import shutil
import subprocess
from pathlib import Path

import pytest

_INSTALL_S = 300


def node_with_packages(folder: Path) -> str:
    """Node.js, with what `folder`'s package.json names; installs it once, and again when that file changes.

    Skips the test where Node.js or npm is not on PATH.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs Node.js and npm on PATH")
    wanted = (folder / "package.json").read_text()
    installed = folder / "node_modules" / ".breakwater"
    if not installed.exists() or installed.read_text() != wanted:
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"npm install failed:\n{done.stdout}{done.stderr}", pytrace=False)
        installed.write_text(wanted)
    return node
