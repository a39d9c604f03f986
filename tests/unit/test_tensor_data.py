"""Samples of models that take no images: files, generated ones, and their packs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import ConfigError
from harness.records import ModelSpec, TensorSpec
from harness.steps import dataset_check, tensor_data
from harness.steps.dataset_kinds.source import Source
from harness.steps.tensor_data import Generator
from harness.tasks.pack import open_pack

SPEC = ModelSpec(
    "vad", "tensor", "", "", "m.onnx", "0",
    (TensorSpec("x", (1, 4)), TensorSpec("tokens", (2,), "int32"), TensorSpec("sr", (), "int64")),
    ("y",), (), source="onnx",
)  # fmt: skip
RATE = {"sr": Generator("integers", 16000, 16001)}


def write(folder: Path, name: str, **values: Any) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / name, **{"x": np.ones((1, 4)), "tokens": [1, 2], "sr": 8000, **values})
    return folder / name


def read(folder: Path, spec: ModelSpec = SPEC, **generators: Generator) -> tensor_data.Samples:
    return tensor_data.read(spec, Source(folder), generators, 16)


def mistakes(folder: Path, spec: ModelSpec = SPEC) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, spec)
    return [line.replace(f"{folder}/", "") for line in caught.value.mistakes]


def test_each_file_is_a_sample_with_an_array_for_each_input(tmp_path: Path) -> None:
    write(tmp_path / "data", "b.npz", x=np.full((1, 4), 2.0, np.float64), label=3)
    write(tmp_path / "data", "a.npz")
    found = read(tmp_path / "data")
    assert [one.dtype.name for one in found.tensors] == ["float32", "int32", "int64"]
    assert found.tensors[0].tolist() == [[[1.0] * 4], [[2.0] * 4]]
    assert found.tensors[2].tolist() == [8000, 8000]
    assert (found.name, len(found)) == ("data", 2)


def test_more_samples_than_needed_are_taken_evenly(tmp_path: Path) -> None:
    for n in range(40):
        write(tmp_path / "data", f"{n:02}.npz", sr=n)
    assert read(tmp_path / "data").tensors[2].tolist()[:4] == [1, 3, 6, 8]
    assert len(read(tmp_path / "data")) == 16


def test_an_input_that_no_file_has_may_be_generated(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((1, 4)), tokens=np.array([1, 2]))
    assert read(tmp_path, **RATE).tensors[2].tolist() == [16000]


def test_all_unusable_files_are_named_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder, "0.npz")
    write(folder, "1.npz", x=np.ones((1, 5)))
    write(folder, "2.npz", tokens=np.array([0.5, 1]))
    write(folder, "3.npz", tokens=np.array([1, 1 << 40]))
    write(folder, "4.npz", x=np.full((1, 4), np.nan))
    np.savez(folder / "5.npz", x=np.ones((1, 4)))
    write(folder, "6.npz", x=np.array([[object()] * 4], object))
    (folder / "7.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert mistakes(folder) == [
        "1.npz: unreadable: x has shape (1, 5)",
        "2.npz: unreadable: tokens has values of type float64",
        "3.npz: tokens has values of 1 to 1099511627776, beyond int32",
        "4.npz: unreadable: x has NaN",
        "5.npz: unreadable: missing arrays: tokens, sr",
        "6.npz: unreadable: x.npy is not an array of plain numbers",
        "7.npz: unreadable: not an archive of arrays, or truncated",
    ]


def test_real_values_are_for_inputs_that_may_have_a_scale(tmp_path: Path) -> None:
    spec = replace(SPEC, source="tflite", inputs=(TensorSpec("x", (1, 4), "int8"),))
    write(tmp_path / "data", "a.npz")
    assert read(tmp_path / "data", spec).tensors[0].dtype == np.float32
    write(tmp_path / "data", "b.npz", x=np.ones((1, 4), np.int64))
    assert mistakes(tmp_path / "data", spec) == ["b.npz: x is int8, in the first file float32"]


def test_a_folder_without_samples_and_a_model_without_any_say_so(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "data") == [f"{tmp_path}/data: no such file or folder"]
    (tmp_path / "data").mkdir()
    assert mistakes(tmp_path / "data") == [f"{tmp_path}/data: no .npz files"]
    with pytest.raises(ConfigError) as caught:
        tensor_data.read(SPEC, None, RATE, 16)
    assert caught.value.message == "vad: no dataset, and no `generate` for input x, tokens"


# ---- generated ---------------------------------------------------------------------------------


def drawn(one: TensorSpec, how: Generator) -> np.ndarray:
    return tensor_data.draw(one, how, 16)


def test_tokens_are_drawn_from_the_vocabulary() -> None:
    found = drawn(TensorSpec("ids", (1, 64), "int64"), Generator("integers", 5, 9))
    assert (found.shape, found.dtype) == ((16, 1, 64), np.int64)
    assert set(found.ravel().tolist()) == {5, 6, 7, 8}


def test_distributions_are_what_they_say() -> None:
    uniform = drawn(TensorSpec("x", (1000,)), Generator("uniform", -2, 4))
    assert -2 <= uniform.min() < -1.9
    assert 3.9 < uniform.max() < 4
    normal = drawn(TensorSpec("x", (1000,), "float16"), Generator("normal", mean=3, std=2))
    assert normal.dtype == np.float16
    assert float(normal.mean(dtype=np.float64)) == pytest.approx(3, abs=0.05)
    assert float(normal.std(dtype=np.float64)) == pytest.approx(2, abs=0.05)
    flags = drawn(TensorSpec("x", (100,), "bool"), Generator("integers", 0, 2))
    assert set(flags.ravel().tolist()) == {False, True}


def test_the_same_seed_draws_the_same_values_and_each_input_its_own() -> None:
    one, how = TensorSpec("x", (2,)), Generator("normal")
    assert drawn(one, how)[0].tolist() == pytest.approx([-2.313544, 0.7954852])
    np.testing.assert_array_equal(drawn(one, how), drawn(one, how))
    assert not (drawn(one, how) == drawn(replace(one, name="y"), how)).any()
    assert not (drawn(one, how) == drawn(one, replace(how, seed=1))).any()


# ---- packs -------------------------------------------------------------------------------------


def test_a_pack_of_tensors_travels_as_a_folder_and_is_made_once(tmp_path: Path) -> None:
    generators = {"x": Generator("normal"), "tokens": Generator("integers", 0, 9), **RATE}
    made = tensor_data.read(SPEC, None, generators, 3)
    folder = tensor_data.pack(tmp_path, made)
    assert folder.parent.name == "packs"
    assert folder.name == tensor_data.pack_key(made)
    assert sorted(path.name for path in folder.iterdir()) == [
        "ids.npy", "tensor-0.npy", "tensor-1.npy", "tensor-2.npy",
    ]  # fmt: skip
    pack = open_pack(folder)
    assert [number for number, _ in pack] == [1, 2, 3]
    for at, (_, sample) in enumerate(pack[:2]):
        assert [one.shape for one in sample] == [(1, 4), (2,), ()]
        np.testing.assert_array_equal(sample[0], made.tensors[0][at])
    assert tensor_data.pack(tmp_path, made) == folder
    other = tensor_data.read(SPEC, None, {**generators, "x": Generator("normal", seed=1)}, 3)
    assert tensor_data.pack_key(other) != folder.name


def test_bench_dataset_check_counts_samples_and_names_unusable_ones(tmp_path: Path) -> None:
    write(tmp_path / "data", "a.npz")
    write(tmp_path / "data", "b.npz", x=np.ones(4))
    found = dataset_check.check_tensors(Source(tmp_path / "data"), SPEC, {})
    assert found.title == "tensors, 2 samples"
    assert found.wrong == {
        "unusable samples": [f"{tmp_path}/data/b.npz: unreadable: x has shape (4,)"]
    }
