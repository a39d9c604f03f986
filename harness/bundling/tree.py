"""Assembles a bundle's tree: `bin/python`, `lib`, `py`, `site`, and its contents as JSON.

Only libraries that something in the tree asks for are taken; modules of Python's own whose
libraries were not asked for (databases, terminals, TLS) are left out with them.
"""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from ..errors import StepFailed
from . import elf
from .contents import PYTHON

LOADER: Final = {"aarch64": "ld-linux-aarch64.so.1", "x86_64": "ld-linux-x86-64.so.2"}
#: loaded by glibc by name when a thread ends; nothing asks for it in its dynamic section
ALWAYS: Final = ("libgcc_s.so.1",)
STDLIB_DROP: Final = (
    *("test", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "lib2to3"),
    *("pydoc_data", "venv", "sqlite3", "curses", "dbm", "__phello__", "__pycache__"),
    *("*/__pycache__", "*/test", "*/tests", "config-*", "sitecustomize.py", "EXTERNALLY-MANAGED"),
)
SITE_DROP: Final = (
    *("*/__pycache__", "*/tests", "*/testing/tests", "*.pyi", "*.a", "*.h", "*.hpp", "*.pxd"),
    *("*.pyx", "*.cmake", "*.c", "*.cc", "*.proto", "*.dist-info/RECORD", "*/include"),
    *("numpy/f2py", "numpy/distutils", "numpy/_pyinstaller", "numpy/_core/lib"),
)
ENTRY: Final = """\
#!/bin/sh
# Runs Python with all of its own: sh bin/python [ARG...]. Nothing else of the device is used.
case $0 in */*) here=${{0%/*}} ;; *) here=. ;; esac
home=$(cd "$here/.." && pwd) || exit 127
unset LD_PRELOAD LD_LIBRARY_PATH PYTHONSTARTUP
PYTHONHOME=$home/py
PYTHONPATH=${{PYTHONPATH:+$PYTHONPATH:}}$home/site
PYTHONNOUSERSITE=1 PYTHONUTF8=1 PYTHONUNBUFFERED=1
export PYTHONHOME PYTHONPATH PYTHONNOUSERSITE PYTHONUTF8 PYTHONUNBUFFERED
[ -z "${{BENCH_DATA_KB:-}}" ] || ulimit -d "$BENCH_DATA_KB" || exit 126
exec "$home/lib/{loader}" --inhibit-cache --argv0 "$home/bin/python" \\
  --library-path "$home/lib" "$home/py/python{python}" "$@"
"""


def assemble(root: Path, tree: Path, arch: str, drop: Iterable[str]) -> tuple[str, ...]:
    """Complete `tree`, whose `site` exists, from a Debian tree; the missing libraries.

    Raises StepFailed for a program of another architecture.
    """
    _remove(tree / "site", (*SITE_DROP, *drop))
    _take_python(root, tree)
    entry = tree / "bin" / "python"
    entry.parent.mkdir()
    entry.write_text(ENTRY.format(loader=LOADER[arch], python=PYTHON), "utf-8")
    entry.chmod(0o755)
    missing = _take_libraries(_libraries(root), tree, arch)
    _take_licences(root, tree)
    return missing


def _take_python(root: Path, tree: Path) -> None:
    home = tree / "py" / "lib" / f"python{PYTHON}"
    shutil.copytree(root / "usr" / "lib" / f"python{PYTHON}", home, ignore_dangling_symlinks=True)
    for path in list(home.rglob("*")):
        if path.is_symlink():  # into /etc
            path.unlink()
    _remove(home, STDLIB_DROP)
    shutil.copy(root / "usr" / "bin" / f"python{PYTHON}", tree / "py" / f"python{PYTHON}")


def _libraries(root: Path) -> dict[str, Path]:
    """Name -> file of every library of the Debian tree."""
    folders = (
        p for top in ("lib", "lib64", "usr/lib") for p in (root / top, *root.glob(f"{top}/*"))
    )
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.so*"))]
    return {path.name: _real(path, root) for path in found}


def _real(path: Path, root: Path) -> Path:
    """Where a link leads inside of `root`; Debian's loader is linked by its absolute path."""
    while path.is_symlink():
        goal = path.readlink()
        path = root / str(goal).lstrip("/") if goal.is_absolute() else path.parent / goal
    return path


def _take_libraries(known: dict[str, Path], tree: Path, arch: str) -> tuple[str, ...]:
    """Copy the required libraries, transitively; the names of missing ones."""
    target = tree / "lib"
    target.mkdir()
    own = {path.name for path in (tree / "site").rglob("*.so*")}
    asked = {LOADER[arch], *ALWAYS, *_asked_for(tree, arch, known.keys() | own)} - own
    missing: set[str] = set()
    while asked:
        name = asked.pop()
        if name not in known:
            missing.add(name)
        elif not (target / name).exists():
            shutil.copy(known[name], target / name)
            (target / name).chmod(0o755)
            asked |= set(_needs(target / name, arch)) - own
    return tuple(sorted(missing))


def _asked_for(tree: Path, arch: str, there: AbstractSet[str]) -> set[str]:
    """Names that programs and modules need; removes Python modules that need excluded ones."""
    asked: set[str] = set()
    for path in sorted(tree.rglob("*")):
        if path.is_file() and (".so" in path.name or path.parent.name == "py"):
            needs = set(_needs(path, arch))
            if "lib-dynload" in path.parts and needs - there:
                path.unlink()
            else:
                asked |= needs
    return asked


def _needs(path: Path, arch: str) -> tuple[str, ...]:
    found = elf.read(path)
    if found is None:
        return ()
    if found.arch != arch:
        raise StepFailed(f"{path.name} is for {found.arch}, the bundle for {arch}")
    return found.needed


def _take_licences(root: Path, tree: Path) -> None:
    for path in sorted((root / "usr/share/doc").glob("*/copyright")):
        target = tree / "licences" / path.parent.name
        target.parent.mkdir(exist_ok=True)
        if path.is_file():
            shutil.copyfile(path, target)


def _remove(folder: Path, patterns: Iterable[str]) -> None:
    wanted = tuple(patterns)
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()
