"""Files, folders, archives and records of others: taken whole or refused in one line."""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import StepFailed
from harness.records import Cell, Layer
from harness.serial import dumps
from harness.untrusted import files, tar, text
from harness.untrusted.budget import Allowance, Budget, Leaf
from harness.untrusted.names import shown
from harness.untrusted.removal import remove
from harness.untrusted.takeover import take_over

# ---- records and lines -------------------------------------------------------------------------


def test_layers_are_a_list_of_records(tmp_path: Path) -> None:
    path = tmp_path / "layers.json"
    path.write_text(dumps([Layer("a", "Conv", "CPU")]))
    assert text.read_records(Layer, path) == [Layer("a", "Conv", "CPU")]
    for content, message in {
        "{}": "layers.json: expected a list",
        "[1]": "layers.json[0]: expected an object, got 1",
        f'[{{"ms": 1{"0" * 400}}}]': "layers.json: not JSON: the number 10000000000000000000... ",
    }.items():
        path.write_text(content)
        with pytest.raises(StepFailed) as caught:
            text.read_records(Layer, path)
        assert message in caught.value.message


def test_lines_that_are_no_object_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    lines = [b'{"a": 1}', b"[1]", b"\xff", b"{" * 2000, b'{"a": 1e999}', b'{"a": "\\ud800"}', b""]
    path.write_bytes(b"\n".join([*lines, b'{"b": 2}', b'{"torn']))
    assert list(text.read_objects(path)) == [{"a": 1}, {"b": 2}]


def test_the_end_of_a_long_log_is_read_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with path.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"end")
    assert text.read_end(path, 4) == (b"\0end", (1 << 40) + 3)


def test_a_record_of_many_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(StepFailed) as caught:
        text.read_record(Cell, path)
    assert caught.value.message == f"{path}: exceeds the limit of 4,194,304 bytes"


# ---- files -------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("root", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "root" / "here").write_text("here")
    return tmp_path / "root", tmp_path / "outside"


def test_no_link_below_the_root_is_followed(folders: tuple[Path, Path]) -> None:
    root, outside = folders
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "self").symlink_to(root / "here")
    assert files.read(root / "here", 10, root) == b"here"
    for path in (root / "link" / "secret", root / "file", root / "self"):
        with pytest.raises(StepFailed, match=r"Not a directory|is a symbolic link|Too many levels"):
            files.read(path, 10, root)
        assert not files.is_inside(path, root)


@pytest.mark.parametrize(
    "path", ["../outside/secret", "x/../../outside/secret", "/etc/passwd", "."]
)
def test_no_path_leads_out_of_the_root(folders: tuple[Path, Path], path: str) -> None:
    root, _ = folders
    with pytest.raises(StepFailed, match=f": outside of {root}$"):
        files.read(root / path, 10**6, root)


def test_a_path_that_no_file_can_have_is_refused(folders: tuple[Path, Path]) -> None:
    root, _ = folders
    for name in ("a\0b", "\ud800", "x" * 300):
        with pytest.raises(StepFailed):
            files.read(root / name, 10, root)


def test_a_root_may_be_reached_through_links(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(folders[0])
    assert files.read(tmp_path / "way" / "here", 10, tmp_path / "way") == b"here"


def test_what_is_taken_is_a_new_file_with_a_harmless_mode(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
    (source / "a").write_bytes(b"x" * 3_000_000)
    (source / "a").chmod(0o1777)
    leaves = [Leaf("a", Budget(3_000_000)), Leaf("b", Budget(1), required=False)]
    with files.handle(source) as opened:
        for refused, why in (
            ([Leaf("a", Budget(2_999_999))], "a: exceeds the limit of 2,999,999 bytes"),
            ([*leaves, Leaf("b", Budget(1))], "the job did not write b"),
        ):
            with pytest.raises(StepFailed, match=f"^{why}"):
                take_over(refused, opened, target)
            assert list(target.iterdir()) == [], "all or nothing"
        take_over(leaves, opened, target)
    assert stat.S_IMODE((target / "a").stat().st_mode) == 0o755
    assert (target / "a").stat().st_ino != (source / "a").stat().st_ino


def test_a_file_that_grows_while_it_is_copied_costs_its_budget_alone(tmp_path: Path) -> None:
    """Nothing says how long it is: a file of /proc has size 0."""
    with (
        files.handle("/proc/self") as source,
        files.handle(tmp_path) as target,
        pytest.raises(StepFailed, match="^maps: exceeds the limit of 100 bytes"),
    ):
        files.copy("maps", source, "maps", target, Allowance(Budget(100)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a b", "a b"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\udcff", "\\udcff"),
    ],
)
def test_any_name_is_one_line(name: str, said: str) -> None:
    assert shown(name) == said
    assert shown("x" * 1000) == "…" + "x" * 299


# ---- removal -----------------------------------------------------------------------------------


def test_whatever_was_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder, outside = tmp_path / "out", tmp_path / "outside"
    for place in (folder, outside):
        place.mkdir()
    (outside / "mine").write_text("stays")
    (folder / "link").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    (folder / "closed" / "inner").mkdir(parents=True)
    (folder / "closed" / "inner" / "link").symlink_to(outside / "mine")
    (folder / "closed" / "inner").chmod(0)
    (folder / "closed").chmod(0)
    home = Path.cwd()
    os.chdir(folder)
    for _ in range(2000):
        os.mkdir("deep")  # noqa: PTH102 – deeper than a path may be long
        os.chdir("deep")
    os.chdir(home)
    folder.chmod(0)
    remove(folder)
    assert not folder.exists()
    assert (outside / "mine").read_text() == "stays"
    remove(folder)


def test_of_a_link_only_the_link_is_removed(folders: tuple[Path, Path]) -> None:
    root, outside = folders
    (root / "link").symlink_to(outside)
    remove(root / "link")
    assert (outside / "secret").exists()
    assert not os.path.lexists(root / "link")


# ---- archives ----------------------------------------------------------------------------------


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_a_stream_gets_out_or_is_more_than_one_line(
    tmp_path: Path, data: st.DataObject
) -> None:
    good = bytearray(stream())
    for _ in range(data.draw(st.integers(0, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        mend(good)
    pieces = [bytes(good[at : at + 700]) for at in range(0, len(good), 700)]
    place, allowance = tmp_path / "place", Allowance(Budget(10**6, 9))
    remove(place)
    (place / "into").mkdir(parents=True)
    try:
        with files.handle(place / "into") as folder:
            tar.unpack(lambda: pieces.pop(0) if pieces else b"", folder, allowance)
    except StepFailed as error:
        assert "\n" not in error.message
    except OSError as error:
        assert error.strerror == "File name too long"
    assert [path.name for path in place.iterdir()] == ["into"]


def stream() -> bytes:
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name in ("a", "folder/" + "b" * 200, "ü"):
            info = tarfile.TarInfo(name)
            info.size = 5
            made.addfile(info, io.BytesIO(b"12345"))
    return file.getvalue()[:6144]


def mend(data: bytearray) -> None:
    """Make every block's checksum right, as a device would that lies on purpose."""
    for at in range(0, len(data) - 511, 512):
        block = data[at : at + 512]
        block[148:156] = b" " * 8
        if block[257:262] == b"ustar":
            data[at + 148 : at + 156] = b"%06o\0 " % sum(block)


def test_holes_are_no_way_to_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file takes no room until it is copied."""
    monkeypatch.setattr("harness.untrusted.takeover.free_bytes", lambda folder: 1 << 20)
    (tmp_path / "out" / "model").mkdir(parents=True)
    (tmp_path / "into").mkdir()
    (tmp_path / "out" / "first").write_text("x")
    for name in "ab":
        with (tmp_path / "out" / "model" / name).open("wb") as file:
            file.truncate(600 << 10)
    leaves = [Leaf("first", Budget(5)), Leaf("model", Budget(1 << 30, files=9))]
    with files.handle(tmp_path / "out") as source, pytest.raises(StepFailed) as caught:
        take_over(leaves, source, tmp_path / "into")
    assert caught.value.message in (
        "a: exceeds the free space of 1,048,576 bytes",
        "b: exceeds the free space of 1,048,576 bytes",
    )
    assert list((tmp_path / "into").iterdir()) == []


def test_what_was_taken_over_before_the_disk_was_full_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "out").mkdir()
    (tmp_path / "into").mkdir()
    (tmp_path / "out" / "model").write_text("x")
    monkeypatch.setattr(files, "write", full)
    with files.handle(tmp_path / "out") as source, pytest.raises(OSError, match="No space left"):
        take_over([Leaf("model", Budget(5))], source, tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


def test_a_deadline_is_over_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.untrusted.budget.PATIENCE_S", 0.05)
    allowance = Allowance(Budget(0))
    assert 0 < allowance.left_s <= 0.05
    time.sleep(0.06)
    with pytest.raises(StepFailed, match="^took longer than 0 s$"):
        _ = allowance.left_s
