"""Which kind a path is; COCO in its layouts; classes under the model's names; kept hashes."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_files import coco, image, objects, write, wrong

from harness.errors import ConfigError
from harness.metrics import coco_map
from harness.metrics.class_names import class_notes
from harness.scenario import config
from harness.steps import dataset_kinds, datasets, file_facts, image_files
from harness.steps.dataset_kinds.found import Found, Labelled, Reading, in_place, of_labelled
from harness.steps.dataset_kinds.source import ClassMap, Source
from harness.steps.image_paths import ImageFolder

BOX = (1, 2, 30, 40)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    return folder


def test_every_kind_is_a_module_with_a_title() -> None:
    assert {name: kind.TITLE for name, kind in dataset_kinds.REGISTRY.items()} == {
        "coco": "COCO",
        "yolo": "Ultralytics YOLO",
        "voc": "Pascal VOC",
        "csv": "CSV list",
        "folders": "image folders",
    }


# ---- which kind --------------------------------------------------------------------------------


def test_what_may_be_two_kinds_is_asked_for(tmp_path: Path) -> None:
    image(tmp_path / "cat/a.jpg")
    write(tmp_path / "list.csv", "path,label\ncat/a.jpg,dog\n")
    assert wrong(tmp_path) == [
        f"{tmp_path}: ambiguous: CSV list (list.csv) or image folders (cat/)"
    ]
    assert objects(Source(tmp_path, kind="folders")) == [("cat/a.jpg", "cat", None)]
    assert objects(Source(tmp_path, kind="csv")) == [("cat/a.jpg", "dog", None)]


@pytest.mark.parametrize(
    ("kind", "what"),
    [("yolo", "no data.yaml"), ("csv", "no .csv or .tsv file"), ("voc", "no images")],
)
def test_a_kind_that_is_not_there_is_a_mistake_and_no_bug(
    tmp_path: Path, kind: str, what: str
) -> None:
    assert wrong(Source(tmp_path, kind=kind)) == [f"{tmp_path}: {what}"]


@pytest.mark.parametrize("split", ["s" * 300, "a\0b", "../x", "a/b", "."])
@pytest.mark.parametrize("kind", ["", *dataset_kinds.REGISTRY])
def test_a_split_is_a_name(tmp_path: Path, split: str, kind: str) -> None:
    image(tmp_path / "cat/a.jpg")
    (line,) = wrong(Source(tmp_path, split=split, kind=kind))
    assert line.startswith(f"{tmp_path}: split: expected a name such as val, got ")


def test_a_path_that_is_too_long_is_no_path(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 300)
    assert wrong(path) == [f"{path}: no such file or folder"]
    assert wrong(Source(tmp_path, images=path)) == [f"{path}: no such folder"]


def test_a_folder_that_cannot_be_read_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image(tmp_path / "cat/a.jpg")
    image(tmp_path / "cat/closed/b.jpg")
    plain = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert wrong(tmp_path) == [f"{tmp_path}/cat/closed: Permission denied"]


def test_what_is_no_dataset_is_said_with_what_is_there(tmp_path: Path) -> None:
    assert wrong(tmp_path / "gone") == [f"{tmp_path}/gone: no such file or folder"]
    path = write(tmp_path / "a.zip", "PK")
    assert wrong(path) == [f"{path}: no supported dataset: a file .zip"]
    assert wrong(tmp_path) == [f"{tmp_path}: no supported dataset: it has a.zip"]
    path.unlink()
    assert wrong(tmp_path) == [f"{tmp_path}: no supported dataset: the folder is empty"]
    assert wrong(Source(tmp_path, images=tmp_path / "x")) == [f"{tmp_path}/x: no such folder"]


# ---- COCO --------------------------------------------------------------------------------------


def test_a_coco_file_and_its_images_are_read_where_they_are(tmp_path: Path) -> None:
    image(tmp_path / "val2017/a.jpg")
    image(tmp_path / "val2017/cam/b.jpg")
    path = coco(tmp_path / "json/instances_val2017.json", {"a.jpg": "cat", "b.jpg": "dog"})
    dataset = datasets.read(Source(path, images=tmp_path / "val2017"))
    assert dataset.annotations == path
    assert [one.path for one in dataset.images] == [
        tmp_path / "val2017/a.jpg", tmp_path / "val2017/cam/b.jpg",
    ]  # fmt: skip
    (tmp_path / "val2017/a.jpg").unlink()
    assert wrong(Source(path, images=tmp_path / "val2017")) == [
        f"{tmp_path}/val2017/a.jpg: no such file; annotated as image id 1"
    ]


def test_the_layout_of_cocos_download_is_known(tmp_path: Path) -> None:
    image(tmp_path / "val2017/a.jpg")
    image(tmp_path / "train2017/t.jpg")
    path = coco(tmp_path / "annotations/instances_val2017.json", {"a.jpg": "cat"})
    coco(tmp_path / "annotations/instances_train2017.json", {"t.jpg": "cat"})
    assert objects(path) == [("a.jpg", "cat", BOX)]
    assert objects(Source(tmp_path, split="train")) == [("t.jpg", "cat", BOX)]
    assert wrong(tmp_path) == [
        f"{tmp_path}: several annotation files: annotations/instances_train2017.json or "
        "annotations/instances_val2017.json"
    ]


def test_annotations_beside_their_images_are_known(tmp_path: Path) -> None:
    image(tmp_path / "valid/a.jpg")
    coco(tmp_path / "valid/_annotations.coco.json", {"a.jpg": "cat"})
    assert objects(tmp_path / "valid") == [("a.jpg", "cat", BOX)]
    assert objects(Source(tmp_path, split="valid")) == [("a.jpg", "cat", BOX)]
    image(tmp_path / "images/a.jpg")
    coco(tmp_path / "annotations.json", {"a.jpg": "cat"})
    assert wrong(Source(tmp_path, split="test")) == [
        f"{tmp_path}: no split `test`: annotations.json is all there is"
    ]


def test_boxes_in_shares_are_told_where_the_size_is_not_known(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    content = json.loads(coco(tmp_path / "annotations.json", {"a.jpg": "cat"}).read_text())
    content["images"] = [{"id": 1, "file_name": "a.jpg"}]
    content["annotations"][0]["bbox"] = [0.1, 0.2, 0.5, 0.805]
    path = write(tmp_path / "annotations.json", json.dumps(content))
    assert wrong(tmp_path) == [
        f"{path}: annotations: all boxes lie within one pixel; [x, y, width, height] must be in "
        "pixels"
    ]


def test_names_that_end_alike_are_found_in_little_time(tmp_path: Path) -> None:
    for at in range(3000):
        write(tmp_path / f"images/{at}/image.jpg", "")
    write(tmp_path / "images/image.jpg", "")
    write(tmp_path / "images/a/7/image.jpg", "")
    folder = ImageFolder(tmp_path)
    began = time.process_time()
    for at in range(10, 3000):
        found = tmp_path / f"images/{at}/image.jpg"
        assert folder.find(f"https://host/{at}/IMAGE.jpg") == (found, [])
    assert time.process_time() - began < 3
    assert folder.find("https://host/x/image.jpg") == (tmp_path / "images/image.jpg", [])
    assert folder.find("7\\image.jpg") == (
        tmp_path / "images/7/image.jpg", [tmp_path / "images/a/7/image.jpg"],
    )  # fmt: skip


def test_notes_on_many_labels_are_placed_in_little_time() -> None:
    places = [f"list.csv:{at}" for at in range(20_000)]
    began = time.process_time()
    assert [in_place(f"annotations[{at}]: x", places) for at in range(20_000)][-1] == (
        "list.csv:19999: x"
    )
    assert time.process_time() - began < 3
    assert in_place("annotations[20000] annotations[99999999999]", places) == (
        "annotations[20000] annotations[99999999999]"
    )


# ---- classes -----------------------------------------------------------------------------------


def mapped(path: Path, rule: ClassMap) -> list[str]:
    """Names of the classes, as they count."""
    return [
        one.name for one in datasets.read_annotations(Source(path, class_map=rule))[0].categories
    ]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        image(tmp_path / f"images/{name}.jpg")
    coco(tmp_path / "annotations.json", {"a.jpg": "cat", "b.jpg": "dog", "c.jpg": "owl"})
    return tmp_path


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (ClassMap(), ["cat", "dog", "owl"]),
        (ClassMap(names=(("dog", "Dog"), ("3", "Bird"))), ["cat", "Dog", "Bird"]),
        (ClassMap(names=(("dog", None),)), ["cat", "owl"]),
        (ClassMap("by-order", classes=("x", "y", "z")), ["x", "y", "z"]),
        (ClassMap("by-id", classes=("background", "x", "y")), ["x", "y", "owl"]),
        (ClassMap("by-id", classes=("owl", "x", "y")), ["x", "y"]),
    ],
)
def test_classes_are_called_as_the_models(pets: Path, rule: ClassMap, wanted: list[str]) -> None:
    assert mapped(pets, rule) == wanted
    dataset = datasets.read(Source(pets, class_map=rule))
    written = json.loads(dataset.annotations.read_text())
    assert [one["name"] for one in written["categories"]] == wanted
    assert len(written["annotations"]) == len(wanted)
    assert (dataset.annotations == pets / "annotations.json") == (not rule.changes)


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        (ClassMap(names=(("cta", "cat"),)),
         "class_map: 'cta' is no class of the dataset; did you mean 'cat'?"),
        (ClassMap(names=(("9", "cat"),)),
         "class_map: '9' is no class of the dataset; it has cat, dog, owl"),
        (ClassMap("by-order", classes=("x", "y")),
         "class_map: by-order: the dataset has 3 classes, the model 2"),
        (ClassMap("by-id", classes=("x",)), "class_map: no id is a label of the model"),
    ],
)  # fmt: skip
def test_a_class_map_that_does_not_fit_is_named(pets: Path, rule: ClassMap, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mapped(pets, rule)
    assert caught.value.mistakes == [f"{pets}: {what}"]


def test_a_class_that_the_model_lacks_is_said_and_does_not_count_against_it(pets: Path) -> None:
    found, _ = datasets.read_annotations(pets)
    assert class_notes(found, ["cat", "Dog"]) == (
        "annotated classes that the model lacks are not scored: dog, owl",
        "classes without annotations are not scored: Dog (did you mean 'dog'?)",
    )
    predictions = {
        "image_id": np.array([1], np.int64),
        "box": np.array([[1, 2, 31, 42]], np.float32),
        "score": np.array([0.9], np.float32),
        "label": np.array([0], np.int32),
        "image_size": np.array([[at, 60, 80] for at in (1, 2, 3)], np.int64),
    }
    scores = coco_map.score(predictions, pets / "annotations.json", ["cat", "Dog"])
    assert scores["map50_95"] == pytest.approx(1.0)


def test_a_number_is_the_class_of_that_name_before_it_is_an_id(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    names = [{"id": 1, "name": "0"}, {"id": 2, "name": "1"}]
    coco(tmp_path / "annotations.json", {"a.jpg": "cat"}, categories=names)
    assert mapped(tmp_path, ClassMap(names=(("1", "one"),))) == ["0", "one"]


def test_a_category_that_is_there_twice_has_one_place_in_the_order(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    names = [{"id": at, "name": str(at)} for at in (1, 1, 2)]
    coco(tmp_path / "annotations.json", {"a.jpg": "cat"}, categories=names)
    assert mapped(tmp_path, ClassMap("by-order", classes=("x", "y"))) == ["x", "y"]


# ---- model.yaml --------------------------------------------------------------------------------


MODEL = """\
task: detection
weights: w.pt
sha256: "{zeros}"
input: {{name: images, shape: [1, 3, 32, 32]}}
outputs: [boxes, scores]
classes: [cat, dog]
datasets:
  plain: data/val
  more: {more}
"""


def model(folder: Path, more: str) -> Path:
    write(folder / "network.py", "")
    write(folder / "w.pt", "")
    write(folder / "model.yaml", MODEL.format(zeros="0" * 64, more=more))
    return folder


def test_a_model_names_datasets_by_a_path_or_by_more(tmp_path: Path) -> None:
    more = (
        "{annotations: i.json, images: val2017, split: val, class_map: {cat: 1, '3': dog, 4: null}}"
    )
    found = config.read_model(model(tmp_path, more)).datasets
    assert found["plain"].path == tmp_path / "data/val"
    one = found["more"]
    assert (one.path, one.images, one.split) == (tmp_path / "i.json", tmp_path / "val2017", "val")
    assert one.class_map == ClassMap(
        names=(("cat", "dog"), ("3", "dog"), ("4", None)), classes=("cat", "dog")
    )


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ("{images: x}", "datasets.more: expected `path`, or `annotations` and `images`"),
        ("{path: x, annotations: y}",
         "datasets.more.annotations: `path` names the dataset already; leave one of them out"),
        ("{path: x, class_map: {a: cta}}",
         "datasets.more.class_map.a: no class 'cta' of the model; did you mean 'cat'?"),
        ("{path: x, class_map: {a: 2}}",
         "datasets.more.class_map.a: no label 2; the model has 0 to 1"),
        ("{path: x, class_map: 5}",
         "datasets.more.class_map: expected by-name, by-id, by-order or {class: class}, got 5"),
        ("{path: x, class_map: {a: [b]}}",
         "datasets.more.class_map: expected names or labels of the model's classes, "
         "got {'a': ['b']}"),
        ("{path: x, splt: val}", "datasets.more.splt: unknown key; did you mean 'split'?"),
        ("{path: x, kind: voc2012}",
         "datasets.more.kind: 'voc2012' is not one of coco, yolo, voc, csv, folders"),
    ],
)  # fmt: skip
def test_what_is_wrong_there_has_its_line(tmp_path: Path, more: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.read_model(model(tmp_path, more))
    assert caught.value.mistakes == [f"{tmp_path}/model.yaml:9: {what}"]


# ---- hashes that are kept ----------------------------------------------------------------------


def test_a_file_is_hashed_once_and_again_when_it_is_touched(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in pets.rglob("*"):
        os.utime(path, (1, 1))
    monkeypatch.setattr(file_facts, "RACY_NS", 0)
    hashed: list[str] = []
    plain = file_facts.file_sha256

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return plain(path)

    monkeypatch.setattr(file_facts, "file_sha256", counted)
    first = datasets.read(pets)
    assert sorted(hashed) == ["a.jpg", "annotations.json", "b.jpg", "c.jpg"]
    assert datasets.read(pets) == first
    assert len(hashed) == 4
    image(pets / "images/b.jpg", seed=1)
    os.utime(pets / "images/b.jpg", (1, 1))
    assert datasets.read(pets).sha256 != first.sha256
    assert hashed[4:] == ["b.jpg"]


def test_a_file_that_was_just_written_is_hashed_again(pets: Path) -> None:
    path = pets / "images/a.jpg"
    facts = file_facts.FileFacts(pets)
    path.write_bytes(b"one")
    first = facts.sha256(path)
    path.write_bytes(b"two")
    assert facts.sha256(path) != first


@pytest.mark.parametrize("text", ["", "[]", '{"x": 5}', '{"x": {"stamp": [], "size": "big"}}'])
def test_damaged_facts_are_found_anew(
    pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(file_facts, "RACY_NS", 0)
    first = datasets.read(pets)
    (path,) = (cache / "hashes").iterdir()
    path.write_text(text)
    assert datasets.read(pets) == first


def test_the_size_of_an_image_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_facts, "RACY_NS", 0)
    path = image(tmp_path / "a.jpg")
    facts = file_facts.FileFacts(tmp_path)
    assert facts.size(path) == (60, 80)
    facts.save()
    monkeypatch.setattr(image_files, "size_of", None)
    assert file_facts.FileFacts(tmp_path).size(path) == (60, 80)


def test_a_file_that_changes_within_the_2_s_of_some_disks_is_hashed_again(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_facts, "_stamp", lambda path: [3, second, second, 1])
    now = time.time_ns()
    second, path = now - 1_900_000_000, pets / "images/a.jpg"
    monkeypatch.setattr(time, "time_ns", lambda: now)
    facts = file_facts.FileFacts(pets)
    path.write_bytes(b"one")
    first = facts.sha256(path)
    path.write_bytes(b"two")
    assert facts.sha256(path) != first


def test_a_file_that_the_system_refuses_is_a_mistake(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(file_facts, "file_sha256", refused)
    with pytest.raises(ConfigError) as caught:
        datasets.read(pets)
    assert caught.value.mistakes == [f"{pets}/images/a.jpg: Permission denied"]
    monkeypatch.setattr(dataset_kinds.coco, "read", lambda *_: refused(pets / "annotations.json"))
    assert wrong(pets) == [f"{pets}/annotations.json: Permission denied"]


def test_a_size_is_found_again_by_a_decoder_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_facts, "RACY_NS", 0)
    path = image(tmp_path / "a.jpg")
    facts = file_facts.FileFacts(tmp_path)
    facts.size(path)
    facts.save()
    monkeypatch.setattr(image_files, "VERSION", image_files.VERSION + 1)
    monkeypatch.setattr(image_files, "size_of", lambda *_: (80, 60))
    assert file_facts.FileFacts(tmp_path).size(path) == (80, 60)


def test_what_a_kind_does_not_look_at_is_a_mistake(tmp_path: Path) -> None:
    image(tmp_path / "cat/a.jpg")
    assert wrong(Source(tmp_path, images=tmp_path)) == [
        f"{tmp_path}: images: not used for image folders"
    ]
    path = coco(tmp_path / "a.json", {"cat/a.jpg": "cat"})
    assert wrong(Source(path, split="val")) == [f"{path}: split: not used for a single COCO file"]


def test_captions_beside_the_instances_are_left_alone(tmp_path: Path) -> None:
    image(tmp_path / "val2017/a.jpg")
    coco(tmp_path / "annotations/instances_val2017.json", {"a.jpg": "cat"})
    write(tmp_path / "annotations/captions_val2017.json", "{}")
    assert objects(Source(tmp_path, split="val")) == [("a.jpg", "cat", BOX)]


class Lines:
    """One more kind: a file with the path of an image in each line."""

    TITLE = "lines"
    TAKES_IMAGES = False

    def evidence(self, source: Source) -> str:
        return source.path.name if source.path.suffix == ".lines" else ""

    def read(self, source: Source, reading: Reading) -> Found:
        made = Labelled(["thing"])
        for line in source.path.read_text().split():
            made.label(line, made.image(source.path.parent / line, line), 0)
        return of_labelled(source, self.TITLE, source.path.parent, made, reading.wrong)


def test_one_more_kind_is_one_module_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(dataset_kinds.REGISTRY, "lines", Lines())
    image(tmp_path / "a.jpg")
    path = write(tmp_path / "val.lines", "a.jpg")
    assert objects(path) == [("a.jpg", "thing", None)]
    found = config.read_model(model(tmp_path, "{path: val.lines, kind: lines}")).datasets["more"]
    assert objects(found) == [("a.jpg", "thing", None)]


def test_where_the_cache_cannot_be_written_a_dataset_is_read_all_the_same(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_facts, "RACY_NS", 0)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    assert len(datasets.read(pets).images) == 3
