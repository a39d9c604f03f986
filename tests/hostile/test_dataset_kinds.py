"""Datasets of other kinds than COCO that come from anybody: XML, YAML, lists, links."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from harness.errors import ConfigError
from harness.steps import datasets
from harness.steps.dataset_kinds import files, xml_files
from harness.steps.dataset_kinds.source import Source

SECRET = "-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaC1rZXktdjE"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("BENCH_DATA", raising=False)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "id_rsa").write_text(SECRET)
    Image.new("RGB", (8, 6)).save(folder / "photo.png")
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    Image.new("RGB", (8, 6)).save(folder / "a.png")
    return folder


def refused(source: Source | Path) -> str:
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        datasets.read(source)
    assert time.monotonic() - began < 5
    text = "\n".join([*caught.value.mistakes, caught.value.hint])
    assert "OPENSSH" not in text
    assert "b3Blb" not in text
    return text


# ---- XML ---------------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
DOCTYPES = {
    "a billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><annotation>&l9;</annotation>',
    "a quadratic entity": f'<!DOCTYPE x [<!ENTITY a "{"b" * 50_000}">]><annotation>{"&a;" * 50_000}'
    "</annotation>",
    "a file": '<!DOCTYPE x [<!ENTITY a SYSTEM "{outside}/id_rsa">]><annotation>&a;</annotation>',
    "a file of parameters": '<!DOCTYPE x [<!ENTITY % a SYSTEM "{outside}/id_rsa">%a;]><a/>',
    "a document type elsewhere": '<!DOCTYPE x SYSTEM "{outside}/id_rsa"><annotation/>',
    "a document type without entities": "<!DOCTYPE annotation><annotation/>",
    "a default attribute": '<!DOCTYPE x [<!ATTLIST x y CDATA "z">]><annotation/>',
}


@pytest.mark.parametrize("kind", DOCTYPES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_no_document_type_is_read(dataset: Path, outside: Path, kind: str, encoding: str) -> None:
    text = DOCTYPES[kind].replace("{outside}", str(outside))
    (dataset / "a.xml").write_bytes(text.encode(encoding))
    assert refused(dataset) == f"{dataset}/a.xml:1: document types and entities are not read\n"


def test_an_entity_that_nobody_has_declared_is_no_xml(dataset: Path) -> None:
    (dataset / "a.xml").write_text("<annotation>&a;</annotation>")
    assert refused(dataset).splitlines()[0] == f"{dataset}/a.xml:1: not XML: undefined entity"
    (dataset / "a.xml").write_text("<annotation><filename>a.png</filename>&amp;</annotation>")
    assert len(datasets.read(dataset).images) == 1


@pytest.mark.parametrize(
    "text", ["<annotation>" + "<a>" * 50_000, f"<annotation>{'<a/>' * 300_000}</annotation>"]
)
def test_xml_that_is_too_deep_or_too_long_is_not_built(dataset: Path, text: str) -> None:
    (dataset / "a.xml").write_text(text)
    assert refused(dataset).splitlines()[0] == (
        f"{dataset}/a.xml:1: more than {xml_files.MOST_ELEMENTS:,} elements, or 32 within another"
    )


def test_an_encoding_that_there_is_not_is_no_xml(dataset: Path) -> None:
    (dataset / "a.xml").write_text('<?xml version="1.0" encoding="nonsense"?><annotation/>')
    assert refused(dataset).startswith(f"{dataset}/a.xml:1: not XML: unknown encoding")


def test_a_label_file_of_gigabytes_is_not_read(dataset: Path) -> None:
    with (dataset / "a.xml").open("wb") as file:
        file.truncate(8 << 30)
    assert refused(dataset).splitlines()[0] == (
        f"{dataset}/a.xml: 8,589,934,592 bytes exceed the limit of {files.LABEL_BYTES:,}"
    )


def test_a_pipe_for_labels_is_not_waited_for(dataset: Path) -> None:
    os.mkfifo(dataset / "a.xml")
    assert refused(dataset) == f"{dataset}/a.xml: not a regular file\n"


# ---- YAML --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nnames: *c\nval: .\n",
        "names: !!python/object/apply:os.system ['touch /tmp/evil']\nval: .\n",
        "names: " + "[" * 20_000 + "\n",
        "names: {? [a] : b}\n",
        "names: !!timestamp 99999-99-99\n",
        "\x00",
    ],
)
def test_yaml_unfolds_to_nothing_and_makes_no_objects(dataset: Path, text: str) -> None:
    (dataset / "data.yaml").write_text(text)
    assert refused(dataset).startswith(f"{dataset}/data.yaml:")


# ---- paths and links ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "yaml",
    [
        "path: {outside}\nval: .\nnames: [a]\n",
        "path: ../home\nval: .\nnames: [a]\n",
        "val: {outside}\nnames: [a]\n",
        "val: ../home\nnames: [a]\n",
        "val: linked\nnames: [a]\n",
        "val: {outside}/id_rsa\nnames: [a]\n",
        "val: list.txt\nnames: [a]\n",
    ],
)
def test_no_description_leads_out_of_the_dataset(dataset: Path, outside: Path, yaml: str) -> None:
    (dataset / "linked").symlink_to(outside)
    (dataset / "list.txt").write_text(f"{outside}/photo.png\n../home/photo.png\nlinked/photo.png\n")
    (dataset / "data.yaml").write_text(yaml.replace("{outside}", str(outside)))
    assert "outside of the dataset's folder and of the folders in BENCH_DATA" in refused(dataset)


@pytest.mark.parametrize("name", ["data.yaml", "a.txt", "a.png"])
def test_no_link_of_a_yolo_dataset_is_followed_out(dataset: Path, outside: Path, name: str) -> None:
    (dataset / "data.yaml").write_text("val: .\nnames: [a]\n")
    (dataset / "a.txt").write_text("0 0.5 0.5 1 1\n")
    assert len(datasets.read(dataset).images) == 1
    (dataset / name).unlink()
    (dataset / name).symlink_to(outside / ("photo.png" if name == "a.png" else "id_rsa"))
    assert "outside of the dataset's folder" in refused(dataset)


@pytest.mark.parametrize(
    "path", ["../home/photo.png", "{outside}/photo.png", "l.png", "l/photo.png"]
)
def test_no_list_leads_out_of_the_dataset(dataset: Path, outside: Path, path: str) -> None:
    (dataset / "l.png").symlink_to(outside / "photo.png")
    (dataset / "l").symlink_to(outside)
    (dataset / "list.csv").write_text(f"path,label\n{path.replace('{outside}', str(outside))},a\n")
    said = refused(dataset)
    assert "outside of the dataset's folder" in said or "no image file" in said
    (dataset / "list.csv").unlink()
    (dataset / "list.csv").symlink_to(outside / "id_rsa")
    assert "outside of the dataset's folder" in refused(dataset)


def test_no_class_folder_is_a_link_out(dataset: Path, outside: Path) -> None:
    (dataset / "a.png").unlink()
    (dataset / "cat").mkdir()
    Image.new("RGB", (8, 6)).save(dataset / "cat/a.png")
    (dataset / "dog").symlink_to(outside)
    assert f"{dataset}/dog: outside of the dataset's folder" in refused(dataset)
    (dataset / "dog").unlink()
    (dataset / "cat/b.png").symlink_to(outside / "photo.png")
    assert f"{dataset}/cat/b.png: outside of the dataset's folder" in refused(dataset)


def test_no_xml_names_an_image_of_others(dataset: Path, outside: Path) -> None:
    text = f"<annotation><filename>{outside}/photo.png</filename></annotation>"
    (dataset / "b.xml").write_text(text)
    said = refused(dataset)
    assert "outside of the dataset's folder" in said or "no image file" in said
    (dataset / "b.xml").unlink()
    (dataset / "b.xml").symlink_to(outside / "id_rsa")
    assert "outside of the dataset's folder" in refused(dataset)


def test_links_that_the_user_has_declared_are_followed(
    dataset: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dataset / "list.csv").write_text("path,label\nl.png,a\n")
    (dataset / "l.png").symlink_to(outside / "photo.png")
    monkeypatch.setenv("BENCH_DATA", str(outside))
    assert len(datasets.read(dataset).images) == 1


def test_the_images_folder_that_the_user_names_is_the_datasets_own(
    dataset: Path, outside: Path
) -> None:
    (dataset / "list.csv").write_text("path,label\nphoto.png,a\n")
    found = datasets.read(Source(dataset / "list.csv", images=outside))
    assert [one.path for one in found.images] == [outside / "photo.png"]


# ---- names that no file can have ---------------------------------------------------------------

LONG = "/".join(["y" * 300] * 3)
NAMES = ("x" * 5000, LONG, "%00/b.png", "http://[x/b.png", "..", "/", "a/../../b")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["coco", "csv", "voc", "yolo", "path"])
def test_a_name_that_no_file_has_is_a_mistake_and_no_bug(
    dataset: Path, kind: str, name: str
) -> None:
    (dataset / "a.png").unlink()
    coco = {"images": [{"id": 1, "file_name": name}], "annotations": [], "categories": []}
    text = {
        "coco": ("annotations.json", json.dumps(coco)),
        "csv": ("list.csv", f'path,label\n"{name}",a\n'),
        "voc": ("a.xml", f"<annotation><filename>{name}</filename></annotation>"),
        "yolo": ("list.txt", f"{name}\n"),
        "path": ("data.yaml", f"path: {json.dumps(name)}\nval: {json.dumps(name)}\nnames: [a]\n"),
    }
    (dataset / text[kind][0]).write_text(text[kind][1])
    if kind == "yolo":
        (dataset / "data.yaml").write_text("val: list.txt\nnames: [a]\n")
    refused(dataset)


@pytest.mark.parametrize("name", ["a\0b.png", "a\0/b.png"])
def test_a_name_with_a_zero_byte_is_a_mistake_and_no_bug(dataset: Path, name: str) -> None:
    (dataset / "list.csv").write_text(f'path,label\n"{name}",a\n')
    refused(dataset)


@pytest.mark.parametrize("folder", ["JPEGImages", "images", "Annotations", "valid"])
def test_no_folder_of_voc_is_a_link_out(dataset: Path, outside: Path, folder: str) -> None:
    text = "<annotation><filename>photo.png</filename></annotation>"
    inside = dataset / "Annotations"
    if folder in ("Annotations", "valid"):
        (outside / "a.xml").write_text(text)
    else:
        inside.mkdir()
        (inside / "a.xml").write_text(text)
    (dataset / folder).symlink_to(outside)
    source = Source(dataset, split="valid" if folder == "valid" else "", kind="voc")
    said = refused(source)
    assert "outside of the dataset's folder" in said or "no image file" in said


@pytest.mark.parametrize("link", ["annotations", "val2017", "images"])
def test_no_folder_of_coco_is_a_link_out(dataset: Path, outside: Path, link: str) -> None:
    image = {"id": 1, "file_name": "photo.png", "height": 6, "width": 8}
    content = json.dumps({"images": [image], "annotations": [], "categories": []})
    (dataset / link).symlink_to(outside)
    where = outside if link == "annotations" else dataset / "annotations"
    where.mkdir(exist_ok=True)
    (where / "instances_val2017.json").write_text(content)
    said = refused(Source(dataset, split="val"))
    assert "outside of the dataset's folder" in said or "no such file" in said
