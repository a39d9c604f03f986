"""Damaged annotation files: which field of which entry."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.metrics import masks, outlines, truth
from harness.metrics.coco_entries import Category, ImageEntry

GOOD: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 5}],
    "annotations": [
        {
            "id": 7,
            "image_id": 1,
            "category_id": 3,
            "bbox": [0, 0, 2, 2],
            "area": 4,
            "segmentation": [[0, 0, 2, 0, 2, 2]],
        }
    ],
    "categories": [{"id": 3, "name": "card"}],
}


def mistakes(folder: Path, content: Any) -> list[str]:
    """What is wrong with `content`, without the path."""
    path = folder / "annotations.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ConfigError) as caught:
        truth.read(path)
    return [mistake.removeprefix(str(path)) for mistake in caught.value.mistakes]


def changed(part: str, **fields: Any) -> dict[str, Any]:
    """`GOOD` with other fields in the first entry of `part`; None removes one."""
    content = copy.deepcopy(GOOD)
    entry = content[part][0]
    entry.update(fields)
    for name in [name for name, value in fields.items() if value is None]:
        del entry[name]
    return content


def read(folder: Path, content: Any) -> truth.Truth:
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return truth.read(path)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert found.images == (ImageEntry(1, "a.png", 4, 5),)
    assert found.categories == (Category(3, "card"),)
    (one,) = found.annotations
    assert (one.at, one.image_id, one.category_id) == (0, 1, 3)
    assert (one.box, one.area, one.crowd) == ((0, 0, 2, 2), 4, False)
    assert outlines.parse(one.segmentation) == ((0, 0, 2, 0, 2, 2),)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"bbox": [0, 0, 2]}, "bbox: expected [x, y, width, height], got [0, 0, 2]"),
        ({"bbox": [0, 0, -2, 2]}, "bbox: expected [x, y, width, height], got [0, 0, -2, 2]"),
        ({"bbox": [0, 0, 2, "x"]}, 'bbox: expected [x, y, width, height], got [0, 0, 2, "x"]'),
        (
            {"bbox": [0, 0, 2, math.nan]},
            "bbox: expected [x, y, width, height], got [0, 0, 2, NaN]",
        ),
        ({"image_id": True}, "image_id: expected an id, got true"),
        ({"image_id": None}, "image_id: expected an id, got nothing"),
        ({"category_id": [3]}, "category_id: expected an id, got [3]"),
        ({"iscrowd": "maybe"}, 'iscrowd: expected 0 or 1, got "maybe"'),
        (
            {"bbox": None, "segmentation": [[0, 0, 2, 0, 1]]},
            "segmentation[0]: expected x, y of at least 3 corners, got [0, 0, 2, 0, 1]",
        ),
        (
            {"bbox": None, "segmentation": [[0, 0, 2, 0]]},
            "segmentation: no area, and no bbox",
        ),
    ],
)
def test_a_damaged_annotation_is_named(tmp_path: Path, fields: dict[str, Any], what: str) -> None:
    assert mistakes(tmp_path, changed("annotations", **fields)) == [
        f": annotations[0] (id 7).{what}"
    ]


@pytest.mark.parametrize(
    ("fields", "box"),
    [
        ({"bbox": ["1", "2.5", 3, 4.0]}, (1, 2.5, 3, 4)),
        ({"bbox": [], "segmentation": [[1, 1, 4, 1, 4, 3]]}, (1, 1, 3, 2)),
        ({"bbox": None, "segmentation": [1, 1, 4, 1, 4, 3]}, (1, 1, 3, 2)),
        ({"bbox": None, "segmentation": [[1, 1], [4, 1], [4, 3]]}, (1, 1, 3, 2)),
        ({"bbox": None, "segmentation": [[["1", 1], [4, 1], [4, 3]]]}, (1, 1, 3, 2)),
        ({"bbox": None, "segmentation": {"size": [4, 5], "counts": [5, 2, 13]}}, (1, 1, 1, 2)),
        ({"bbox": None, "segmentation": {"size": [4, 5], "counts": [5, 4, 11]}}, (1, 0, 2, 4)),
        ({"bbox": None, "segmentation": {"size": [4, 5], "counts": "52="}}, (1, 1, 1, 2)),
        ({"bbox": [0, 0, 0, 2]}, (0, 0, 0, 2)),
    ],
)
def test_a_box_is_taken_as_it_is_written(
    tmp_path: Path, fields: dict[str, Any], box: tuple[float, ...]
) -> None:
    (one,) = read(tmp_path, changed("annotations", **fields)).annotations
    assert one.box == box


@pytest.mark.parametrize("area", [None, -1, "?", math.nan, 1e12])
def test_an_area_that_cannot_be_is_taken_from_the_box(tmp_path: Path, area: Any) -> None:
    found = read(tmp_path, changed("annotations", area=area))
    assert found.annotations[0].area == 4
    assert found.notes == ("area taken from the box in 1 annotation (first annotations[0])",)


@pytest.mark.parametrize("crowd", [1, 1.0, True, "1"])
def test_a_crowd_is_a_crowd(tmp_path: Path, crowd: Any) -> None:
    assert read(tmp_path, changed("annotations", iscrowd=crowd)).annotations[0].crowd


@pytest.mark.parametrize("crowd", [0, 0.0, False, "0", "", math.nan])
def test_what_says_nothing_is_no_crowd(tmp_path: Path, crowd: Any) -> None:
    assert not read(tmp_path, changed("annotations", iscrowd=crowd)).annotations[0].crowd


def test_labels_of_whole_images_need_no_boxes_and_are_none_for_a_detector(tmp_path: Path) -> None:
    label = {"id": 8, "image_id": 1, "category_id": 3}
    found = read(tmp_path, {**GOOD, "annotations": [*GOOD["annotations"], label]})
    assert [one.box is None for one in found.annotations] == [False, True]
    with pytest.raises(ConfigError) as caught:
        truth.check_boxes(found, found.annotations)
    assert caught.value.mistakes == [
        f"{found.path}: annotations[1].bbox: expected [x, y, width, height], got nothing"
    ]


def test_what_belongs_to_nothing_is_left_out_with_a_note(tmp_path: Path) -> None:
    one = GOOD["annotations"][0]
    others = [{**one, "id": 8, "image_id": 9}, {**one, "id": 9, "category_id": 4}]
    found = read(tmp_path, {**GOOD, "annotations": [one, *others]})
    assert [each.at for each in found.annotations] == [0]
    assert found.notes == (
        "ignored: unknown image_id in 1 annotation (first annotations[1])",
        "ignored: unknown category_id in 1 annotation (first annotations[2])",
    )


def test_annotations_that_all_belong_to_nothing_are_a_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path, changed("annotations", image_id="a.png")) == [
        ": annotations: none refers to a known image and category "
        '(annotations[0]: image_id: "a.png", category_id: 3)'
    ]


def test_repeated_annotations_are_named_and_repeated_ids_are_not_read(tmp_path: Path) -> None:
    one = GOOD["annotations"][0]
    moved = {**one, "bbox": [1, 1, 2, 2]}
    assert len(read(tmp_path, {**GOOD, "annotations": [one, moved]}).annotations) == 2
    assert mistakes(tmp_path, {**GOOD, "annotations": [one, moved, one]}) == [
        ": annotations[2] (id 7): duplicate of annotations[0]"
    ]


def test_ids_that_are_text_are_numbered_in_their_order(tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    content["images"] = [
        {"id": name, "file_name": f"{name}.png", "height": 4, "width": 5} for name in ("b", "a")
    ]
    content["annotations"] = [{**GOOD["annotations"][0], "image_id": "b"}]
    found = read(tmp_path, content)
    assert [one.id for one in found.images] == [2, 1]
    assert found.annotations[0].image_id == 2
    assert found.notes == ("images: string ids are numbered from 1 in sorted order",)


def test_ids_beyond_64_bits_are_told_apart(tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    content["images"] = [{**GOOD["images"][0], "id": 2**80 + at} for at in range(2)]
    content["annotations"][0]["image_id"] = 2**80 + 1
    found = read(tmp_path, content)
    assert [one.id for one in found.images] == [1, 2]
    assert found.annotations[0].image_id == 2


def test_a_size_that_is_not_said_is_0(tmp_path: Path) -> None:
    for fields in ({"height": None}, {"height": 0}, {"height": "", "width": 0}):
        (one,) = read(tmp_path, changed("images", **fields)).images
        assert (one.height, one.width) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"height": -1}, "height: expected pixels, got -1"),
        ({"width": 5.5}, "width: expected pixels, got 5.5"),
        ({"file_name": None}, "file_name: expected a path, got nothing"),
        ({"file_name": "a\0.png"}, 'file_name: expected a path, got "a\\u0000.png"'),
        ({"file_name": "\ud83d.png"}, 'file_name: expected a path, got "\\ud83d.png"'),
    ],
)
def test_a_damaged_image_entry_is_named(tmp_path: Path, fields: dict[str, Any], what: str) -> None:
    assert mistakes(tmp_path, changed("images", **fields)) == [f": images[0] (id 1).{what}"]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("[]", [": expected an object, got []"]),
        ("null", [": expected an object, got nothing"]),
        ({**GOOD, "images": None}, [": images: expected a list, got nothing"]),
        ({**GOOD, "images": [5]}, [": images[0]: expected an object, got 5"]),
        (
            {**GOOD, "categories": [{"id": True}]},
            [": categories[0].id: expected a number or a string, got true"],
        ),
        (
            {**GOOD, "categories": [{"id": 3}]},
            [": categories[0] (id 3).name: expected a name, got nothing"],
        ),
        (
            '{"images": [\n{"id": 1,}]}',
            [":2: not JSON: Illegal trailing comma before end of object"],
        ),
        (
            {**GOOD, "images": [*GOOD["images"], {**GOOD["images"][0], "file_name": "b.png"}]},
            [": images: duplicate ids: 1"],
        ),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: Any, wanted: list[str]) -> None:
    seen = mistakes(tmp_path, content)
    if "not JSON" in wanted[0]:  # the words are the interpreter's
        assert seen[0].startswith(":2: not JSON: ")
    else:
        assert seen == wanted


def test_an_entry_that_is_repeated_counts_once(tmp_path: Path) -> None:
    found = read(tmp_path, {**GOOD, "images": GOOD["images"] * 2})
    assert len(found.images) == 1
    assert found.notes == ("images: 1 duplicate entries ignored",)


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    content = changed("annotations", bbox=[1], image_id=[9])
    content["images"][0]["height"] = "x"
    assert mistakes(tmp_path, content) == [
        ': images[0] (id 1).height: expected pixels, got "x"',
        ": annotations[0] (id 7).image_id: expected an id, got [9]",
        ": annotations[0] (id 7).bbox: expected [x, y, width, height], got [1]",
    ]


def test_boxes_that_are_shares_of_the_image_are_refused(tmp_path: Path) -> None:
    content = changed("annotations", bbox=[0.1, 0.2, 0.5, 0.4])
    content["images"][0] |= {"height": 400, "width": 500}
    assert mistakes(tmp_path, content) == [
        ": annotations: all boxes lie within one pixel; [x, y, width, height] must be in pixels"
    ]


def test_boxes_that_cannot_be_found_are_noted(tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    content["images"][0] |= {"height": 400, "width": 500}
    one = content["annotations"][0]
    content["annotations"] = [
        {**one, "id": at, "bbox": box}
        for at, box in enumerate([[0, 0, 500, 400], [300, 300, 400, 390], [5, 5, 0, 9]])
    ]
    assert read(tmp_path, content).notes == (
        "1 of 3 boxes have no area; no detection can match them (first annotations[2])",
        "1 of 3 boxes extend beyond their image ([x, y, width, height] must be in pixels) "
        "(first annotations[1])",
    )


def test_a_file_of_two_images_is_noted(tmp_path: Path) -> None:
    content = {**GOOD, "images": [GOOD["images"][0], {**GOOD["images"][0], "id": 2}]}
    assert read(tmp_path, content).notes == ("files shared by several images: a.png",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_encoding_of_unicode_is_read(tmp_path: Path, encoding: str) -> None:
    content = changed("categories", name="Kärtchen")
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    assert truth.read(path).categories[0].name == "Kärtchen"


# ---- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("x", ': expected polygons or run lengths, got "x"'),
        ([[0, 0, 2, 0, 1]], "[0]: expected x, y of at least 3 corners, got [0, 0, 2, 0, 1]"),
        (
            [[0, 0, 2, 0, 1e9, 3]],
            "[0]: expected x, y of at least 3 corners, got [0, 0, 2, 0, 1000000000.0, 3]",
        ),
        ({"size": [4, 5]}, ': expected {size, counts}, got {"size": [4, 5]}'),
        (
            {"size": [4, 5], "counts": [-1, 21]},
            ': expected {size, counts}, got {"size": [4, 5], "counts": [-1, 21]}',
        ),
        ({"size": [5, 4], "counts": [20]}, ".size: expected the image's [4, 5], got [5, 4]"),
        ({"size": [4, 5], "counts": [5, 5]}, ".counts: cover 10 pixels, the image has 20"),
        ({"size": [4, 5], "counts": "zz~"}, ".counts: cover 0 pixels, the image has 20"),
    ],
)
def test_an_outline_that_cannot_be_read_matters_where_masks_are_scored(
    tmp_path: Path, value: Any, what: str
) -> None:
    found = read(tmp_path, changed("annotations", segmentation=value))
    with pytest.raises(ConfigError) as caught:
        masks.scored_notes(found)
    assert caught.value.mistakes == [f"{found.path}: annotations[0].segmentation{what}"]


def test_masks_that_cannot_be_scored_are_noted(tmp_path: Path) -> None:
    one = GOOD["annotations"][0]
    others = [
        {**one, "id": 8, "segmentation": []},
        {**one, "id": 9, "segmentation": [[0, 0, 1, 1]]},
    ]
    assert masks.scored_notes(read(tmp_path, {**GOOD, "annotations": [one, *others]})) == (
        "masks are not scored: 1 of 3 annotations have no outline (first annotations[1])",
        "outlines with fewer than three corners, which no mask matches: 1",
    )


# ---- damage -------------------------------------------------------------------------------------


def test_a_file_that_nests_too_deeply_is_refused(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "[" * 100_000) == [": not COCO annotations: nested too deeply"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.json: no such file"):
        truth.read(tmp_path / "nothing.json")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    part=st.sampled_from(truth.PARTS),
    name=st.sampled_from(["id", "bbox", "area", "segmentation", "image_id", "height", "name"]),
    value=json_values,
)
def test_any_value_anywhere_is_read_or_refused_in_words(
    tmp_path: Path, part: str, name: str, value: Any
) -> None:
    content = copy.deepcopy(GOOD)
    content[part][0][name] = value
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    try:
        truth.read(path)
    except ConfigError as error:
        seen = error.mistakes
    else:
        seen = []
    assert all(mistake.startswith(f"{path}: ") for mistake in seen)


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=40))
def test_any_bytes_are_refused_in_words(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "annotations.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        truth.read(path)
