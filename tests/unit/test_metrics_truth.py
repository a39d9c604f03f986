"""Damaged annotation files: which field of which entry."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.metrics import truth

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


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(GOOD))
    content = copy.deepcopy(GOOD)
    content["annotations"][0]["iscrowd"] = 0
    assert truth.read(path).coco() == content


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"bbox": [0, 0, 2]}, "bbox: expected [x, y, width, height], got [0, 0, 2]"),
        ({"bbox": [0, 0, -2, 2]}, "bbox: expected [x, y, width, height], got [0, 0, -2, 2]"),
        ({"bbox": [0, 0, 2, "2"]}, 'bbox: expected [x, y, width, height], got [0, 0, 2, "2"]'),
        ({"area": -4}, "area: expected square pixels, got -4"),
        ({"image_id": 2}, "image_id: 2 is not the id of one of images"),
        ({"category_id": "x"}, 'category_id: "x" is not the id of one of categories'),
        (
            {"segmentation": [[0, 0, 2, 0, 1]]},
            "segmentation[0]: expected x, y of 3 or more corners, got [0, 0, 2, 0, 1]",
        ),
        ({"segmentation": "x"}, 'segmentation: expected polygons or run lengths, got "x"'),
        (
            {"segmentation": {"size": [4, 5]}},
            'segmentation: expected {size, counts}, got {"size": [4, 5]}',
        ),
    ],
)
def test_a_damaged_annotation_is_named(tmp_path: Path, fields: dict[str, Any], what: str) -> None:
    assert mistakes(tmp_path, changed("annotations", **fields)) == [
        f": annotations[0] (id 7).{what}"
    ]


def test_a_missing_box_beside_others_is_named(tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    content["annotations"].append({"id": 8, "image_id": 1, "category_id": 3, "area": 1})
    assert mistakes(tmp_path, content) == [
        ": annotations[1] (id 8).bbox: expected [x, y, width, height], got nothing"
    ]


def test_class_labels_need_no_boxes(tmp_path: Path) -> None:
    content = {**GOOD, "annotations": [{"id": 1, "image_id": 1, "category_id": 3}]}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    assert truth.read(path).coco() == content


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"height": 0}, "height: expected pixels, got 0"),
        ({"width": 5.5}, "width: expected pixels, got 5.5"),
        ({"file_name": None}, "file_name: expected a path, got nothing"),
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
            [": categories[0].id: expected a whole number, got true"],
        ),
        (
            {**GOOD, "categories": [{"id": 3}]},
            [": categories[0] (id 3).name: expected a name, got nothing"],
        ),
        (
            '{"images": [\n{"id": 1,}]}',
            [":2: not JSON: Illegal trailing comma before end of object"],
        ),
        ({**GOOD, "images": GOOD["images"] * 2}, [": images: duplicate ids: 1"]),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: Any, wanted: list[str]) -> None:
    seen = mistakes(tmp_path, content)
    if "not JSON" in wanted[0]:  # the words are the interpreter's
        assert seen[0].startswith(":2: not JSON: ")
    else:
        assert seen == wanted


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    content = changed("annotations", bbox=[1], image_id=9)
    content["images"][0]["height"] = "x"
    assert mistakes(tmp_path, content) == [
        ': images[0] (id 1).height: expected pixels, got "x"',
        ": annotations[0] (id 7).image_id: 9 is not the id of one of images",
        ": annotations[0] (id 7).bbox: expected [x, y, width, height], got [1]",
    ]


def test_a_file_that_nests_too_deeply_is_refused(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "[" * 100_000) == [": not annotations: nested too deeply"]


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
