"""Arrays that others have made are read or refused in one line, before memory is taken."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import StepFailed
from harness.untrusted import results
from harness.untrusted.arrays import LARGEST_BYTES, Column, read_arrays

COLUMNS = {"a": Column("iu"), "b": Column("f", (None, 2), required=False)}


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def packed(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def header(shape: str, descr: str = "'<i8'", fortran: str = "False") -> bytes:
    said = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    said += b" " * (-len(said) - 11 & 63) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said


def archive(content: bytes, method: int = zipfile.ZIP_STORED, name: str = "a.npy") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr(name, content)
    return file.getvalue()


def claiming(size: int) -> bytes:
    """A directory that says so of a member of a hundred bytes."""
    data = bytearray(archive(header("(12,)") + bytes(96), zipfile.ZIP_DEFLATED))
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", size)
    return bytes(data)


def read(tmp_path: Path, data: bytes) -> dict[str, Any]:
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    return read_arrays(path, COLUMNS)


# ---- arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [npz, packed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_numpy_wrote_them(
    tmp_path: Path, save: Callable[..., bytes], order: Any
) -> None:
    arrays = {"a": np.arange(7, dtype=np.uint16), "b": np.ones((3, 2), np.float32, order=order)}
    arrays["b"][1] = 5
    found = read(tmp_path, save(**arrays))
    assert list(found) == ["a", "b"]
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert (found[name] == array).all()
        assert found[name].flags.writeable
    assert read(tmp_path, npz(a=np.zeros(0, int)))["a"].shape == (0,)


def test_what_is_true_is_true_whatever_its_byte(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(archive(header("(3,)", "'|b1'") + b"\0\1\7"))
    found = read_arrays(path, {"a": Column("b")})["a"]
    assert found.dtype == bool
    assert found.tolist() == [False, True, True]


NO_ARCHIVE = "not an archive of arrays, or truncated"
MALFORMED: dict[str, bytes] = {
    NO_ARCHIVE: b"",
    f"{NO_ARCHIVE} ": b"PK",
    f"{NO_ARCHIVE}  ": npz(a=np.arange(5))[:-1],
    f"{NO_ARCHIVE}   ": npz(a=np.arange(5)) + b"\0",
    f"{NO_ARCHIVE}    ": io.BytesIO(header("(1,)") + bytes(8)).getvalue(),
    "missing arrays: a": npz(b=np.ones((1, 2))),
    "unexpected array c": npz(a=np.arange(5), c=np.arange(5)),
    "unexpected array \\x1b]0;x\\x07": npz(**{"a": np.arange(5), "\x1b]0;x\x07": [1]}),
    "a has values of type float64": npz(a=np.ones(5)),
    "a has shape (2, 2)": npz(a=np.ones((2, 2), int)),
    "a has shape ()": npz(a=np.int64(5)),
    "b has shape (2, 3)": npz(a=np.arange(5), b=np.ones((2, 3))),
    "b has shape (0,)": npz(a=np.arange(5), b=np.ones(0)),
    "b has NaN": npz(a=np.arange(5), b=np.full((1, 2), np.nan)),
    "a.npy is not an array of plain numbers": npz(a=np.array([print], object)),
    "a.npy is not an array of plain numbers ": npz(a=np.array(["text"])),
    "a.npy is not an array of plain numbers  ": npz(a=np.array([1 + 1j])),
    "a.npy is not an array of plain numbers   ": npz(a=np.zeros(2, [("x", int)])),
    "a.npy is not an array of plain numbers    ": npz(a=np.arange(3).astype(">i8")),
    "a.npy is not an array of plain numbers     ": archive(header("(" * 200 + ")" * 200)),
    "a.npy is not an array of plain numbers      ": archive(header("(-1,)")),
    "a.npy is not an array of plain numbers       ": archive(b"not numpy's"),
    "a.npy is not an array of plain numbers        ": archive(b""),
    f"a.npy claims shape ({10**12},) but has 8 bytes": archive(header(f"({10**12},)") + bytes(8)),
    "a.npy claims shape (2,) but has 8 bytes": archive(header("(2,)") + bytes(8)),
    "a.npy claims shape (1,) but has 16 bytes": archive(header("(1,)") + bytes(16)),
    f"a.npy claims shape ({10**12}, 0) but has 0 bytes": archive(header(f"({10**12}, 0)")),
    "a.npy claims shape (1, 1, 1, 1, 1, 1, 1, 1, 1) but has 8 bytes": archive(
        header(f"({'1, ' * 9})".replace(", )", ")")) + bytes(8)
    ),
    "unsupported compression 12": archive(header("(0,)"), zipfile.ZIP_BZIP2),
}  # fmt: skip


@pytest.mark.parametrize("why", MALFORMED)
def test_an_archive_that_is_malformed_is_refused_in_one_line(tmp_path: Path, why: str) -> None:
    with pytest.raises(StepFailed) as caught:
        read(tmp_path, MALFORMED[why])
    assert caught.value.message == f"{tmp_path}/x.npz: unreadable: {why.rstrip()}"


def test_a_member_that_claims_more_than_its_bytes_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="bytes cannot expand to the claimed 4,000,000,000$"):
        read(tmp_path, claiming(4_000_000_000))


def test_a_small_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """Of less than a file may have, but for the memory of a small machine."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(50 << 20, np.int64))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(StepFailed, match="bytes, which are nearly all the same$"):
        read_arrays(path, COLUMNS)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    np.savez_compressed(path, a=np.zeros(8 << 20, np.int64))
    assert len(read_arrays(path, COLUMNS)["a"]) == 8 << 20


def test_a_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """Three gigabytes of zeros, as an archive of three megabytes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece, content = bytes(1 << 24), bytearray()
    head, count = header(f"({3 << 27},)"), (3 << 30) // (1 << 24)
    content += deflate.compress(head)
    crc = zlib.crc32(head)
    for _ in range(count):
        content += deflate.compress(piece)
        crc = zlib.crc32(piece, crc)
    content += deflate.flush()
    size = len(head) + (3 << 30)
    local = b"PK\3\4" + struct.pack("<H", 20)
    local += struct.pack("<HHHHIIIHH", 0, 8, 0, 0, crc, len(content), size, 5, 0) + b"a.npy"
    central = b"PK\1\2" + struct.pack(
        "<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 0, crc, len(content), size, 5, 0, 0, 0, 0, 0, 0
    )
    central += b"a.npy"
    end = struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local) + len(content), 0)
    path = tmp_path / "x.npz"
    path.write_bytes(local + content + central + b"PK\5\6" + end)
    assert size > LARGEST_BYTES
    assert path.stat().st_size < 4 << 20
    tracemalloc.start()
    with pytest.raises(StepFailed, match=r"its arrays would take 3,221,225,\d\d\d bytes$"):
        read_arrays(path, COLUMNS)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_an_archive_of_very_many_files_is_not_even_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as made:
        for number in range(5000):
            made.writestr(str(number), b"")
    with pytest.raises(StepFailed, match=r"5,000 arrays in [\d,]+ bytes exceed the limit$"):
        read_arrays(path, COLUMNS)


def test_an_array_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(npz(a=np.arange(2), b=np.ones((1, 2))).replace(b"b.npy", b"a.npy"))
    with pytest.raises(StepFailed, match="unreadable: duplicate array$"):
        read_arrays(path, COLUMNS)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_an_archive_is_more_than_one_line(tmp_path: Path, data: st.DataObject) -> None:
    good = bytearray(packed(a=np.arange(200), b=np.ones((3, 2))))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(len(good) - 30, len(good)))
    try:
        read(tmp_path, bytes(good[:cut]))
    except StepFailed as error:
        assert "\n" not in error.message


@given(st.binary(max_size=300))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_header_of_an_array_is_more_than_one_line(tmp_path: Path, said: bytes) -> None:
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said
    with pytest.raises(StepFailed):
        read(tmp_path, archive(content))


# ---- what jobs leave ---------------------------------------------------------------------------


def found(**other: Any) -> dict[str, Any]:
    """Two pictures of 2 x 3 pixels, three detections, each with a mask."""
    arrays = {
        "image_id": np.array([4, 4, 9]),
        "box": np.ones((3, 4), np.float32),
        "score": np.ones(3, np.float32),
        "label": np.zeros(3, np.int32),
        "image_size": np.array([(9, 2, 3), (4, 2, 3)]),
        "rle": np.array([6, 2, 4, 1, 5], np.uint32),
        "rle_end": np.array([1, 3, 5]),
    }
    return {name: value for name, value in {**arrays, **other}.items() if value is not None}


WRONG: dict[str, dict[str, Any]] = {
    "arrays differ in length: ": {"score": np.ones(2, np.float32)},
    "duplicate image": {"image_size": np.array([(4, 2, 3), (4, 2, 3)])},
    "3 images, expected 2": {"image_size": np.array([(4, 2, 3), (9, 2, 3), (1, 1, 1)])},
    "an image has an invalid size": {"image_size": np.array([(4, 2, 3), (9, 0, 3)])},
    "an image has an invalid size ": {"image_size": np.array([(4, 2, 1 << 62), (9, 2, 3)])},
    "detections are not in the order of their images": {"image_id": np.array([9, 4, 4])},
    "detections are not in the order of their images ": {"image_id": np.array([4, 5, 9])},
    "a label is negative": {"label": np.array([0, -1, 0], np.int32)},
    "masks without their ends": {"rle_end": None},
    "the ends of its masks are not in order": {"rle_end": np.array([1, 5, 3])},
    "the ends of its masks are not in order ": {"rle_end": np.array([1, 3, 1 << 60])},
    "the ends of its masks are not in order  ": {"rle_end": np.array([1, 1, 5])},
    "a mask is larger than its image": {"rle": np.array([6, 2, 4, 1, 1 << 31], np.uint32)},
    "a mask does not cover its image": {"rle": np.array([6, 2, 4, 1, 4], np.uint32)},
    "unreadable: box has NaN": {"box": np.full((3, 4), np.nan, np.float32)},
    "unreadable: label has values of type float64": {"label": np.zeros(3)},
}


@pytest.mark.parametrize("why", WRONG)
def test_predictions_that_contradict_themselves_are_refused(tmp_path: Path, why: str) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, **found())
    assert len(results.read_predictions(path, images=2)["rle"]) == 5
    np.savez(path, **found(**WRONG[why]))
    with pytest.raises(StepFailed) as caught:
        results.read_predictions(path, images=2)
    assert caught.value.message.startswith(f"{path}: {why.rstrip()}")


def test_outputs_have_a_row_an_image(tmp_path: Path) -> None:
    path = tmp_path / "outputs.npz"
    np.savez(path, x=np.full((4, 3), np.nan, np.float32), n=np.arange(4))
    rows = results.read_outputs(path, ("x", "n"), 4)
    assert [row["x"].shape for row in rows] == [(3,)] * 4
    assert [row["n"].tolist() for row in rows] == [0, 1, 2, 3]
    with pytest.raises(StepFailed, match="'x' has 4 rows, expected 2$"):
        results.read_outputs(path, ("x", "n"), 2)
    with pytest.raises(StepFailed, match="unexpected array n$"):
        results.read_outputs(path, ("x",), 4)


def test_outputs_of_any_length_have_their_shapes_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "outputs.npz"
    shapes = {"x:shapes": np.array([(2, 2), (0, 2), (1, 2)])}
    np.savez(path, x=np.arange(6.0), **shapes)
    rows = results.read_outputs(path, ("x",), 3)
    assert [row["x"].tolist() for row in rows] == [[[0, 1], [2, 3]], [], [[4, 5]]]


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(2, 2), (1, 2)], "x:shapes has shape (2, 2)"),
        ([(2, 2), (0, 2), (2, 2)], "'x' has other shapes than its values"),
        ([(2, 2), (-1, -2), (0, 2)], "'x' has other shapes than its values"),
        ([(2, 2), (0, 1 << 60), (1, 2)], "'x' has other shapes than its values"),
        ([(6, *[1] * 70), (0, *[1] * 70), (0, *[1] * 70)], "'x' has other shapes than its values"),
    ],
)
def test_shapes_that_are_not_those_of_the_values_are_refused(
    tmp_path: Path, shapes: list[tuple[int, ...]], words: str
) -> None:
    path = tmp_path / "outputs.npz"
    np.savez(path, x=np.arange(6.0), **{"x:shapes": np.array(shapes)})
    with pytest.raises(StepFailed) as caught:
        results.read_outputs(path, ("x",), 3)
    assert caught.value.message.endswith(words)


def test_samples_beyond_int64_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    np.savez(path, latency_ns=np.array([1 << 63], np.uint64))
    with pytest.raises(StepFailed, match="latency_ns has values beyond int64$"):
        results.read_samples(path)
    np.savez(path, latency_ns=np.array([5], np.uint32), of_a_newer_bench=np.ones(3))
    assert results.read_samples(path)["latency_ns"].dtype == np.int64
    with pytest.raises(StepFailed, match="missing arrays: start_ns$"):
        results.check_samples(path)
