"""A dataset that anybody may have made: it reads nothing but itself, and fills neither memory nor
disk."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.errors import ConfigError
from harness.report.pictures import CocoPictures
from harness.steps import datasets, image_decoding, image_files
from harness.steps.image_paths import DECLARED

SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What is the user's own: a private file, and a private photo."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "id_rsa").write_bytes(SECRET)
    Image.new("RGB", (8, 6), (1, 2, 3)).save(folder / "photo.png")
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (8, 6), (40, 50, 60)).save(folder / "images" / "a.png")
    annotate(folder, "a.png")
    return folder


def annotate(folder: Path, name: str, **fields: Any) -> None:
    image = {"id": 1, "file_name": name, "height": 6, "width": 8, **fields}
    box = {"id": 1, "image_id": image["id"], "category_id": 1, "bbox": [0, 0, 2, 2]}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "c"}]}
    (folder / "annotations.json").write_text(json.dumps(content))


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        datasets.read(folder)
    text = "\n".join([*caught.value.mistakes, caught.value.hint])
    for leaked in (hashlib.sha256(SECRET).hexdigest()[:8], "OPENSSH", "b3Blb"):
        assert leaked not in text
    return text


# ---- what it names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way", ["../../home/photo.png", "{outside}/photo.png", "link.png", "l/photo.png"]
)
def test_no_image_of_others_is_read(dataset: Path, outside: Path, way: str) -> None:
    """By its path, or by a link of the dataset's."""
    (dataset / "images" / "link.png").symlink_to(outside / "photo.png")
    (dataset / "images" / "l").symlink_to(outside)
    annotate(dataset, way.format(outside=outside))
    said = refused(dataset)
    assert "outside of the dataset's folder" in said or "no such file; annotated" in said
    pictures = CocoPictures.of(dataset, dataset)
    with pytest.raises(
        (ConfigError, Exception),
        match="dataset's folder|cannot be decoded|not a supported image|not a file|No such",
    ):
        pictures.image(1)


def test_a_link_that_the_user_has_declared_is_followed(
    dataset: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dataset / "images" / "link.png").symlink_to(outside / "photo.png")
    annotate(dataset, "link.png")
    monkeypatch.setenv(DECLARED, f"/nowhere{os.pathsep}{outside}")
    (picture,) = datasets.read(dataset).images
    assert datasets.decode(picture)[0, 0].tolist() == [1, 2, 3]


def test_a_dataset_that_is_itself_a_link_is_read(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(dataset)
    assert len(datasets.read(tmp_path / "linked").images) == 1


def test_a_path_that_leads_out_and_back_in_is_the_datasets_own(dataset: Path) -> None:
    annotate(dataset, "../images/a.png")
    assert len(datasets.read(dataset).images) == 1


@pytest.mark.parametrize(
    "name", ["../home/id_rsa", "{outside}/id_rsa", "images/key", "images/l/id_rsa"]
)
def test_no_file_of_others_is_hashed(dataset: Path, outside: Path, name: str) -> None:
    (dataset / "images" / "key").symlink_to(outside / "id_rsa")
    (dataset / "images" / "l").symlink_to(outside)
    files = {name.format(outside=outside): "0" * 64, "annotations.json": "0" * 64}
    (dataset / "manifest.json").write_text(json.dumps({"name": "x", "images": 1, "files": files}))
    assert "outside of the dataset's folder and of the folders in BENCH_DATA" in refused(dataset)


@pytest.mark.parametrize("file", ["annotations.json", "manifest.json"])
def test_no_annotations_of_others_are_read(dataset: Path, outside: Path, file: str) -> None:
    (dataset / file).unlink(missing_ok=True)
    (dataset / file).symlink_to(outside / "id_rsa")
    said = refused(dataset)
    assert said.splitlines() == [
        f"{dataset / file}: outside of the dataset's folder and of the folders in BENCH_DATA",
        "Copy it into the dataset's folder, or add its folder to BENCH_DATA.",
    ]


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 10**400, "9" * 5000, 1e300])
def test_an_id_beyond_64_bits_is_numbered_anew(dataset: Path, number: Any) -> None:
    annotate(dataset, "a.png", id=number)
    try:
        found = datasets.read(dataset)
    except ConfigError as error:
        assert len(error.mistakes[0]) < 300
        return
    assert np.array([one.id for one in found.images], np.int64).tolist() == [1]


@pytest.mark.parametrize("side", [1 << 62, 10**30, -1, "9" * 5000, 1e300])
def test_a_size_that_no_image_has_makes_no_room(dataset: Path, tmp_path: Path, side: Any) -> None:
    annotate(dataset, "a.png", height=side, width=side)
    began = time.monotonic()
    with pytest.raises(ConfigError):
        datasets.pack(datasets.read(dataset), tmp_path / "packs")
    assert time.monotonic() - began < 5
    assert not list(tmp_path.glob("packs/*"))


# ---- what its images are -----------------------------------------------------------------------


def png(width: int, height: int, rows: bytes) -> bytes:
    """A grey PNG whose header says that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n(/bin/touch) run\n"
FORBIDDEN = {
    "eps": EPS,
    "eps with a preview": b"\xc5\xd0\xd3\xc6"
    + struct.pack("<7I", 30, len(EPS), 0, 0, 0, 0, 0)
    + EPS,
    "wmf": b"\xd7\xcd\xc6\x9a" + bytes(60),
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "pdf": b"%PDF-1.7\n",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "psd": b"8BPS\x00\x01" + bytes(100),
    "mpeg": b"\x00\x00\x01\xb3" + bytes(100),
}


@pytest.mark.parametrize("kind", FORBIDDEN)
@pytest.mark.parametrize("suffix", ["jpg", "png", "eps"])
def test_what_is_no_photo_is_not_opened(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(FORBIDDEN[kind])
    with pytest.raises(ConfigError, match="not a supported image"):
        image_files.decode(path, 6, 8)


def test_no_plugin_of_other_formats_is_even_imported(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(EPS)
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.errors import ConfigError\n"
        "from harness.steps import image_decoding\n"
        "try: image_decoding.decode(Path(sys.argv[1]), 0, 0)\n"
        "except ConfigError: pass\n"
        "print(*sorted(n for n in sys.modules if n.endswith('ImagePlugin')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.jpg")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) <= {f"PIL.{one}" for one in image_decoding.PLUGINS.values()}


@pytest.mark.parametrize("side", [20_000, 60_000, (1 << 31) - 1])
def test_a_header_that_claims_gigabytes_makes_no_room(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png(side, side, b"\0"))
    began = time.monotonic()
    for height in (0, side):
        with pytest.raises(ConfigError) as caught:
            image_files.size_of(tmp_path / "a.png", height, height)
        assert len(caught.value.mistakes) == 1
    assert time.monotonic() - began < 5


def test_an_image_of_more_pixels_than_its_file_can_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(12_000, 12_000, b"\0"))
    with pytest.raises(ConfigError) as caught:
        image_files.decode(path, 0, 0, " (image id 7)")
    size = path.stat().st_size
    assert caught.value.mistakes == [f"{path}: 144,000,000 pixels in {size:,} bytes (image id 7)"]


def test_a_dataset_of_images_of_one_colour_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "SMALL_BYTES", 1 << 20)
    (tmp_path / "images").mkdir()
    Image.new("P", (4000, 4000)).save(tmp_path / "images" / "a.gif")
    annotate(tmp_path, "a.gif", height=4000, width=4000)
    made: list[Any] = []
    monkeypatch.setattr(np.lib.format, "open_memmap", lambda *given: made.append(given))
    with pytest.raises(ConfigError) as caught:
        datasets.pack(datasets.read(tmp_path), tmp_path / "packs")
    assert caught.value.mistakes == [
        f"{tmp_path / 'images'}: images of 0.0 MB would decode to 0 GB"
    ]
    assert made == []


# ---- what its images do to the decoder ---------------------------------------------------------


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = image_files.Decoder()
    yield found
    found.close()


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A decoder that does this over every image."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "fake.py").write_text(code)
    start = image_files.subprocess.Popen

    def started(argv: list[str], **options: Any) -> Any:
        options["env"] = {**options["env"], "PYTHONPATH": str(tmp_path / "code")}
        return start([*argv[:-1], "fake"], **options)

    monkeypatch.setattr(image_files.subprocess, "Popen", started)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; sys.exit(3)", "the decoder ended with exit code 3"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "the decoder was killed by SIGSEGV",
        ),
        ("import time; time.sleep(60)", "takes longer than 1 s"),
        ("print('x' * 200_000, flush=True); input()", "invalid answer of the decoder"),
        ("print('[1]', flush=True); input()", "invalid answer of the decoder"),
        ("print('[' * 60_000, flush=True); input()", "invalid answer of the decoder"),
        ("print('{\"mistakes\": 3}', flush=True); input()", "invalid answer of the decoder"),
        ("print('{\"mistakes\": []}', flush=True); input()", "invalid answer of the decoder"),
        (
            "print('{\"size\": [1000000, 1000000]}', flush=True); input()",
            "invalid answer of the decoder",
        ),
        (
            "print('{\"size\": [-1, 8]}', flush=True); input()",
            "invalid answer of the decoder",
        ),
        ("print('{\"size\": [7, 8]}', flush=True); input()", "invalid answer of the decoder"),
        ("print('{\"size\": [6, 8]}abc', flush=True)", "invalid answer of the decoder"),
        ("print('{\"size\": [6, 8]}\\nabc', flush=True)", "the decoder ended with exit code 0"),
    ],
)
def test_whatever_an_image_does_to_the_decoder_costs_that_image(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    decoder: image_files.Decoder,
    code: str,
    why: str,
) -> None:
    monkeypatch.setattr(image_files, "DEADLINE_S", 1.0)
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    with monkeypatch.context() as patched:
        program(tmp_path, patched, code)
        began = time.monotonic()
        with pytest.raises(ConfigError) as caught:
            decoder.decode(tmp_path / "a.png", 6, 8, "")
        assert time.monotonic() - began < 6
    assert caught.value.mistakes == [f"{tmp_path / 'a.png'}: cannot be decoded: {why}"]
    monkeypatch.setattr(image_files, "DEADLINE_S", 60.0)
    assert decoder.decode(tmp_path / "a.png", 6, 8, "").shape == (6, 8, 3)


def test_a_decoder_that_had_nothing_to_do_is_started_again(
    tmp_path: Path, decoder: image_files.Decoder
) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    assert decoder.size_of(tmp_path / "a.png", 0, 0, "") == (6, 8)
    process = decoder._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0
    with open(os.devnull, "wb") as process.stdin:  # it takes what nobody reads
        assert decoder.size_of(tmp_path / "a.png", 0, 0, "") == (6, 8)


def test_the_decoder_can_write_no_file_and_has_little_memory(tmp_path: Path) -> None:
    code = (
        "from harness.steps.image_process import confine\nimport sys\n"
        "confine()\n"
        "try: open(sys.argv[1], 'wb', 0).write(b'x'); print('wrote')\n"
        "except OSError as error: print('no file')\n"
        "try: print(len(bytearray(5 << 30)))\nexcept MemoryError: print('no memory')\n"
        "print(open('/proc/self/status').read().count('NoNewPrivs:\\t1'))\n"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "evil")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["no file", "no memory", "1"]
    assert (tmp_path / "evil").read_bytes() == b""


def test_the_decoder_has_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: image_files.Decoder
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    decoder.size_of(tmp_path / "a.png", 0, 0, "")
    assert decoder._process is not None
    environment = Path(f"/proc/{decoder._process.pid}/environ").read_bytes()
    assert b"s3cret" not in environment


def test_a_pipe_for_an_image_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    began = time.monotonic()
    with pytest.raises(ConfigError, match="not a file"):
        image_files.decode(tmp_path / "a.png", 0, 0)
    assert time.monotonic() - began < 5


# ---- its own files -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["annotations.json", "manifest.json", "images/a.png"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(dataset: Path, name: str) -> None:
    if name == "manifest.json":
        (dataset / "annotations.json").unlink()
    (dataset / name).unlink(missing_ok=True)
    os.mkfifo(dataset / name)
    began = time.monotonic()
    assert name in refused(dataset)
    assert time.monotonic() - began < 20


def test_annotations_that_never_end_are_not_read(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DECLARED, "/dev")
    (dataset / "annotations.json").unlink()
    (dataset / "annotations.json").symlink_to("/dev/zero")
    assert refused(dataset).startswith(f"{dataset / 'annotations.json'}: not a regular file")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"name": "x", "files": {}, "images": ' + b"1" * 5000 + b"}",
        b'{"name": "\\ud800", "files": {}, "images": 1}',
        b'{"name": "\xed\xa0\x80", "files": {}, "images": 1}',
    ],
)
def test_a_manifest_that_is_none_is_one_mistake(dataset: Path, content: bytes) -> None:
    (dataset / "manifest.json").write_bytes(content)
    assert refused(dataset).startswith(f"{dataset / 'manifest.json'}: not JSON: ")


@pytest.mark.parametrize("name", ["x" * 5000, "/".join(["y" * 200] * 30), "a\0b", "\ud800", ""])
def test_a_name_that_no_file_can_have_is_no_file(dataset: Path, name: str) -> None:
    (dataset / "manifest.json").write_text(json.dumps({"name": "v", "files": {name: "00"}}))
    refused(dataset)
    (dataset / "manifest.json").unlink()
    annotate(dataset, name)
    refused(dataset)
