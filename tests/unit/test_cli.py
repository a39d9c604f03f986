"""What a person gets for what they type: text, exit code, never a traceback for a mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer
from records_for_tests import write_run

import harness
from harness import cli
from harness.cli import checks
from harness.cli.checks import Finding

ROOT = Path(__file__).parents[2]
RIO = str(ROOT / "scenarios" / "rio.yaml")


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


# ---- mistakes ----------------------------------------------------------------------------------


def test_a_typo_in_a_scenario_is_a_line_a_mistake_and_exit_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Path("s.yaml").write_text(
        "name: x\nmodels: [rio]\nformats: [onnx]\ndevces: [a]\nmeasure: {profile: quik}\n"
    )
    code, out, err = bench(capsys, "run", "s.yaml")
    assert code == 2
    assert out == ""
    assert err == (
        f"project: {tmp_path}\n"
        "error: s.yaml:5: measure.profile: 'quik' is not one of quick, full, smoke, mlperf\n"
        "s.yaml:4: devces: unknown key; did you mean 'devices'?\n"
        "→ Correct the file, then check it with `bench plan`.\n"
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "rnu",
            "error: no such command 'rnu'; did you mean 'run'?\n→ See `bench --help`.\n",
        ),
        (
            "images lst",
            "error: no such command 'lst'; did you mean 'list'?\n→ See `bench images --help`.\n",
        ),
        ("run", "error: missing argument SCENARIO\n→ See `bench run --help`.\n"),
        ("run s --resum", "error: no such option: --resum; did you mean --resume?\n"
                          "→ See `bench run --help`.\n"),
        ("replay x --trials 0",
         "error: invalid value for '--trials': Input should be greater than or equal to 1\n"
         "→ See `bench replay --help`.\n"),
        ("replay x", "error: x: no such folder\n→ Name a folder runs/RUN/cells/CELL.\n"),
        ("plan nope.yaml", "error: nope.yaml: No such file or directory\n"
                           "→ Name a scenario file.\n"),
        ("plan .", "error: .: Is a directory\n→ Name a scenario file.\n"),
        ("init file", "error: file: File exists\n"
                      "→ Name a writable folder.\n"),
        ("init file/x", "error: file/x: Not a directory\n"
                        "→ Name a writable folder.\n"),
        ("report --out file", "error: --out file: not a folder\n"
                              "→ Name a new or an existing folder.\n"),
        ("report --out file/x", "error: --out file/x: not a folder\n"
                                "→ Name a new or an existing folder.\n"),
        ("compare a", "error: compare: expected two runs, got 1\n"
                      "→ Name two runs, or one run and --cells A B.\n"),
        ("export -f xls", "error: --format xls: not an export format\n"
                          "→ Choose one of csv, json, parquet, markdown, junit.\n"),
        ("--project nope runs", "error: --project nope: no such folder\n"
                                "→ Name an existing project folder.\n"),
        ("prune runs", "error: prune runs: no runs selected\n"
                       "→ Pass --older-than AGE or --keep-last N.\n"),
        ("prune x", "error: prune x: unknown kind\n"
                    "→ Name runs, images or cache, or omit the argument for all three.\n"),
        ("prune --older-than soon", "error: --older-than soon: not an age\n"
                                    "→ Write it as 12h, 30d or 4w.\n"),
        ("check-noise --profile x", "error: --profile x: unknown profile\n"
                                    "→ Choose one of quick, full.\n"),
        ("schema -o no/x.json", "error: no/x.json: No such file or directory\n"
                                "→ Name a file in a writable folder.\n"),
        ("lab fault pone x", "error: unknown lab device 'pone'; known: phone, jetson, host\n"
                             "→ See `bench lab fault --help`.\n"),
        ("images bundle onnx --arch arm", "error: --arch arm: unknown architecture\n"
                                          "→ Choose one of aarch64, x86_64.\n"),
        ("devices check pone", "error: unknown device 'pone'; known: local\n"
                               "→ Name a device that `bench devices` lists.\n"),
        ("convert rioo -f onnx -o x", "error: unknown model 'rioo'; did you mean 'rio'?\n"
                                      "→ Name a folder in models/.\n"),
        ("convert rio -f onx -o x", "error: unknown format 'onx'; did you mean 'onnx'?\n"
                                    "→ Name a format that `bench doctor` lists.\n"),
        ("convert rio -f onnx -p fp8 -o x",
         "error: unknown precision 'fp8'; known: fp32, fp16, int8\n"
         "→ Choose one of fp32, fp16, int8.\n"),
        ("convert rio -f pytorch -p int8 -o x",
         "error: pytorch does not support int8: eager PyTorch has no dynamic int8 convolution\n"
         "→ Choose one of fp32, fp16.\n"),
        ("convert rio -f tensorrt -o x",
         "error: tensorrt: bench does not support TensorRT yet\n"
         "→ Choose another format.\n"),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_one_line_and_one_hint(
    capsys: pytest.CaptureFixture[str], line: str, error: str
) -> None:
    Path("file").write_text("")
    assert bench(capsys, *line.split()) == (2, "", error)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("check-noise --device pone", "error: unknown device 'pone'; known: local\n"
                                      "→ Name an existing device with --device.\n"),
        (f"run {RIO} --engine podman",
         "error: --engine podman: unknown engine, expected auto, docker or venv\n"
         "→ See `bench run --help`.\n"),
        ("plan s.yaml --only nothing",
         "error: s.yaml:1: the matrix is empty after --only nothing\n"
         "→ Name cells that `bench plan --cells` lists.\n"),
        (f"run {RIO} --resume --only *-onnx-fp16-*",
         f"error: nothing to resume: no unfinished run of this scenario in {ROOT}/runs\n"
         "→ Start a new run without --resume.\n"),
    ],
)  # fmt: skip
def test_a_mistake_that_needs_a_project_names_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, error: str
) -> None:
    Path("s.yaml").write_text("name: x\nmodels: [rio]\nformats: [onnx]\n")
    project = ROOT if RIO in line else tmp_path
    assert bench(capsys, *line.split()) == (2, "", f"project: {project}\n{error}")


@pytest.mark.parametrize("line", ["report", "report nope", "export", "runs", "open", "runs rm x"])
def test_where_no_runs_can_be_a_command_says_how_to_name_a_project(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str
) -> None:
    error = (
        f"error: no project: no bench.toml in {tmp_path} or a parent folder, and no runs/\n"
        "→ Change to a project folder, or pass --project DIR.\n"
    )
    assert bench(capsys, *line.split()) == (2, "", error)


def test_an_unknown_run_is_named_with_its_project(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_run(Path("runs/r1"))
    code, out, err = bench(capsys, "report", "nope")
    assert (code, out) == (2, "")
    assert err == (
        f"project: {tmp_path}\nerror: no run 'nope' in {tmp_path}/runs\n"
        "→ Name one of r1, or another that `bench runs` lists.\n"
    )


def test_an_unexpected_exception_is_one_line_and_a_file_for_an_issue(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def boom() -> None:
        raise ZeroDivisionError("no \x1b[31mway")

    monkeypatch.setattr("harness.cli.checks.examine", boom)
    code, out, err = bench(capsys, "doctor")
    assert (code, out) == (1, "")
    (path,) = (tmp_path / "cache" / "logs").iterdir()
    first, hint, rest = err.split("\n")
    assert first == "bug: ZeroDivisionError: no way"
    assert hint == f"→ Report it with the contents of {path}."
    assert rest == ""
    assert "unexpected ZeroDivisionError in bench doctor" in path.read_text()
    assert "Traceback (most recent call last)" in path.read_text()


def test_a_bug_is_told_also_where_the_cache_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("harness.cli.checks.examine", lambda: 1 / 0)
    code, _, err = bench(capsys, "doctor")
    assert (code, "bug: ZeroDivisionError: division by zero" in err) == (1, True)
    assert Path(err.split("contents of ")[1].strip().rstrip(".")).is_file()


def test_ctrl_c_is_one_word_and_exit_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.checks.examine", interrupted)
    assert bench(capsys, "doctor") == (130, "", "interrupted\n")


# ---- what every command takes ------------------------------------------------------------------


def commands() -> list[tuple[str, ...]]:
    tree = typer.main.get_command(cli.app)
    found: list[tuple[str, ...]] = [()]
    for name, command in tree.commands.items():  # type: ignore[attr-defined]
        found += [(name,), *((name, sub) for sub in getattr(command, "commands", {}))]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_fits_in_80_columns_and_is_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = bench(capsys, *words, "--help")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert not [line for line in out.splitlines() if line.endswith("...") and "Usage" not in line]


@pytest.mark.parametrize("words", [w for w in commands() if w], ids=" ".join)
def test_every_command_takes_the_common_options(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    out = bench(capsys, *words, "--help")[1]
    is_bare_group = words in (("dataset",), ("images",), ("lab",))
    for option in ("--quiet", "--verbose", "--no-color", "--project"):
        assert (option in out) is not is_bare_group


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(capsys, "--version") == (0, f"bench {harness.__version__}\n", "")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = bench(capsys)
    assert (code, err) == (0, "")
    assert out == bench(capsys, "--help")[1]
    assert "bench plan scenarios/rio.yaml        show what would run\n" in out


@pytest.mark.parametrize("words", ["-q export r1", "export r1 -q", "export -q r1"])
def test_quiet_is_taken_before_and_after_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: str
) -> None:
    write_run(Path("runs/r1"))
    assert bench(capsys, "export", "r1")[2] == f"project: {tmp_path}\n"
    assert bench(capsys, *words.split())[2] == ""


@pytest.mark.parametrize("words", ["--project cards runs", "runs --project cards"])
def test_the_project_is_taken_before_and_after_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: str
) -> None:
    write_run(tmp_path / "cards/runs/r1")
    code, out, err = bench(capsys, *words.split())
    assert (code, err) == (0, f"project: {tmp_path}/cards\n")
    assert out.splitlines()[1].startswith("r1 ")


def test_colours_are_for_terminals_and_for_who_asks_for_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = (
        "error: compare: expected two runs, got 1\n→ Name two runs, or one run and --cells A B.\n"
    )
    assert bench(capsys, "compare", "a")[2] == plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = bench(capsys, "compare", "a")[2]
    assert coloured.startswith("\x1b[1;31merror:\x1b[0m compare")
    assert bench(capsys, "compare", "a", "--no-color")[2] == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert bench(capsys, "compare", "a")[2] == plain


# ---- commands ----------------------------------------------------------------------------------


def test_export_goes_to_stdout_and_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/r1"))
    assert bench(capsys, "export", "latest", "--format", "csv", "--out", "x.csv")[0] == 0
    assert Path("x.csv").read_text().startswith("run_id,cell_id,")


def test_plan_as_json_is_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bench(capsys, "plan", RIO, "--json")
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


def test_a_dry_run_makes_nothing_and_is_what_plan_shows(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shown = bench(capsys, "run", RIO, "--dry-run", "--engine", "venv")
    assert shown == bench(capsys, "plan", RIO, "--engine", "venv")
    assert (shown[0], "\nto run   32 cells, 96 trials; 22 skipped\n" in shown[1]) == (0, True)
    made = {path.parent for path in tmp_path.rglob("*") if path.is_file()}
    assert made <= {tmp_path / "cache" / "hashes"}


def test_init_writes_a_project_that_plans_but_for_the_weights(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench(capsys, "init", "mine")[0] == 0
    code, _, err = bench(capsys, "plan", "mine/scenarios/mine.yaml")
    assert code == 2
    assert "mine/models/mine/model.yaml:3: module: no such file: mine/models/mine/network.py" in err
    for name in ("network.py", "weights.pt"):
        Path("mine/models/mine", name).write_text("")
    code, _, err = bench(capsys, "plan", "mine/scenarios/mine.yaml")
    assert code == 2
    assert "mine/models/mine/data/val: no such file or folder" in err
    data = Path("mine/models/mine/data/val")
    data.mkdir(parents=True)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    (data / "annotations.json").write_text(json.dumps(content))
    assert bench(capsys, "plan", "mine/scenarios/mine.yaml")[0] == 0
    assert bench(capsys, "init", "mine")[0] == 2


def test_the_schema_is_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bench(capsys, "schema")
    assert (code, json.loads(out)["title"]) == (0, "bench scenario")


def test_doctor_names_what_it_looked_at_and_ends_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = bench(capsys, "doctor")
    for word in ("Python", "Docker", "project", "cache", "format onnx", "format tensorrt"):
        assert word in out
    monkeypatch.setenv("PATH", "")
    code, out, _ = bench(capsys, "doctor")
    assert (code, out.splitlines()[-1]) == (
        1,
        "not ready: util-linux: taskset, prlimit not found; install it with "
        "`apt-get install util-linux`, then run `bench doctor` again",
    )


def test_a_machine_that_lacks_only_optional_things_is_ready() -> None:
    findings = [Finding("ok", "Python", "3.11"), Finding("optional", "Docker", "none", "get it")]
    assert checks.is_ready(findings)
    assert checks.verdict(findings) == "ready: run `bench plan SCENARIO`, then `bench run SCENARIO`"
