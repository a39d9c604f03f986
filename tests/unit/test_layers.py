"""The layers hold: steps do not know each other, one owner for each kind of I/O, light starts."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module

import pytest
from pydantic import BaseModel
from tools.draw_packages import OUT, svg
from tools.package_graph import PACKAGE, SHARED, files, floors, graph, imports

STEPS = ("convert", "infer", "measure", "parity", "score", "images")
CLI = (
    "__init__", "command", "datasets", "devices", "images", "jobs", "lab", "mistakes", "noise", "numbers",
    "planning", "project", "runs", "shared",
)  # fmt: skip
#: from the ground up; a package imports nothing of its own floor or of one above
FLOORS = (
    (SHARED,),
    ("formats", "tasks", "untrusted"),
    ("containers", "store", "transports"),
    ("bundling", "lab", "metrics", "ondevice", "runner"),
    ("analysis", "export", "kinds", "steps"),
    ("monitor", "report", "runtimes", "scenario"),
    ("targets",),
    ("run",),
    ("housekeeping", "preview"),
    ("cli",),
)
OWNERS = {
    "pydantic": {
        "scenario/config.py",
        "scenario/dataset_files.py",
        "scenario/input_files.py",
        "scenario/mistakes.py",
        "scenario/sections.py",
    },
    # __init__ only looks whether it is there
    "docker": {"containers/__init__.py", "containers/docker.py", "containers/docker_build.py"},
    "rich": {"cli/console.py", "cli/run_text.py", "cli/watch.py"},
    "typer": {f"cli/{name}.py" for name in CLI},
    "yaml": {"scenario/yaml_lines.py", "steps/dataset_kinds/yolo_yaml.py"},
    "duckdb": {"export.py"},
    # these only make archives; bundling unpacks wheels that a lock has the hashes of
    "tarfile": {
        "bundling/pack.py",
        "containers/base.py",
        "containers/docker_build.py",
        "transports/archive.py",
    },
    "zipfile": {"bundling/wheels.py", "untrusted/arrays.py"},
    "hotcoco": {"metrics/coco_map.py", "metrics/miou.py", "metrics/oks.py"},
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_no_other_step(step: str) -> None:
    allowed = {"measure": {"infer"}}.get(step, set())  # both load a model the same way
    others = {f"harness.steps.{name}" for name in STEPS if name != step and name not in allowed}
    assert not imports(PACKAGE / "steps" / f"{step}.py") & others


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_one_owner(library: str) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in files()
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users == OWNERS[library]


#: what opens, follows or copies a file
READS = frozenset(
    "open read_bytes read_text resolve readlink copy2 copyfile copytree extract extractall"
    " unpack_archive".split()
)
#: modules that handle what a job, a device or another's run folder has left
HANDLE = (
    "store.py", "export.py", "steps/convert.py", "steps/infer.py", "steps/jobs.py",
    "steps/measure.py", "steps/parity.py", "steps/score.py", "run/*.py", "targets/*.py",
    "transports/pull.py", "transports/remote.py", "report/**/*.py", "monitor/*.py",
    "analysis/*.py", "preview/*.py", "runtimes/*.py",
)  # fmt: skip
#: where they do so themselves: what is read there is ours or the user's
OWN_FILES = {
    "analysis/compare_runs.py": {"compare_cells"},  # are two runs one?
    "analysis/host_noise.py": {"_text"},  # of /sys
    "analysis/noise_floor.py": {"load"},  # of our cache
    "export.py": {"as_parquet"},  # what DuckDB has just written
    "report/build.py": {"_style_id"},  # Plotly's script
    "run/pipeline.py": {"_check_files", "_open"},  # a run's folder; the user's scenario
    "run/replay.py": {"read_original"},  # the folder that the user names
    "runtimes/venv.py": {"_packages"},  # of our cache
    "steps/convert.py": {"copy_out"},  # after `files.check`, to where the user says
    "steps/jobs.py": {
        "_absolute",
        "_as_seen",
        "_mounts",
        "_packs",
    },  # folders, of the user's and ours
    "store.py": {"_append", "_not_linked", "_write"},  # to be written
    "targets/this_machine.py": {"_mode_of"},  # the folder of this machine's leases
    "targets/discover.py": {"write"},  # the user's devices
}


def test_what_others_left_is_opened_by_untrusted_alone() -> None:
    found: dict[str, set[str]] = {}
    for pattern in HANDLE:
        for path in PACKAGE.glob(pattern):
            if functions := callers(ast.parse(path.read_text()), READS):
                found[str(path.relative_to(PACKAGE))] = functions
    assert found == OWN_FILES


def callers(node: ast.AST, names: frozenset[str], function: str = "") -> set[str]:
    """The outermost functions in which something of these names is called."""
    found = set()
    if isinstance(node, ast.Call):
        called = getattr(node.func, "attr", "") or getattr(node.func, "id", "")
        found = {function} if called in names else set()
    for child in ast.iter_child_nodes(node):
        own = child.name if isinstance(child, ast.FunctionDef) and not function else function
        found |= callers(child, names, own)
    return found


def attributes(owners: set[str], names: set[str]) -> set[str]:
    """Modules that use `owner.name`."""
    return {
        str(path.relative_to(PACKAGE))
        for path in files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in owners
        and node.attr in names
    }


def test_only_serial_parses_json_of_others() -> None:
    assert attributes({"json"}, {"load", "loads", "JSONDecoder"}) == {
        "serial.py",
        "formats/litert_c.py", "formats/onnx.py", "runner/loadgen.py",  # in the job itself
        "formats/openvino.py",  # likewise
        "formats/routes.py",  # our own table
        "lab/control.py", "lab/daemon.py", "lab/guest.py", "lab/upkeep.py",  # between our processes
        "steps/image_process.py",  # what we ask it for
        "metrics/truth.py", "steps/dataset_kinds/coco.py",  # a dataset's files
        "transports/manifest.py",  # hashes in our cache
    }  # fmt: skip


def test_numpy_itself_loads_only_packs() -> None:
    """Which this machine has made, on both sides."""
    loads = {"load", "loads", "fromfile", "memmap", "loadtxt", "genfromtxt"}
    assert attributes({"np", "numpy", "pickle", "marshal"}, loads) == {"tasks/pack.py"}


def test_only_cli_and_console_print() -> None:
    printing = {
        str(path.relative_to(PACKAGE))
        for path in files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    }
    programs = {
        "formats/checkpoint.py",
        "runner/__main__.py",
    }  # programs of their own on the device
    assert {name for name in printing if not name.startswith("cli/")} <= programs


def test_what_travels_to_devices_needs_numpy_only() -> None:
    allowed = {"numpy", *sys.stdlib_module_names}
    for part in ("records.py", "serial.py", "tasks", "runner"):
        top = PACKAGE / part
        for path in [top] if top.is_file() else sorted(top.rglob("*.py")):
            foreign = {n.split(".")[0] for n in imports(path)} - allowed - {"harness", ""}
            assert not foreign, f"{path.name} imports {foreign}"


def test_formats_import_their_runtimes_inside_functions() -> None:
    for path in sorted((PACKAGE / "formats").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not getattr(node, "level", 0):
                name = node.names[0].name if isinstance(node, ast.Import) else node.module
                top = str(name).split(".")[0]
                assert top in {"numpy", *sys.stdlib_module_names}, path


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, harness.cli\n"
        "heavy = {'numpy', 'pydantic', 'rich.console', 'docker', 'jinja2', 'plotly'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_package_imports_only_what_stands_on_a_lower_floor() -> None:
    floor = {name: number for number, row in enumerate(FLOORS) for name in row}
    assert set(graph()) == set(floor)
    upwards = [
        f"{user} imports {other}"
        for user, used in graph().items()
        for other in used
        if floor[other] >= floor[user]
    ]
    assert not upwards


def test_types_of_files_stay_in_scenario() -> None:
    """What is read leaves as frozen records."""
    readers = ("config", "sections", "mistakes")
    types = {
        f"harness.scenario.{module}.{name}"
        for module in readers
        for name, value in vars(import_module(f"harness.scenario.{module}")).items()
        if isinstance(value, type) and issubclass(value, BaseModel)
    }
    assert len(types) > 5
    used = {str(p.relative_to(PACKAGE)) for p in files() if imports(p) & types}
    assert {name for name in used if not name.startswith("scenario/")} == set()


def test_a_circle_of_packages_is_named() -> None:
    circle = {"a": frozenset({"b"}), "b": frozenset({"a"}), SHARED: frozenset[str]()}
    with pytest.raises(ValueError, match="circle among a, b"):
        floors(circle)


def test_the_drawing_of_the_packages_is_that_of_the_imports() -> None:
    assert OUT.read_text("utf-8") == svg(graph()), "run `make generated`"
