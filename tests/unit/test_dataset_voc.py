"""Pascal VOC as LabelImg, CVAT and Roboflow write it."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset_files import image, objects, write, wrong

from harness.steps import datasets
from harness.steps.dataset_kinds.source import Source


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def thing(name: str = "cat", box: str = "1 2 30 40", more: str = "") -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box.split(), strict=True)
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in corners)
    return f"<object><name>{name}</name>{more}<bndbox>{inner}</bndbox></object>"


def xml(*things: str, file: str = "a.jpg") -> str:
    size = "<size><width>80</width><height>60</height><depth>3</depth></size>"
    return f"<annotation><filename>{file}</filename>{size}{''.join(things)}</annotation>"


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    image(tmp_path / "JPEGImages/a.jpg")
    image(tmp_path / "JPEGImages/b.jpg")
    write(tmp_path / "Annotations/a.xml", xml(thing(), thing("dog", "1 1 80 60")))
    write(tmp_path / "Annotations/b.xml", xml(thing("cat"), file="b.jpg"))
    write(tmp_path / "ImageSets/Main/val.txt", "b\n")
    write(tmp_path / "ImageSets/Main/cat_val.txt", "b  1\n")
    return tmp_path


def test_pixels_are_counted_from_one_and_the_last_is_included(voc: Path) -> None:
    assert objects(voc) == [
        ("JPEGImages/a.jpg", "cat", (0, 1, 30, 39)),
        ("JPEGImages/a.jpg", "dog", (0, 0, 80, 60)),
        ("JPEGImages/b.jpg", "cat", (0, 1, 30, 39)),
    ]
    assert datasets.read_annotations(voc)[1] == ()


@pytest.mark.parametrize("box", ["0 2 30 40", "1.5 2 30 40"])
def test_a_tool_that_counts_from_zero_is_told_by_its_coordinates(voc: Path, box: str) -> None:
    write(voc / "Annotations/a.xml", xml(thing("cat", box)))
    left = float(box.split()[0])
    assert objects(voc)[0][2] == (left, 2, 30 - left, 38)
    assert objects(voc)[1][2] == (1, 2, 29, 38)
    assert datasets.read_annotations(voc)[1] == (
        "boxes are read as 0-based: some coordinates are 0 or fractional",
    )


def test_one_fraction_among_many_boxes_as_in_voc2012_moves_no_other_box(voc: Path) -> None:
    boxes = [thing(box=f"{left} 2 60 40") for left in range(1, 11)]
    write(voc / "Annotations/a.xml", xml(*boxes, thing(box="45.7 2 60 40")))
    assert objects(voc)[0][2] == (0, 1, 60, 39)
    assert objects(voc)[10][2] == (44.7, 1, 15.3, 39)
    assert datasets.read_annotations(voc)[1] == (
        "boxes are read as 1-based, although some are fractional: 1",
    )


def test_a_name_that_a_list_repeats_is_one_image(voc: Path) -> None:
    write(voc / "ImageSets/Main/val.txt", "b\nb\n")
    assert objects(Source(voc, split="val")) == [("JPEGImages/b.jpg", "cat", (0, 1, 30, 39))]
    assert len(datasets.find(Source(voc, split="val")).pictures) == 1


def test_names_of_a_list_may_have_blanks(voc: Path) -> None:
    image(voc / "JPEGImages/my cat.jpg")
    write(voc / "Annotations/my cat.xml", xml(thing(), file="my cat.jpg"))
    write(voc / "ImageSets/Main/val.txt", "my cat\nb 1\n")
    assert [name for name, _, _ in objects(Source(voc, split="val"))] == [
        "JPEGImages/my cat.jpg", "JPEGImages/b.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("images", "file"),
    [(("x.jpg", "x.png"), ""), (("cam1/a.jpg", "cam2/a.jpg"), "a.jpg")],
)
def test_an_image_that_may_be_another_is_a_mistake(
    tmp_path: Path, images: tuple[str, str], file: str
) -> None:
    for name in images:
        image(tmp_path / "JPEGImages" / name)
    path = write(tmp_path / "Annotations/x.xml", xml(thing(), file=file))
    several = " or ".join(f"{tmp_path}/JPEGImages/{name}" for name in images)
    assert wrong(tmp_path) == [f"{path}: filename: ambiguous: {several}"]


def test_annotations_may_be_in_the_folders_of_their_images(tmp_path: Path) -> None:
    for name in ("cam1/a", "cam2/a"):
        image(tmp_path / f"JPEGImages/{name}.jpg")
        write(tmp_path / f"Annotations/{name}.xml", xml(thing()))
        write(tmp_path / f"Annotations/{name[:5]}._a.xml", "\0")
    assert [name for name, _, _ in objects(tmp_path)] == [
        "JPEGImages/cam1/a.jpg", "JPEGImages/cam2/a.jpg",
    ]  # fmt: skip


def test_an_xml_with_the_longest_name_is_a_mistake_and_no_bug(tmp_path: Path) -> None:
    path = write(tmp_path / f"{'x' * 251}.xml", xml(thing()))
    assert wrong(tmp_path) == [f"{path}: no image file {tmp_path}/a.jpg"]


def test_a_split_is_a_list_of_names_or_a_folder(voc: Path) -> None:
    wanted = [("JPEGImages/b.jpg", "cat", (0, 1, 30, 39))]
    assert objects(Source(voc, split="val")) == wanted
    assert objects(Source(voc, split="cat_val")) == wanted
    assert wrong(Source(voc, split="test")) == [
        f"{voc}: no split `test`: no file {voc}/ImageSets/Main/test.txt"
    ]
    image(voc / "valid/c.jpg")
    write(voc / "valid/c.xml", xml(thing(), file="c.jpg"))
    assert objects(Source(voc, split="valid")) == [("valid/c.jpg", "cat", (0, 1, 30, 39))]


def test_difficult_objects_count_neither_way(voc: Path) -> None:
    write(voc / "Annotations/a.xml", xml(thing(more="<difficult>1</difficult>")))
    found, notes = datasets.read_annotations(voc)
    assert [one.crowd for one in found.annotations] == [True, False]
    assert notes == ("difficult objects are ignored: 1",)


@pytest.mark.parametrize("file", ["", "C:\\photos\\a.jpg", "other/a.png"])
def test_an_image_is_found_by_the_name_of_its_annotation(voc: Path, file: str) -> None:
    write(voc / "Annotations/a.xml", xml(thing(), file=file))
    assert datasets.find(voc).pictures[0].path == voc / "JPEGImages/a.jpg"


def test_files_side_by_side_are_a_dataset(tmp_path: Path) -> None:
    image(tmp_path / "x.png")
    write(tmp_path / "x.xml", xml(thing(), file="x.png"))
    assert objects(tmp_path) == [("x.png", "cat", (0, 1, 30, 39))]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (xml(thing(box="1 2 x 4")), ': object 1: bndbox/xmax: expected a number, got "x"'),
        (xml(thing(), thing(name="")), ": object 2: name: missing"),
        (xml("<object><name>cat</name></object>"),
         ": object 1: bndbox/xmin: expected a number, got nothing"),
        (xml(thing(box="9 2 3 4")), ": object 1: bndbox: xmax < xmin or ymax < ymin: 9, 2, 3, 4"),
        ("<robots/>", ": expected <annotation>, got <robots>"),
        ("<annotation>\n<object>", ":2: not XML: no element found"),
        ("", ":1: not XML: no element found"),
        ("<annotation>\n</object>", ":2: not XML: mismatched tag"),
        (xml(thing(), file="gone.jpg"), None),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named(voc: Path, text: str, what: str | None) -> None:
    write(voc / "Annotations/c.xml", text)
    path = voc / "Annotations/c.xml"
    wanted = f"{path}{what}" if what else f"{path}: no image file {voc}/JPEGImages/gone.jpg"
    assert wrong(voc)[0] == wanted


def test_two_files_of_one_image_are_a_mistake(voc: Path) -> None:
    write(voc / "Annotations/c.xml", xml(thing()))
    assert wrong(voc) == [
        f"{voc}/Annotations/c.xml: {voc}/JPEGImages/a.jpg also the image of a.xml"
    ]
