"""CSV lists, and image folders for classification."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset_files import image, objects, write, wrong

from harness.steps import datasets
from harness.steps.dataset_kinds.source import ClassMap, Source


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    image(tmp_path / "photos/a.jpg")
    image(tmp_path / "photos/b.jpg")
    return tmp_path


BOX = [("photos/a.jpg", "cat", (1, 2, 29, 38))]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("path,label\nphotos/a.jpg,cat\nphotos/b.jpg,dog\n",
         [("photos/a.jpg", "cat", None), ("photos/b.jpg", "dog", None)]),
        ("photos/a.jpg,cat\n", [("photos/a.jpg", "cat", None)]),
        ("\ufeffClass Name;Image Path\r\ncat;photos/a.jpg\r\n", [("photos/a.jpg", "cat", None)]),
        ('file_name\tcategory\n"photos/a.jpg"\t"cat, small"\n',
         [("photos/a.jpg", "cat, small", None)]),
        ("path,x1,y1,x2,y2,label\nphotos/a.jpg,1,2,30,40,cat\n", BOX),
        ("photos/a.jpg,1,2,30,40,cat\nphotos/b.jpg,,,,,\n", BOX),
        ("filename,width,height,class,xmin,ymin,xmax,ymax\nphotos/a.jpg,80,60,cat,1,2,30,40\n",
         BOX),
        ("label,x,y,width,height,image\ncat,1,2,29,38,photos/a.jpg\n", BOX),
        ("image,bbox_x,bbox_y,bbox_w,bbox_h,class,score\nphotos/a.jpg,1,2,29,38,cat,1\n", BOX),
        ("path,label\na.jpg,cat\n", [("a.jpg", "cat", None)]),
        ("path,label\na.jpg,cat,\n", [("a.jpg", "cat", None)]),
    ],
)  # fmt: skip
def test_columns_are_known_by_the_names_that_tools_give_them(
    photos: Path, text: str, wanted: list[tuple[str, str, tuple[float, ...] | None]]
) -> None:
    assert objects(write(photos / "list.csv", text)) == wanted


def test_an_image_without_a_box_is_an_image_without_objects(photos: Path) -> None:
    path = write(photos / "list.csv", "photos/a.jpg,1,2,30,40,cat\nphotos/b.jpg,,,,,\n")
    dataset = datasets.read(path)
    assert [one.path.name for one in dataset.images] == ["a.jpg", "b.jpg"]
    assert datasets.find(path).title == "CSV list of boxes"


def test_a_folder_with_one_list_is_that_list_and_images_may_lie_elsewhere(
    photos: Path, tmp_path: Path
) -> None:
    write(tmp_path / "lists/val.csv", "path,label\na.jpg,cat\n")
    source = Source(tmp_path / "lists", images=tmp_path / "photos")
    assert objects(source) == [("a.jpg", "cat", None)]
    write(tmp_path / "lists/train.csv", "path,label\na.jpg,cat\n")
    assert wrong(source) == [f"{tmp_path}/lists: several lists: train.csv or val.csv"]


def test_a_column_says_the_split(photos: Path) -> None:
    text = "path,label,split\nphotos/a.jpg,cat,train\nphotos/b.jpg,dog,val\n"
    path = write(photos / "list.csv", text)
    assert objects(Source(path, split="val")) == [("photos/b.jpg", "dog", None)]
    write(path, "path,label\nphotos/a.jpg,cat\n")
    assert wrong(Source(path, split="val")) == [f"{path}: no split `val`: no column `split`"]


def test_a_file_is_one_image_by_whatever_names_its_lines_have_it(photos: Path) -> None:
    text = (
        "path,x1,y1,x2,y2,label\nphotos/a.jpg,1,2,30,40,cat\n./photos/a.jpg,5,2,30,40,dog\n"
        "photos/../photos/a.jpg,6,2,30,40,dog\na.jpg,7,2,30,40,dog\n"
    )
    path = write(photos / "list.csv", text)
    found, _ = datasets.read_annotations(path)
    assert len(found.images) == 1
    assert len(found.annotations) == 4
    write(path, text + "a.jpg,1,2,30,40,cat\n")
    assert wrong(path) == [f"{path}:6: repeats line 2"]


@pytest.mark.parametrize("labels", [("cat", "dog"), ("2", "other")])
def test_labels_that_are_names_have_no_ids(photos: Path, labels: tuple[str, str]) -> None:
    path = write(
        photos / "list.csv", f"path,label\nphotos/a.jpg,{labels[0]}\nphotos/b.jpg,{labels[1]}\n"
    )
    rule = ClassMap("by-id", classes=("cat", "dog", "owl"))
    assert wrong(Source(path, class_map=rule)) == [
        f"{path}: class_map: by-id: classes of the dataset have names only"
    ]
    rule = ClassMap(names=(("1", "dog"),), classes=("cat", "dog"))
    assert wrong(Source(path, class_map=rule)) == [
        f"{path}: class_map: '1' is no class of the dataset; it has {', '.join(labels)}"
    ]


def test_labels_that_are_numbers_are_ids(photos: Path) -> None:
    path = write(photos / "list.csv", "path,label\nphotos/a.jpg,17\nphotos/b.jpg,3\n")
    found, _ = datasets.read_annotations(path)
    assert [(one.id, one.name) for one in found.categories] == [(17, "17"), (3, "3")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", ": empty"),
        ("path,size\nphotos/a.jpg,4\n", ":1: no column for label in: path, size"),
        ("name,label\nx,cat\n", ":1: no column for path in: name, label"),
        ("path,x1,y1,label\n", ":1: no column for all of x1, y1, x2, y2 in: path, x1, y1, label"),
        ("path,file,label\n", ":1: two columns for the path: path and file"),
        ("path,label\nphotos/a.jpg,cat\n,dog\n", ":3: path: missing"),
        ("path,label\nphotos/a.jpg,\n", ":2: label: missing"),
        ("path,x1,y1,x2,y2,label\nphotos/a.jpg,1,2,x,40,cat\n",
         ':2: x2: expected a number, got "x"'),
        ("path,x1,y1,x2,y2,label\nphotos/a.jpg,1,2,,40,cat\n",
         ":2: x2: expected a number, got nothing"),
        ("path,x1,y1,x2,y2,label\nphotos/a.jpg,30,2,1,40,cat\n",
         ":2: the box ends before it begins: x1, y1, x2, y2 are 30, 2, 1, 40"),
        ("path,x1,y1,x2,y2,label\nphotos/a.jpg,,,,,cat\n", ':2: label "cat" without a box'),
        ("path,x1,y1,x2,y2,label\nphotos/a.jpg,1,2,30,40,\n", ":2: label: missing"),
        ("path,label\nphotos/a.jpg,cat\nphotos/a.jpg,cat\n", ":3: repeats line 2"),
        ("path,label\nphotos/gone.jpg,cat\n", ":2: no image file {folder}/photos/gone.jpg"),
        ("path,label\nphotos/a.jpg,cat, small\n",
         ":2: expected 2 cells, as in the first line, got 3"),
        ("ImageID,XMin,XMax,YMin,YMax,LabelName\na.jpg,0.1,0.5,0.2,0.9,cat\n",
         ": annotations: all boxes lie within one pixel; [x, y, width, height] must be in pixels"),
        ('path,label\n"photos/a.jpg,cat\n', ":2: not CSV: unexpected end of data"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(photos: Path, text: str, what: str) -> None:
    path = write(photos / "list.csv", text)
    assert wrong(path) == [f"{path}{what.format(folder=photos)}"]


def test_a_list_that_is_no_text_is_named_with_its_line(photos: Path) -> None:
    path = photos / "list.csv"
    path.write_bytes(b"path,label\nphotos/a.jpg,caf\xe9\n")
    assert wrong(path) == [f"{path}:2: not UTF-8: invalid continuation byte"]


# ---- image folders -----------------------------------------------------------------------------


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    image(tmp_path / "dog/1.jpg")
    image(tmp_path / "cat/deep/2.PNG")
    write(tmp_path / "cat/notes.txt", "x")
    write(tmp_path / "cat/.hidden.jpg", "x")
    return tmp_path


def test_the_name_of_a_folder_is_the_class(classes: Path) -> None:
    assert objects(classes) == [("cat/deep/2.PNG", "cat", None), ("dog/1.jpg", "dog", None)]
    (classes / "empty").mkdir()
    found, notes = datasets.read_annotations(classes)
    assert [one.name for one in found.categories] == ["cat", "dog", "empty"]
    assert notes == ("class folders without an image: empty",)


def test_folders_that_are_called_by_numbers_have_these_ids(tmp_path: Path) -> None:
    for name in range(12):
        image(tmp_path / f"{name}/x.jpg")
    rule = ClassMap("by-id", classes=tuple(f"class {at}" for at in range(12)))
    found = objects(Source(tmp_path, class_map=rule))
    assert sorted(found) == sorted((f"{at}/x.jpg", f"class {at}", None) for at in range(12))


def test_a_linked_folder_of_images_is_read_once(
    classes: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path_factory.mktemp("disk")
    image(disk / "x.jpg")
    (disk / "back").symlink_to(classes)
    (classes / "dog/more").symlink_to(disk)
    (classes / "dog/self").symlink_to(classes / "dog")
    outside = "outside of the dataset's folder and of the folders in BENCH_DATA"
    assert wrong(classes) == [f"{classes}/dog/more: {outside}"]
    monkeypatch.setenv("BENCH_DATA", str(disk))
    assert objects(classes) == [
        ("cat/deep/2.PNG", "cat", None), ("dog/1.jpg", "dog", None), ("dog/more/x.jpg", "dog", None)
    ]  # fmt: skip


def test_images_that_are_not_read_are_said(classes: Path) -> None:
    path = write(classes / "cat/3.HEIC", "x")
    assert datasets.read_annotations(classes)[1] == (
        f"images in a format that is not read (.heic): 1, such as {path}",
    )


def test_splits_are_asked_for(tmp_path: Path) -> None:
    image(tmp_path / "train/cat/1.jpg")
    image(tmp_path / "val/cat/2.jpg")
    assert objects(Source(tmp_path, split="val")) == [("cat/2.jpg", "cat", None)]
    assert wrong(tmp_path) == [f"{tmp_path}: split: required: train or val"]
    write(tmp_path / "meta/classes.txt", "cat")
    assert wrong(tmp_path) == [f"{tmp_path}: split: required: train or val"]
    assert wrong(Source(tmp_path, split="test", kind="folders")) == [
        f"{tmp_path}: no split `test`: no such folder"
    ]
