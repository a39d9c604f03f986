"""What a person gets for what they type: text, exit code, never a traceback for a mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from records_for_tests import write_run

from harness import cli

ROOT = Path(__file__).parents[2]


def bench(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    sys.argv = ["bench", *argv]
    with pytest.raises(SystemExit) as stop:
        cli.main()
    seen = capsys.readouterr()
    code = stop.value.code
    return int(code or 0), seen.out, seen.err


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def test_a_typo_in_a_scenario_is_two_lines_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.yaml").write_text(
        "name: x\nmodels: [rio]\nformats: [onnx]\ndevces: [a]\nmeasure: {profile: quik}\n"
    )
    code, out, err = bench(capsys, "run", "s.yaml")
    assert code == 2
    assert out == ""
    assert err == (
        "error: s.yaml:5: measure.profile: 'quik' is not one of quick, full, smoke, mlperf\n"
        "s.yaml:4: devces: unknown key; did you mean 'devices'?\n"
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["report", "nope"], "no run 'nope'"),
        (["export", "nope"], "no run 'nope'"),
        (["plan", "nope.yaml"], "nope.yaml: No such file or directory"),
        (["convert", "rioo", "-f", "onnx", "-o", "x"], "no model 'rioo'; did you mean 'rio'?"),
        (["convert", "rio", "-f", "onx", "-o", "x"], "no format 'onx'; did you mean 'onnx'?"),
        (["convert", "rio", "-f", "onnx", "-p", "fp8", "-o", "x"], "no precision 'fp8'"),
        (["convert", "rio", "-f", "pytorch", "-p", "int8", "-o", "x"], "pytorch has no int8"),
        (["convert", "rio", "-f", "tensorrt", "-o", "x"], "tensorrt: not built yet"),
        (
            ["run", str(ROOT / "scenarios/rio.yaml"), "--engine", "podman"],
            "--engine podman: is not one of",
        ),
    ],
)
def test_a_wrong_name_is_exit_2_with_what_there_is(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    code, _, err = bench(capsys, *argv)
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_an_unknown_export_format_names_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/r1"))
    Path("scenarios").mkdir()
    code, _, err = bench(capsys, "export", "r1", "--format", "xls")
    assert (code, "csv, json, parquet, markdown, junit" in err) == (2, True)


def test_export_goes_to_stdout_and_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/r1"))
    Path("scenarios").mkdir()
    assert bench(capsys, "export", "latest", "--format", "csv", "--out", "x.csv")[0] == 0
    assert Path("x.csv").read_text().startswith("run_id,cell_id,")


def test_plan_as_json_is_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bench(capsys, "plan", str(ROOT / "scenarios/rio.yaml"), "--json")
    plan = json.loads(out)
    assert code == 0
    assert {cell["format"] for cell in plan["cells"]} >= {
        "pytorch",
        "torchscript",
        "onnx",
        "openvino",
        "tflite",
    }
    assert {hole["cell"]["format"] for hole in plan["skipped"]} >= {
        "tensorrt",
        "coreml",
        "savedmodel",
    }
    assert len(plan["notes"]) == 2


def test_a_dry_run_makes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = bench(capsys, "run", str(ROOT / "scenarios/rio.yaml"), "--dry-run")
    assert (code, "to run" in out) == (0, True)
    assert list(tmp_path.iterdir()) == []


def test_init_writes_a_project_that_plans_but_for_the_weights(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench(capsys, "init", "mine")[0] == 0
    code, _, err = bench(capsys, "plan", "mine/scenarios/mine.yaml")
    assert code == 2
    assert "mine/models/mine/model.yaml:3: module: no file mine/models/mine/network.py" in err
    for name in ("network.py", "weights.pt"):
        Path("mine/models/mine", name).write_text("")
    code, _, err = bench(capsys, "plan", "mine/scenarios/mine.yaml")
    assert code == 2
    assert "mine/models/mine/data/val/annotations.json: no such file" in err
    data = Path("mine/models/mine/data/val")
    data.mkdir(parents=True)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    (data / "annotations.json").write_text(json.dumps(content))
    assert bench(capsys, "plan", "mine/scenarios/mine.yaml")[0] == 0
    assert bench(capsys, "init", "mine")[0] == 2


def test_the_schema_is_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bench(capsys, "schema")
    assert (code, json.loads(out)["title"]) == (0, "bench scenario")


def test_doctor_names_what_it_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = bench(capsys, "doctor")
    for word in ("Python", "Docker", "cache", "format onnx", "format tensorrt"):
        assert word in out


def test_nothing_to_resume_says_how_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = bench(
        capsys, "run", str(ROOT / "scenarios/rio.yaml"), "--resume", "--only", "*nothing-like-it*"
    )
    assert code == 2
    code, _, err = bench(
        capsys, "run", str(ROOT / "scenarios/rio.yaml"), "--resume", "--only", "*-onnx-fp16-*"
    )
    assert (code, "nothing to resume" in err) == (2, True)
