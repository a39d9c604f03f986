"""The machine that bench runs on: plain copies and processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from ..errors import JobTimeout, StepFailed
from ..lines import Lines
from ..untrusted import files
from ..untrusted.budget import USUAL, Allowance, Budget, free_bytes
from ..untrusted.names import NotTaken
from . import Addressed, Completed, OnLine, Transfer
from .failures import refused
from .output import Collected
from .started import check

#: how long the rest of a command's output may take to be read; a process that left its session may
#: hold it open
DRAIN_S = 2.0


def connect(target: Addressed) -> LocalTransport:
    """This machine; nothing to connect."""
    return LocalTransport(target.name)


class LocalTransport:
    """See `Transport`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def push(self, local: Path, remote: PurePosixPath) -> Transfer:
        return copy(local, Path(remote), f"push {local} to {remote}")

    def pull(self, remote: PurePosixPath, local: Path, budget: Budget = USUAL) -> Transfer:
        source = Path(remote)

        def take(part: Path) -> None:
            with files.handle(source.parent) as theirs, files.handle(part.parent) as ours:
                allowance = Allowance(budget, free_bytes(ours))
                files.copy(source.name, theirs, part.name, ours, allowance)

        return _placed(take, local, f"pull {remote} to {local}")

    def run(
        self, argv: Sequence[str], *, timeout_s: float, on_line: OnLine | None = None
    ) -> Completed:
        began = time.monotonic()
        check(self.name, argv)
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return _not_started(error, time.monotonic() - began, on_line)
        with process:
            try:
                collected = _read(process, began + timeout_s, on_line, argv[0])
                code = process.wait(max(0.0, began + timeout_s - time.monotonic()))
            except (TimeoutError, subprocess.TimeoutExpired):
                raise JobTimeout(
                    f"{argv[0]} on {self.name} exceeded its deadline of {timeout_s:g} s "
                    "and was killed"
                ) from None
            finally:
                _kill(process)
        shell_code = code if code >= 0 else 128 - code
        out, err = collected.finish()
        return Completed(shell_code, out, err, time.monotonic() - began)

    def close(self) -> None:
        pass


def _not_started(error: OSError, seconds: float, on_line: OnLine | None) -> Completed:
    """What a shell makes of a command that cannot be started: 127 not found, 126 otherwise."""
    if on_line:
        on_line(str(error))
    code = 127 if isinstance(error, FileNotFoundError) else 126
    return Completed(code, b"", f"{error}\n".encode(), seconds)


def _read(
    process: subprocess.Popen[bytes], until: float, on_line: OnLine | None, command: str
) -> Collected:
    """All output, also that of children which still hold it when the process itself has ended."""
    collected = Collected(Lines(on_line), Lines(on_line), command)
    with selectors.DefaultSelector() as selector:
        for pipe, is_error in ((process.stdout, False), (process.stderr, True)):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, is_error)
        while selector.get_map() and process.poll() is None:
            _take(selector, collected, min(0.2, until - time.monotonic()))
            if time.monotonic() > until:
                raise TimeoutError
        process.wait(max(0.0, until - time.monotonic()))  # one may close its outputs and go on
        _kill(process)  # what the command left behind would keep the pipes open
        over_at = time.monotonic() + DRAIN_S
        while selector.get_map() and time.monotonic() < over_at:
            _take(selector, collected, 0.2)
    return collected


def _take(selector: selectors.BaseSelector, collected: Collected, timeout_s: float) -> None:
    for key, _ in selector.select(max(0.0, timeout_s)):
        data = os.read(key.fd, 1 << 16)
        if data:
            collected.add(data, is_error=key.data)
        else:
            selector.unregister(key.fileobj)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the command's whole process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or a zombie (macOS)
        os.killpg(process.pid, signal.SIGKILL)


def copy(source: Path, target: Path, action: str) -> Transfer:
    """Copy a file or folder of bench's own, with its links; raises StepFailed."""

    def take(part: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, part, symlinks=True)
        else:
            shutil.copy(source, part)

    return _placed(take, target, action)


def _placed(take: Callable[[Path], None], target: Path, action: str) -> Transfer:
    """What `take` creates, through a temporary name next to the target."""
    began = time.monotonic()
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        take(part)
        count, size = measure(part)
        put_in_place(part, target)
    except shutil.Error as error:
        raise refused(action, str(error.args[0][0][2])) from error
    except NotTaken as error:
        raise refused(action, error.message) from None
    except OSError as error:
        raise refused(action, str(error)) from error
    finally:
        discard(part)
    return Transfer(count, size, time.monotonic() - began)


def measure(path: Path) -> tuple[int, int]:
    """Number of files and their bytes."""
    files = [p for p in path.rglob("*") if not p.is_dir()] if path.is_dir() else [path]
    return len(files), sum(p.lstat().st_size for p in files)


def put_in_place(part: Path, target: Path) -> None:
    """Rename; into a folder that is there already, file by file."""
    if not (part.is_dir() and target.is_dir()):
        if target.is_dir():
            raise StepFailed(f"{target}: cannot replace a folder with a file")
        part.replace(target)
        return
    for child in part.iterdir():
        if child.is_symlink() or not child.is_dir():
            child.replace(target / child.name)
        else:
            (target / child.name).mkdir(exist_ok=True)
            put_in_place(child, target / child.name)


def discard(part: Path) -> None:
    """Remove what is left of a transfer that did not end well."""
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
