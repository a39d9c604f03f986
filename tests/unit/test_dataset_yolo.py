"""Ultralytics' datasets as they are exported: data.yaml, label files, splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataset_files import image, objects, write, wrong

from harness.metrics import masks
from harness.metrics.json_values import shown
from harness.steps import datasets
from harness.steps.dataset_kinds import yolo
from harness.steps.dataset_kinds.findings import OF_FILES, Wrong
from harness.steps.dataset_kinds.source import Source

YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return folder


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    write(folder / "data.yaml", YAML)
    image(folder / "images/val/a.jpg")
    image(folder / "images/val/b.png", 40, 20)
    image(folder / "images/train/c.jpg")
    write(folder / "labels/val/a.txt", "1 0.5 0.5 0.25 0.5\n0 0.25 0.5 0.5 1\n")
    write(folder / "labels/train/c.txt", "0 0.5 0.5 1 1\n")
    return folder


def test_boxes_are_in_pixels_of_their_image(pets: Path) -> None:
    wanted = [
        ("images/val/a.jpg", "dog", (30, 15, 20, 30)),
        ("images/val/a.jpg", "cat", (0, 0, 40, 60)),
    ]
    assert objects(pets / "data.yaml") == wanted
    assert objects(pets) == wanted
    found, notes = datasets.read_annotations(pets)
    assert [(one.height, one.width) for one in found.images] == [(60, 80), (20, 40)]
    assert notes == ("images without a label file (no objects): 1",)


def test_val_counts_where_there_is_valid_too(pets: Path) -> None:
    for more in (
        "val: images/val\nvalid: images/train\n",
        "valid: images/train\nval: images/val\n",
    ):
        write(pets / "data.yaml", f"{more}names: [cat, dog]\n")
        assert len(objects(pets)) == 2


def test_an_image_that_is_gone_changes_no_id_of_the_others(pets: Path) -> None:
    write(pets / "data.yaml", "val: val.txt\nnames: [cat, dog]\n")
    write(pets / "val.txt", "images/train/c.jpg\nimages/val/a.jpg\n")
    before = {one.path: one.id for one in datasets.find(pets).pictures}
    (pets / "images/train/c.jpg").unlink()
    (left,) = datasets.find(pets, Wrong(forgiven=OF_FILES)).pictures
    assert (left.path.name, left.id) == ("a.jpg", before[left.path])
    write(pets / "val.txt", "images/val/a.jpg\n")
    assert [one.id for one in datasets.find(pets).pictures] == [left.id]


def test_another_split_is_asked_for_by_its_name(pets: Path) -> None:
    assert objects(Source(pets, split="train")) == [("images/train/c.jpg", "cat", (0, 0, 80, 60))]
    assert wrong(Source(pets, split="test")) == [
        f"{pets}/data.yaml: no split `test`; it has train, val"
    ]


def test_the_truth_is_a_coco_file_in_the_cache_and_nothing_is_written_beside_the_data(
    pets: Path, cache: Path
) -> None:
    before = sorted(pets.rglob("*"))
    dataset = datasets.read(Source(pets, name="pets-val"))
    assert sorted(pets.rglob("*")) == before
    assert dataset.annotations.is_relative_to(cache / "truth")
    content = json.loads(dataset.annotations.read_text())
    assert content["categories"] == [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    assert [one["file_name"] for one in content["images"]] == [
        "images/val/a.jpg",
        "images/val/b.png",
    ]
    assert dataset.name == "pets-val"
    assert [one.path for one in dataset.images] == [
        pets / "images/val/a.jpg", pets / "images/val/b.png",
    ]  # fmt: skip
    assert datasets.read(pets).annotations == dataset.annotations
    write(pets / "labels/val/b.txt", "0 0.5 0.5 0.5 0.5\n")
    changed = datasets.read(pets)
    assert changed.sha256 != dataset.sha256
    assert changed.annotations != dataset.annotations


def test_outlines_have_the_box_around_them(pets: Path) -> None:
    write(pets / "labels/val/a.txt", "0 0.25 0.25 0.75 0.25 0.5 0.75\n")
    (found,) = datasets.read_annotations(pets)[0].annotations
    assert found.segmentation == [[20, 15, 60, 15, 40, 45]]
    assert found.box == (20, 15, 40, 30)


@pytest.mark.parametrize(
    ("shape", "numbers", "wanted"),
    [
        ("[2, 3]", "0.5 0.25 2 0 0 0", [40, 15, 2, 0, 0, 0]),
        ("[2, 2]", "0.5 0.25 0 0", [40, 15, 2, 0, 0, 0]),
    ],
)
def test_keypoints_are_in_the_truth(
    pets: Path, shape: str, numbers: str, wanted: list[float]
) -> None:
    write(pets / "data.yaml", f"{YAML}kpt_shape: {shape}\n")
    write(pets / "labels/val/a.txt", f"0 0.5 0.5 0.5 0.5 {numbers}\n")
    (found,) = json.loads(datasets.read(pets).annotations.read_text())["annotations"]
    assert (found["keypoints"], found["num_keypoints"]) == (wanted, 1)
    assert found["area"] == pytest.approx(0.53 * 40 * 30)  # as Ultralytics has it for OKS
    write(pets / "labels/val/a.txt", "0 0.5 0.5 0.5 0.5 1\n")
    points = 4 + len(numbers.split())
    assert wrong(pets) == [
        f"{pets}/labels/val/a.txt:1: expected a class and {points} numbers (kpt_shape {shape}), "
        "got a class and 5"
    ]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ("names: [cat, dog]", ["cat", "dog"]),
        ("names: {1: dog, 0: cat}", ["cat", "dog"]),
        ("nc: 2", ["class_0", "class_1"]),
        ("nc: 2\nnames: ['1', 2]", ["1", "2"]),
    ],
)
def test_names_are_a_list_or_have_numbers(pets: Path, names: str, wanted: list[str]) -> None:
    write(pets / "data.yaml", f"val: images/val\n{names}\n")
    assert [one.name for one in datasets.read_annotations(pets)[0].categories] == wanted


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("val: images/val\n", 1, "names: missing"),
        ("val: images/val\nnames: []\n", 2, "names: none"),
        ("val: images/val\nnames:\n  0: a\n  1: b\n  1: c\n", 5, "1: a second time"),
        ("val: images/val\nnames: [a]\nval: images/train\n", 3, "val: a second time"),
        ("val: images/val\nnames: {0: a, 2: b}\n", 2, "names: expected 0 to 1, 1 is missing"),
        ("val: images/val\nnc: 3\nnames: [a]\n", 3, "names: 1 names, but nc is 3"),
        ("val: images/val\nnames: a\n", 2,
         'names: expected a list, or numbers with names, got "a"'),
        ("val: images/val\nnames: [yes]\n", 2, "names: expected names, got true; put it in quotes"),
        ("val: 5\nnames: [a]\n", 1, "val: expected a path or a list of paths, got 5"),
        ("val: x\nnames: [a]\nkpt_shape: [17]\n", 3,
         "kpt_shape: expected [points, 2] or [points, 3], got [17]"),
        ("- a\n", 1, 'expected keys and values, got ["a"]'),
        ("val: x\nnames: [a\n", 3, "not YAML: expected ',' or ']', but got '<stream end>'"),
        ("val: &a x\ntest: *a\n", 2, "aliases (*a) are not read"),
        ("val: !!python/object/apply:os.system [ls]\n", 1,
         "tags (tag:yaml.org,2002:python/object/apply:os.system) are not read"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_named_with_its_line(
    pets: Path, text: str, line: int, what: str
) -> None:
    write(pets / "data.yaml", text)
    assert wrong(pets) == [f"{pets}/data.yaml:{line}: {what}"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("cat 0.5 0.5 0.1 0.1", f'expected {yolo.FORMS}, got "cat 0.5 0.5 0.1 0.1"'),
        ("0.5 0.5 0.5 0.1 0.1", f'expected {yolo.FORMS}, got "0.5 0.5 0.5 0.1 0.1"'),
        ("0 0.5 nan 0.1 0.1", f'expected {yolo.FORMS}, got "0 0.5 nan 0.1 0.1"'),
        ("0 0.5 0.5 0.1", f"expected {yolo.FORMS}, got a class and 3 numbers"),
        ("0 0.5 0.5 0.1 0.1 0.9", f"expected {yolo.FORMS}, got a class and 5 numbers"),
        ("2 0.5 0.5 0.1 0.1", "class 2, but data.yaml names 0 to 1"),
        ("0 40 30 20 10", "40 is no share of the image's side, from 0 to 1"),
        ("0 0.5 0.5 -0.005 0.1", "width and height are -0.005 and 0.1"),
    ],
)
def test_a_wrong_label_is_named_with_its_line(pets: Path, text: str, what: str) -> None:
    write(pets / "labels/val/a.txt", f"0 0.5 0.5 0.1 0.1\n\n{text}\n")
    assert wrong(pets) == [f"{pets}/labels/val/a.txt:3: {what}"]


def test_a_label_that_is_repeated_counts_once(pets: Path) -> None:
    write(pets / "labels/val/a.txt", "0 0.5 0.5 0.1 0.1\n0  0.5 0.5 0.1 0.1\n")
    assert len(objects(pets)) == 1


def test_images_may_be_a_list_of_paths(pets: Path) -> None:
    write(pets / "data.yaml", "val: [val.txt, images/train]\nnames: [cat, dog]\n")
    write(pets / "val.txt", "./images/val/a.jpg\n\nimages/val/b.png\n")
    found, _ = datasets.read_annotations(pets)
    assert [one.file_name for one in found.images] == [
        "images/val/a.jpg", "images/val/b.png", "images/train/c.jpg",
    ]  # fmt: skip
    write(pets / "lists/val.txt", "../images/val/a.jpg\n")
    write(pets / "data.yaml", "val: [lists/val.txt, images/val]\nnames: [cat, dog]\n")
    found, _ = datasets.read_annotations(pets)
    assert [one.file_name for one in found.images] == ["images/val/a.jpg", "images/val/b.png"]
    write(pets / "data.yaml", "val: [val.txt, images/train]\nnames: [cat, dog]\n")
    write(pets / "val.txt", "./images/val/gone.jpg\n")
    assert wrong(pets) == [f"{pets}/images/val/gone.jpg: no such file"]


def test_roboflows_way_up_and_back_in_is_followed(tmp_path: Path) -> None:
    write(
        tmp_path / "data.yaml", "train: ../train/images\nval: ../valid/images\nnames: [a]\nnc: 1\n"
    )
    image(tmp_path / "valid/images/x.jpg")
    write(tmp_path / "valid/labels/x.txt", "0 0.5 0.5 1 1\n")
    assert objects(tmp_path) == [("valid/images/x.jpg", "a", (0, 0, 80, 60))]


def test_the_root_is_looked_for_beside_the_file_and_in_declared_folders(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = YAML.replace("path: .", "path: pets")
    yaml = write(tmp_path / "yamls/pets.yaml", text)
    assert wrong(yaml) == [f'{yaml}:1: path: no folder "pets" in {tmp_path}/yamls']
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert len(objects(yaml)) == 2
    monkeypatch.delenv("BENCH_DATA")
    write(yaml, text.replace("path: pets", f"path: {pets}"))
    assert wrong(yaml) == [
        f"{yaml}:1: path: {shown(str(pets))}: "
        "outside of the dataset's folder and of the folders in BENCH_DATA"
    ]


def test_a_root_of_another_machine_is_the_files_folder_where_the_splits_are(pets: Path) -> None:
    write(pets / "data.yaml", YAML.replace("path: .", "path: /content/datasets/pets"))
    assert len(objects(pets)) == 2


def test_images_without_any_label_file_are_one_mistake(pets: Path) -> None:
    (pets / "labels/val/a.txt").unlink()
    assert wrong(pets) == [
        f"{pets}/data.yaml: no label files: none of 2 images has one, such as "
        f"{pets}/labels/val/a.txt"
    ]


def test_a_split_that_is_not_there_is_named_with_its_line(pets: Path) -> None:
    write(pets / "data.yaml", YAML.replace("images/val", "images/vall"))
    assert wrong(pets) == [
        f"{pets}/data.yaml:3: val: no folder or list of images {pets}/images/vall"
    ]


def test_remarks_name_the_line_of_the_label(pets: Path) -> None:
    write(pets / "labels/val/a.txt", "0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0 0.1\n")
    assert datasets.read_annotations(pets)[0].notes == (
        f"1 of 2 boxes have no area; no detection can match them (first {pets}/labels/val/a.txt:2)",
    )


def test_a_label_without_an_outline_is_named_with_its_line_where_masks_are_scored(
    pets: Path,
) -> None:
    write(pets / "labels/val/a.txt", "0 0.1 0.1 0.9 0.1 0.5 0.9\n1 0.5 0.5 0.1 0.1\n")
    found, _ = datasets.read_annotations(pets)
    assert masks.scored_notes(found) == (
        "masks are not scored: 1 of 2 annotations have no outline "
        f"(first {pets}/labels/val/a.txt:2)",
    )
