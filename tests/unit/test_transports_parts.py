"""The parts of transports that need no device."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.errors import StepFailed, UsageError
from harness.lab import adbd_keys
from harness.lines import Lines
from harness.records import DeviceSpec
from harness.transports import connect, failures, manifest, scripts


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_unknown_transport_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        connect(DeviceSpec("orin", "jetson", "sshh"))
    assert caught.value.message == "orin: unknown transport 'sshh', expected one of local, ssh, adb"


def test_lines_are_whole_and_the_last_needs_no_end() -> None:
    told: list[str] = []
    lines = Lines(told.append)
    for data in (b"a", b"b\r\nc\xc3", b"\xbc\n\xff\n", b"last"):
        lines.feed(data)
    assert told == ["ab", "cü", "\\xff"]
    lines.end()
    assert told[-1] == "last"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("sh: can't create x: No space left on device", "push a: no space left"),
        ("mkdir: '/x': Permission denied", "push a: permission denied"),
        ("cat: write error: Read-only file system\n", "push a: read-only file system"),
        ("something else\n", "push a: something else"),
        ("", "push a: failed without output"),
    ],
)
def test_what_devices_say_is_put_into_one_set_of_words(said: str, message: str) -> None:
    assert failures.refused("push a", said).message == message


def test_a_file_is_hashed_again_only_when_it_was_touched(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("one")
    time.sleep(0.15)
    first = manifest.read(folder).content
    (stored,) = (cache / "hashes").glob("*.json")
    known = json.loads(stored.read_text())
    known["a"][4] = "0" * 64
    stored.write_text(json.dumps(known))
    assert manifest.read(folder).content != first  # it believed what is stored
    (folder / "a").write_text("one")
    assert manifest.read(folder).content == first


def test_a_file_that_has_just_been_written_is_not_trusted(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "a").write_text("one")
    one = manifest.read(tmp_path / "a").content
    (tmp_path / "a").write_text("two")
    assert manifest.read(tmp_path / "a").content != one


def test_a_manifest_survives_odd_names(tmp_path: Path) -> None:
    for name in ("a b", "two\nlines", "ü", "-x"):
        (tmp_path / "d" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "d" / name).write_text(name)
    (tmp_path / "d" / "link").symlink_to("a b")
    found = manifest.read(tmp_path / "d")
    assert manifest.parse(found.lines()) == {e.path: e.digest for e in found.files}


def test_a_pipe_cannot_be_pushed(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StepFailed, match="not a file, folder or link"):
        manifest.read(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ssh://", "devices/orin.yaml: address: 'ssh://': missing host"),
        ("me:secret@orin", "orin: a password must not be in a file"),
        ("orin?password=secret", "orin: a password must not be in a file"),
    ],
)
def test_an_address_that_is_none(address: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(DeviceSpec("orin", "jetson", "ssh", address))
    assert caught.value.message == message


def test_a_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.transports import ssh_address

    address = "me@Orin:2200?password=${env:BENCH_TEST_SECRET}&config=/dev/null"
    with pytest.raises(
        UsageError,
        match="^devices/orin.yaml: address: environment variable BENCH_TEST_SECRET is not set",
    ):
        ssh_address.read("orin", address)
    monkeypatch.setenv("BENCH_TEST_SECRET", "s3cret")
    found = ssh_address.read("orin", address)
    assert (found.user, found.host, found.port) == ("me", "orin", 2200)
    assert found.password == "s3cret"
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize("address", ["", "phone", "usb:", "server:", "host:port"])
def test_an_adb_address_that_is_none(address: str) -> None:
    with pytest.raises(UsageError, match="is not an adb address"):
        connect(DeviceSpec("phone", "android", "adb", address))


def test_a_phone_checks_signatures() -> None:
    from harness.transports.adb_keys import signer

    key = signer()
    public = adbd_keys.parse(key.GetPublicKey())
    token = bytes(range(20))
    assert public.signed(token, key.Sign(token))
    assert not public.signed(bytes(20), key.Sign(token))
    with pytest.raises(ValueError, match="not an adb key"):
        adbd_keys.parse(b"AAAA me@here")


# ---- login shells -------------------------------------------------------------------------------

WORDS = (
    *("it's", "a\nb\n", "!x", "\\0101 %s $HOME `id`", "ü", "", '"q"', "-n", "a  b", "100%"),
    "x!" * 20_000,
)


@pytest.mark.servers
@pytest.mark.parametrize("shell", ["sh", "bash", "mksh", "tcsh", "fish", "busybox"])
def test_any_login_shell_passes_a_script_on_unchanged(shell: str) -> None:
    found = shutil.which(shell)
    assert found, f"{shell} is not installed: scripts/system-packages servers"
    script = 'for word in "$@"; do\n  printf "<%s>" "$word"\ndone; exit 7\n'
    sent = scripts.command(script, *WORDS)
    assert "\n" not in sent
    argv = [found, "sh", "-c", sent] if shell == "busybox" else [found, "-c", sent]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.stdout.decode() == "".join(f"<{word}>" for word in WORDS), done.stderr
    assert done.returncode == 7


def test_a_script_reads_its_own_input_through_the_wrapper() -> None:
    sent = scripts.command("exec cat")
    done = subprocess.run(
        ["sh", "-c", sent], input=b"\x00\xffdata", capture_output=True, check=True
    )
    assert done.stdout == b"\x00\xffdata"
