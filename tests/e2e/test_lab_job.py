"""The job on the emulated lab: phone, Jetson, host at once, over real ADB and SSH, with faults."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Lab, Project, wait_for

from harness.ondevice.lease import hold, holder
from harness.records import CellResult
from harness.store import Run, read_devices, read_run

pytestmark = [pytest.mark.docker, pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(2400)]

Tiny = Callable[..., str]
DEVICES = ("local", "lab-phone", "lab-jetson", "lab-host")
EMULATED = ("lab-phone", "lab-jetson")
TORCH = {"pytorch", "torchscript"}
NO_TORCH = {
    "lab-phone": "requires x86_64; lab-phone is aarch64",
    "lab-jetson": "does not support jetson, only linux or android",
}
#: profile quick takes 64 samples, so a trial's loop is 8 s long
CAMERA, SAMPLES = "{rate_hz: 8}", 64


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path, lab: Lab) -> tuple[Run, Path]:
    """`scenarios/rio-lab.yaml`, run, with few formats on its devices; and its report's folder.

    A cell takes five minutes where arm64 is emulated, so phone and Jetson have one each; every
    runtime's bundle runs in test_bundles.py. The host shows that an image gets there once and
    serves several cells.
    """
    folder = tmp_path_factory.mktemp("lab")
    project = Project(folder, cache)
    text = (ROOT / "scenarios/rio-lab.yaml").read_text()
    elsewhere = {
        "phone": ("onnx", "tflite-runtime"),
        "jetson": ("tflite", "tflite-runtime"),
        "host": ("*torch*", "openvino", "tflite"),
    }
    rest = ", ".join(
        f'"*-{format}-fp32-lab-{device}-*"' for device, left in elsewhere.items() for format in left
    )
    assert "exclude: [" in text
    text = text.replace("exclude: [", f"exclude: [{rest}, ").partition("name: rio-lab\n")[2]
    done = project.bench("run", project.scenario("rio-lab", text), timeout_s=2300)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    run = read_run(project.runs()[0])
    return run, folder / "reports" / run.info.run_id


def by_place(run: Run) -> dict[tuple[str, str], CellResult]:
    return {(result.cell.format, result.cell.device): result for result in run.results}


def test_every_format_that_a_device_can_run_is_measured_there(whole: tuple[Run, Path]) -> None:
    found = by_place(whole[0])
    assert {device for _, device in found} == set(DEVICES)
    ok: dict[str, set[str]] = {device: set() for device in DEVICES}
    for (format, device), result in found.items():
        if format in TORCH and device in EMULATED:
            assert result.status == "skipped"
            assert result.reasons[0].split(" ", 1)[1] in NO_TORCH[device]
            continue
        assert result.status == "ok", (format, device, result.reasons)
        assert result.summary is not None
        assert result.summary.n >= 8
        ok[device].add(format)
    assert ok["lab-phone"] == {"tflite"}
    assert ok["lab-jetson"] == {"onnx"}
    assert ok["lab-host"] == {"onnx", "tflite-runtime"}
    assert ok["local"] == {"onnx", "tflite", "tflite-runtime", "openvino"} | TORCH


def test_accuracy_is_that_of_the_same_format_here(whole: tuple[Run, Path]) -> None:
    found = by_place(whole[0])
    compared = 0
    for (format, device), result in found.items():
        here = found[format, "local"]
        if device == "local" or result.scores is None or here.scores is None:
            continue
        for name in ("map50_95", "mask_map50_95"):
            assert result.scores.values[name] == pytest.approx(here.scores.values[name], abs=1e-3)
        compared += 1
    assert compared == 1 + 1 + 2


def test_emulated_devices_are_marked_in_results_and_pages(whole: tuple[Run, Path]) -> None:
    run, report = whole
    for (_, device), result in by_place(run).items():
        assert result.emulated is device.startswith("lab-")
    page = (report / "index.html").read_text()
    assert "(emulated:" in page
    assert (report / "devices" / "lab-phone.html").is_file()


def test_runners_get_there_as_bundles_and_the_phone_needs_nothing(whole: tuple[Run, Path]) -> None:
    for (_, device), result in by_place(whole[0]).items():
        if result.image and device in EMULATED:
            assert result.image.engine == "bundle"
            assert result.image.digest.startswith("sha256:")
    facts = read_devices(whole[0].folder)["lab-phone"].facts
    assert facts is not None
    assert (facts.arch, facts.python, facts.docker) == ("aarch64", None, None)


def test_a_device_is_left_as_it_was_but_for_what_is_kept(whole: tuple[Run, Path], lab: Lab) -> None:
    for name in ("phone", "jetson", "host"):
        transport = lab.connect(name)
        try:
            facts = read_devices(whole[0].folder)[f"lab-{name}"].facts
            assert facts is not None
            assert holder(transport, facts.workdir) is None
            done = transport.run(["ls", "-A", facts.workdir, f"{facts.workdir}/jobs"], timeout_s=60)
            assert "watch-" not in done.text
            assert done.text.split("jobs:")[1].split() == []
        finally:
            transport.close()


@pytest.fixture
def phone(project: Project, lab: Lab, tiny: Tiny) -> Iterator[Callable[[], Any]]:
    """Starts the small model on the phone, as tflite-runtime; the lab is well again afterwards.

    At a camera's pace, so that a trial lasts long enough for something to happen in it.
    """
    path = tiny(
        formats="[tflite-runtime]", measure=f"{{trials: 2, pattern: camera, camera: {CAMERA}}}"
    )
    scenario = project.folder / path
    scenario.write_text(scenario.read_text() + "devices: [lab-phone]\n")
    started: list[Any] = []

    def start() -> Any:
        started.append(project.start("run", path, "--no-report"))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    lab.fault("phone", "cool")
    lab.fault("phone", "accept-key")
    lab.fault("phone", "free-disk")


def ended(process: Any) -> tuple[int, str]:
    out, err = process.communicate(timeout=900)
    assert "Traceback" not in err
    return process.returncode, out + err


def in_trial(project: Project) -> None:
    """Until a trial's sampler and job are there."""
    wait_for(lambda: any(project.folder.glob("runs/*/cells/*/trial-*/job.json")), 600)
    time.sleep(4)


def result_of(project: Project) -> CellResult:
    (result,) = read_run(project.runs()[0]).results
    return result


def test_a_phone_that_is_lost_in_a_trial_is_tried_once_more(
    project: Project, lab: Lab, phone: Callable[[], Any]
) -> None:
    process = phone()
    in_trial(project)
    lab.fault("phone", "drop")
    code, said = ended(process)
    assert code == 0, said
    result = result_of(project)
    assert [trial.index for trial in result.trials] == [0, 1]
    assert result.summary is not None
    assert result.summary.n == 2 * SAMPLES
    assert [e["device"] for e in project.events(project.runs()[0]) if e["event"] == "lost"]


def test_a_phone_that_is_heated_in_the_middle_is_measured_again_and_then_invalid(
    project: Project, lab: Lab, phone: Callable[[], Any]
) -> None:
    process = phone()
    in_trial(project)
    lab.fault("phone", "throttle")
    code, said = ended(process)
    assert code == 1, said
    result = result_of(project)
    assert result.verdict == "invalid"
    assert "discarded 3 times" in result.reasons[0]
    assert "thermal" in result.reasons[0].lower() or "throttl" in result.reasons[0].lower()
    kept = sorted(p.name for p in project.runs()[0].glob("cells/*/trial-0-discarded-*"))
    assert kept == ["trial-0-discarded-1", "trial-0-discarded-2"]


def test_a_job_that_the_memory_killer_ends_says_so(
    project: Project, lab: Lab, phone: Callable[[], Any]
) -> None:
    process = phone()
    in_trial(project)
    kill = ("fault", "phone", "kill-process", "harness.runner")
    wait_for(lambda: lab.bench(*kill).returncode == 0, 120)
    code, said = ended(process)
    assert code == 1, said
    assert "probably out of memory" in result_of(project).reasons[0]


def test_a_phone_that_refuses_the_key_fails_its_cells_with_what_to_do(
    project: Project, lab: Lab, phone: Callable[[], Any]
) -> None:
    lab.fault("phone", "refuse-key")
    code, said = ended(phone())
    assert code == 1, said
    result = result_of(project)
    assert result.failure is not None
    assert result.failure.step == "deploy"
    assert result.failure.hint


def test_a_phone_that_another_run_holds_is_left_to_it(
    project: Project, lab: Lab, phone: Callable[[], Any]
) -> None:
    transport = lab.connect("phone")
    try:
        with hold(transport, "/data/local/tmp/bench", "somebody@elsewhere pid 1, run night"):
            code, said = ended(phone())
    finally:
        transport.close()
    assert code == 1, said
    assert "somebody@elsewhere" in result_of(project).reasons[0]


def test_bench_devices_check_walks_to_one_inference(project: Project, lab: Lab) -> None:
    done = project.bench("devices", "check", "lab-phone", timeout_s=900)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("connect", "space", "runtime", "inference"):
        assert step in done.stdout
    cleaned = project.bench("devices", "clean", "lab-phone", timeout_s=120)
    assert cleaned.returncode == 0, cleaned.stderr
    transport = lab.connect("phone")
    try:
        left = transport.run(["ls", "-d", "/data/local/tmp/bench"], timeout_s=30)
    finally:
        transport.close()
    assert left.exit_code != 0
