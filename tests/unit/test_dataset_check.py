"""`bench dataset check`: what is understood, what is wrong, the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataset_files import coco, image, write
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import ConfigError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def check(*words: str | Path) -> tuple[int, list[str]]:
    done = CliRunner().invoke(app, ["dataset", "check", *map(str, words)], prog_name="bench")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout.splitlines()


def test_a_good_dataset_is_told_in_counts(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    image(tmp_path / "images/b.jpg")
    coco(tmp_path / "annotations.json", {"a.jpg": "cat", "b.jpg": "dog"})
    assert check(tmp_path) == (
        0,
        [
            f"{tmp_path}: COCO",
            "images   2: 80 x 60 (2)",
            "boxes    2",
            "classes  2: cat 1, dog 1",
            "no mistakes",
        ],
    )


def test_of_each_kind_of_mistake_the_first_ten_are_shown_with_their_count(tmp_path: Path) -> None:
    names = {f"{at:02}.jpg": "cat" for at in range(15)}
    coco(tmp_path / "annotations.json", names)
    for at in range(2):
        image(tmp_path / f"images/{at:02}.jpg", 50, 50)
    image(tmp_path / "images/14.jpg")
    code, lines = check(tmp_path)
    gone = [
        f"  {tmp_path}/images/{at:02}.jpg: no such file; annotated as image id {at + 1}"
        for at in range(2, 14)
    ]
    assert code == 1
    assert lines == [
        f"{tmp_path}: COCO",
        "images   15: 80 x 60 (1)",
        "boxes    15",
        "classes  1: cat 15",
        "error    missing images: 12",
        *gone[:10],
        "  and 2 more",
        "error    unusable images: 2",
        f"  {tmp_path}/images/00.jpg: 50 x 50 pixels, annotated as 80 x 60 (image id 1)",
        f"  {tmp_path}/images/01.jpg: 50 x 50 pixels, annotated as 80 x 60 (image id 2)",
        "→ Copy the dataset again, or regenerate its manifest if you changed it.",
    ]


def test_wrong_labels_do_not_hide_the_others(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    path = write(tmp_path / "list.csv", "path,label\na.jpg,cat\nb.jpg,cat\na.jpg,\n")
    code, lines = check(path)
    assert code == 1
    assert lines == [
        f"{path}: CSV list of classes",
        "images   1: 80 x 60 (1)",
        "labels   1 (image-level)",
        "classes  1: cat 1",
        "error    invalid labels: 1",
        f"  {path}:4: label: missing",
        "error    missing images: 1",
        f"  {path}:3: no image file {tmp_path}/b.jpg",
        "→ Give the list a header: path,label or path,x1,y1,x2,y2,label.",
    ]


def test_what_cannot_be_read_at_all_is_one_mistake(tmp_path: Path) -> None:
    assert check(tmp_path) == (
        1,
        [
            f"{tmp_path}: not read",
            "error    dataset description: 1",
            f"  {tmp_path}: no supported dataset: the folder is empty",
            "→ Select COCO JSON, Ultralytics' data.yaml, a CSV list, or a folder of Pascal VOC or "
            "of classes.",
        ],
    )


def test_a_damaged_image_is_found_by_decoding(tmp_path: Path) -> None:
    path = image(tmp_path / "cat/a.jpg", 800, 600)
    image(tmp_path / "dog/b.jpg")
    path.write_bytes(path.read_bytes()[:-300])
    assert check(tmp_path)[0] == 0
    code, lines = check(tmp_path, "--decode")
    assert code == 1
    assert lines[-3] == "error    unusable images: 1"
    assert lines[-2].startswith(f"  {path}: cannot be decoded: image file is truncated")


MODEL = """\
task: detection
weights: w.pt
sha256: "{zeros}"
input: {{name: images, shape: [1, 3, 32, 32]}}
outputs: [boxes, scores]
classes: [cat, Dog]
datasets: {{val: {{path: ../../data, class_map: {{dog: Dog}}}}}}
"""


def test_with_a_model_its_classes_are_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "bench.toml", "")
    for name in ("network.py", "w.pt"):
        write(tmp_path / "models/m" / name, "")
    write(tmp_path / "models/m/model.yaml", MODEL.format(zeros="0" * 64))
    for name in ("a", "b"):
        image(tmp_path / f"data/images/{name}.jpg")
    coco(tmp_path / "data/annotations.json", {"a.jpg": "cat", "b.jpg": "dog"})
    assert check("val", "--model", "m")[0] == 0
    code, lines = check("data", "--model", "m")
    assert (code, lines[-3:]) == (
        0,
        [
            "note     annotated classes that the model lacks are not scored: dog",
            "note     classes without annotations are not scored: Dog (did you mean 'dog'?)",
            "no mistakes",
        ],
    )
    image(tmp_path / "photos/cat/a.jpg")
    code, lines = check("photos", "--model", "m")
    assert code == 1
    assert lines[-3:] == [
        "error    classes: 1",
        f"  {tmp_path}/photos: image-level labels, but the model outputs boxes",
        "→ Select a dataset with boxes.",
    ]


def test_everything_is_in_the_json(tmp_path: Path) -> None:
    image(tmp_path / "images/a.jpg")
    path = coco(tmp_path / "annotations.json", {"a.jpg": "cat", "b.jpg": "cat"})
    code, lines = check(path, "--json")
    assert code == 1
    assert json.loads(lines[0]) == {
        "kind": "COCO",
        "images": 2,
        "boxes": 2,
        "outlines": 0,
        "labels": 0,
        "classes": {"cat": 2},
        "sizes": [[80, 60, 1]],
        "notes": [],
        "wrong": {
            "missing images": [f"{tmp_path}/images/b.jpg: no such file; annotated as image id 2"]
        },
    }


def test_a_plan_names_the_first_ten_mistakes_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "bench.toml", "")
    for name in ("network.py", "w.pt"):
        write(tmp_path / "models/m" / name, "")
    plain = MODEL.format(zeros="0" * 64)
    text = plain.replace("path: ../../data, class_map: {dog: Dog}", "path: d.yaml")
    write(tmp_path / "models/m/model.yaml", text)
    write(tmp_path / "models/m/d.yaml", "val: val.txt\nnames: [cat, Dog]\n")
    write(tmp_path / "models/m/val.txt", "".join(f"{at:02}.jpg\n" for at in range(15)))
    scenario = "name: s\nmodels: [m]\nformats: [onnx]\naccuracy: {dataset: val}\n"
    write(tmp_path / "s.yaml", scenario)
    done = CliRunner().invoke(app, ["plan", "s.yaml"], prog_name="bench")
    assert isinstance(done.exception, ConfigError)
    assert len(done.exception.mistakes) == 15
    lines = done.exception.message.splitlines()
    assert lines[0] == f"{tmp_path}/models/m/00.jpg: no such file"
    assert (len(lines), lines[-1]) == (11, "and 5 more mistakes")
