from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.errors import ConfigError
from harness.steps import datasets
from harness.tasks.pack import open_pack


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    return folder


HINT = "Copy the dataset again, or regenerate its manifest if you changed it."


def write_manifest(folder: Path) -> None:
    paths = [folder / "annotations.json", *sorted((folder / "images").iterdir())]
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }
    manifest = {"name": "toy", "images": len(paths) - 1, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def make(folder: Path, sizes: list[tuple[int, int]], suffix: str = "png") -> Path:
    """A dataset of noise pictures of `sizes` (height, width), with a box in each."""
    (folder / "images").mkdir(parents=True)
    rng, images, annotations = np.random.default_rng(0), [], []
    for at, (height, width) in enumerate(sizes):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{at}.{suffix}")
        images.append(
            {"id": at + 10, "file_name": f"{at}.{suffix}", "height": height, "width": width}
        )
        box = {"id": at, "image_id": at + 10, "category_id": 1, "bbox": [0, 0, 2, 2], "area": 4}
        annotations.append(box)
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "card"}],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    write_manifest(folder)
    return folder


def refused(folder: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        datasets.read(folder)
    return caught.value


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_good_dataset_is_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8), (6, 8)])
    dataset = datasets.read(folder)
    assert (dataset.name, dataset.classes) == ("toy", ("card",))
    assert [(one.id, one.height, one.width) for one in dataset.images] == [(10, 6, 8), (11, 6, 8)]
    assert dataset.images[0].path == folder / "images" / "0.png"


def test_the_checked_in_validation_set_is_whole() -> None:
    folder = Path(__file__).parents[2] / "models" / "rio" / "data" / "val"
    dataset = datasets.read(folder)
    assert len(dataset.images) >= 300
    assert dataset.classes == ("card",)


def test_missing_and_changed_files_are_all_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)] * 3)
    wanted = json.loads((folder / "manifest.json").read_text())["files"]
    (folder / "images" / "0.png").unlink()
    (folder / "images" / "2.png").write_bytes(b"something else")
    error = refused(folder)
    seen = hashlib.sha256(b"something else").hexdigest()[:12]
    assert error.mistakes == [
        f"{folder}/images/0.png: no such file; listed in the manifest",
        f"{folder}/images/2.png: sha256 is {seen}…, "
        f"expected {wanted['images/2.png'][:12]}… (manifest)",
    ]
    assert error.hint == HINT


def test_a_file_changed_while_we_run_is_noticed(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)])
    datasets.read(folder)
    path = folder / "images" / "0.png"
    size, changed_ns = path.stat().st_size, path.stat().st_mtime_ns
    path.write_bytes(b"x" * size)
    os.utime(path, ns=(changed_ns, changed_ns + 1))
    assert "0.png: sha256 is" in refused(folder).message


def test_mistakes_in_annotations_stand_beside_those_in_files(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)])
    content = json.loads((folder / "annotations.json").read_text())
    content["annotations"][0]["bbox"] = [1, 2]
    (folder / "annotations.json").write_text(json.dumps(content))
    write_manifest(folder)
    (folder / "images" / "0.png").unlink()
    path = folder / "annotations.json"
    assert refused(folder).mistakes == [
        f"{folder}/images/0.png: no such file; listed in the manifest",
        f"{path}: annotations[0] (id 0).bbox: expected [x, y, width, height], got [1, 2]",
    ]


def test_missing_annotations_are_named_once(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)])
    (folder / "annotations.json").unlink()
    assert refused(folder).mistakes == [
        f"{folder}/annotations.json: no such file; listed in the manifest"
    ]


def test_annotated_pictures_must_be_in_the_manifest(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)])
    files = json.loads((folder / "manifest.json").read_text())["files"]
    edit(folder / "manifest.json", files={"annotations.json": files["annotations.json"]})
    assert refused(folder).mistakes == [
        f"{folder}/images/0.png: not in the manifest; annotated as image id 10"
    ]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"name": 5}, "name: expected a name, got 5"),
        ({"files": [1]}, "files: expected {path: sha256}, got [1]"),
        ({"files": {"a": 1}}, 'files: expected {path: sha256}, got {"a": 1}'),
        ({"files": {}}, "files: does not name annotations.json"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path: Path, fields: dict[str, Any], what: str) -> None:
    folder = make(tmp_path / "toy", [])
    edit(folder / "manifest.json", **fields)
    assert refused(folder).mistakes == [f"{folder}/manifest.json: {what}"]


def test_a_damaged_manifest_is_named_beside_the_annotations(tmp_path: Path) -> None:
    missing = f"{tmp_path}/annotations.json: no such file"
    (tmp_path / "manifest.json").write_text("[]")
    wanted = [f"{tmp_path}/manifest.json: expected an object, got []", missing]
    assert refused(tmp_path).mistakes == wanted
    (tmp_path / "manifest.json").write_text("{")
    assert refused(tmp_path).message.startswith(f"{tmp_path}/manifest.json: not JSON: ")


def test_a_dataset_needs_no_manifest_and_changes_its_key_with_its_files(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)] * 2)
    (folder / "manifest.json").unlink()
    assert datasets.read_annotations(folder)[1] == ()
    before = datasets.read(folder)
    assert (before.name, len(before.images)) == ("toy", 2)
    assert datasets.read(folder) == before
    Image.new("RGB", (8, 6)).save(folder / "images" / "1.png")
    assert datasets.read(folder).sha256 != before.sha256
    (folder / "images" / "0.png").unlink()
    assert refused(folder).mistakes == [
        f"{folder}/images/0.png: no such file; annotated as image id 10"
    ]


def test_a_manifest_of_windows_is_a_manifest(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)])
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: sha.upper() for name, sha in manifest["files"].items()}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8-sig")
    assert datasets.read(folder).name == "toy"


def test_annotations_are_checked_without_reading_images(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)] * 2)
    (folder / "images" / "0.png").write_bytes(b"no image")
    found, notes = datasets.read_annotations(folder)
    assert (len(found.images), notes) == (2, ())
    (folder / "images" / "1.png").unlink()
    edit(folder / "annotations.json", info={})
    with pytest.raises(ConfigError) as caught:
        datasets.read_annotations(folder)
    changed, gone = caught.value.mistakes
    assert changed.startswith(f"{folder}/annotations.json: sha256 is ")
    assert gone == f"{folder}/images/1.png: no such file; listed in the manifest"


# ---- which file a name means --------------------------------------------------------------------


def renamed(folder: Path, name: str, file: str = "0.png") -> Path:
    """The dataset with its only image stored as `file` and annotated as `name`."""
    made = make(folder, [(6, 8)])
    (made / "images" / file).parent.mkdir(parents=True, exist_ok=True)
    (made / "images/0.png").rename(made / "images" / file)
    content = json.loads((made / "annotations.json").read_text())
    content["images"][0]["file_name"] = name
    (made / "annotations.json").write_text(json.dumps(content))
    (made / "manifest.json").unlink()
    return made


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("0.png", "0.png"),
        ("./images/0.png", "0.png"),
        (".\\images\\0.png", "0.png"),
        ("C:\\Users\\me\\cards\\0.png", "0.png"),
        ("/data/upload/1/0.png", "0.png"),
        ("/data/local-files/?d=cards/my%20card.png", "my card.png"),
        ("https://example.com/images/my%20card.png?token=1", "my card.png"),
        ("my%20card.png", "my card.png"),
        ("50%25.png", "50%25.png"),
        ("CARD.PNG", "card.png"),
        ("ka\u0308rtchen.png", "k\u00e4rtchen.png"),
        ("0.png", "camera1/0.png"),
        ("images/camera1/0.png", "camera1/0.png"),
        ("a b?c#d.png", "a b?c#d.png"),
    ],
)
def test_a_file_is_found_however_its_name_is_written(tmp_path: Path, name: str, file: str) -> None:
    folder = renamed(tmp_path / "toy", name, file)
    assert datasets.read(folder).images[0].path == folder / "images" / file


def test_a_file_of_another_folder_is_another_file(tmp_path: Path) -> None:
    folder = renamed(tmp_path / "toy", "train/0.png", "val/0.png")
    assert refused(folder).mistakes == [
        f"{folder}/images/train/0.png: no such file; annotated as image id 10"
    ]


def test_a_name_that_may_be_two_files_is_a_mistake(tmp_path: Path) -> None:
    folder = renamed(tmp_path / "toy", "0.png", "a/0.png")
    (folder / "images/b").mkdir()
    (folder / "images/b/0.png").write_bytes((folder / "images/a/0.png").read_bytes())
    assert refused(folder).mistakes == [
        f'{folder}/annotations.json: image id 10, file_name "0.png": '
        "ambiguous: images/a/0.png or images/b/0.png"
    ]


def test_two_names_of_one_file_are_a_mistake(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)] * 2)
    content = json.loads((folder / "annotations.json").read_text())
    content["images"][0]["file_name"] = "train/0.png"
    content["images"][1]["file_name"] = "val/0.png"
    (folder / "annotations.json").write_text(json.dumps(content))
    (folder / "manifest.json").unlink()
    assert refused(folder).mistakes == [
        f'{folder}/annotations.json: image id 11, file_name "val/0.png": same file as "train/0.png"'
    ]


# ---- packs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[(6, 8)] * 3, [(6, 8), (5, 9), (7, 2)], []])
def test_packed_pictures_are_read_as_they_were(
    tmp_path: Path, sizes: list[tuple[int, int]]
) -> None:
    dataset = datasets.read(make(tmp_path / "toy", sizes))
    pack = open_pack(datasets.pack(dataset, tmp_path / "packs"))
    assert len(pack) == len(sizes)
    for (image_id, pixels), picture in zip(pack, dataset.images, strict=True):
        assert image_id == picture.id
        np.testing.assert_array_equal(pixels, np.asarray(Image.open(picture.path)))


def test_pictures_of_one_size_are_stacked_for_anyone_to_map(tmp_path: Path) -> None:
    dataset = datasets.read(make(tmp_path / "toy", [(6, 8)] * 3))
    folder = datasets.pack(dataset, tmp_path / "packs", [2, 0])
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    assert pixels.shape == (2, 6, 8, 3)
    assert pixels.dtype == np.uint8
    assert np.load(folder / "ids.npy").tolist() == [12, 10]
    assert np.load(folder / "shapes.npy").tolist() == [[6, 8, 3]] * 2


def test_a_pack_is_a_sequence(tmp_path: Path) -> None:
    dataset = datasets.read(make(tmp_path / "toy", [(6, 8)] * 3))
    pack = open_pack(datasets.pack(dataset, tmp_path / "packs"))
    assert [image_id for image_id, _ in pack[1:]] == [11, 12]
    assert pack[-1][0] == 12
    with pytest.raises(IndexError):
        pack[3]
    with pytest.raises(ValueError, match="read-only"):
        pack[0][1][:] = 0


def test_the_same_content_is_packed_once(tmp_path: Path) -> None:
    dataset = datasets.read(make(tmp_path / "toy", [(6, 8)] * 3))
    out = tmp_path / "packs"
    first = datasets.pack(dataset, out, [0, 1])
    changed_ns = (first / "pixels.npy").stat().st_mtime_ns
    assert datasets.pack(dataset, out, (0, 1)) == first
    assert (first / "pixels.npy").stat().st_mtime_ns == changed_ns
    assert datasets.pack(dataset, out, [0, 2]) != first
    assert datasets.pack(dataset, out) == datasets.pack(dataset, out, range(3))
    assert len(list(out.iterdir())) == 3


def test_damaged_pictures_are_all_named_and_leave_nothing(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(60, 80)] * 4, "jpg")
    whole = (folder / "images" / "0.jpg").read_bytes()
    (folder / "images" / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "images" / "1.jpg").write_bytes(b"no picture")
    Image.new("RGB", (8, 6)).save(folder / "images" / "2.jpg")
    write_manifest(folder)
    dataset = datasets.read(folder)
    with pytest.raises(ConfigError) as caught:
        datasets.pack(dataset, tmp_path / "packs")
    unknown, small, truncated = caught.value.mistakes
    start = f"{folder}/images/0.jpg: cannot be decoded: image file is truncated"
    assert truncated.startswith(start)
    unknown = unknown.removesuffix("(JPEG, PNG, WebP, TIFF, BMP, GIF, PPM)")
    assert unknown == f"{folder}/images/1.jpg: not a supported image "
    assert small == f"{folder}/images/2.jpg: 8 x 6 pixels, annotated as 80 x 60 (image id 12)"
    assert caught.value.hint == HINT
    assert list((tmp_path / "packs").iterdir()) == []


def test_grey_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)] * 2)
    Image.new("L", (8, 6), 9).save(folder / "images" / "0.png")
    Image.new("RGBA", (8, 6), (1, 2, 3, 0)).save(folder / "images" / "1.png")
    write_manifest(folder)
    pack = open_pack(datasets.pack(datasets.read(folder), tmp_path / "packs"))
    assert (pack[0][1] == 9).all()
    assert pack[1][1].shape == (6, 8, 3)


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(1, 500))
def test_indices_are_spread_evenly(count: int, most: int) -> None:
    chosen = datasets.evenly(count, most)
    assert len(chosen) == min(count, most)
    assert all(0 <= at < count for at in chosen)
    gaps = set(np.diff(chosen).tolist())
    assert len(gaps) <= 2
    assert max(gaps, default=1) - min(gaps, default=1) <= 1


def test_evenly_takes_all_when_nothing_limits_it() -> None:
    assert datasets.evenly(3, None) == (0, 1, 2)
    assert datasets.evenly(10, 2) == (2, 7)


def test_a_size_that_is_not_annotated_is_the_files(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8), (5, 9)])
    content = json.loads((folder / "annotations.json").read_text())
    del content["images"][1]["height"]
    (folder / "annotations.json").write_text(json.dumps(content))
    write_manifest(folder)
    pack = open_pack(datasets.pack(datasets.read(folder), tmp_path / "packs"))
    assert [pixels.shape for _, pixels in pack] == [(6, 8, 3), (5, 9, 3)]


def test_no_room_is_made_for_a_size_that_no_image_has(tmp_path: Path) -> None:
    folder = make(tmp_path / "toy", [(6, 8)])
    content = json.loads((folder / "annotations.json").read_text())
    content["images"][0] |= {"height": 10**9, "width": 10**9}
    (folder / "annotations.json").write_text(json.dumps(content))
    write_manifest(folder)
    with pytest.raises(ConfigError) as caught:
        datasets.pack(datasets.read(folder), tmp_path / "packs")
    assert caught.value.mistakes == [
        f"{folder}/images/0.png: 8 x 6 pixels, annotated as 1000000000 x 1000000000 (image id 10)"
    ]
