"""What both container engines promise, and what only Docker's does. The image is a small one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.containers import (
    ContainerEngine,
    JobSpec,
    Mount,
    choose,
    owner,
    recipe,
)
from harness.errors import JobTimeout, OutOfMemory, StepFailed, UsageError
from harness.records import Image

CONFINED = pytest.param("venv", marks=pytest.mark.sandbox)
DOCKER = pytest.param("docker", marks=pytest.mark.docker)
docker_only = pytest.mark.parametrize("engine", [DOCKER], indirect=True)
confined_only = pytest.mark.parametrize("engine", [CONFINED, DOCKER], indirect=True)
CONFINEMENT = {"venv": "bubblewrap", "docker": "docker"}
MB = 1 << 20


def make_wheel(folder: Path) -> str:
    """A package `tinybench` of one line; returns its line of a lock."""
    folder.mkdir(parents=True)
    wheel = folder / "tinybench-1-py3-none-any.whl"
    files = {
        "tinybench.py": "answer = 42\n",
        "tinybench-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: tinybench\nVersion: 1\n",
        "tinybench-1.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "".join(f"{name},,\n" for name in (*files, "tinybench-1.dist-info/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, "tinybench-1.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return f"tinybench==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def make_recipe(root: Path, name: str, lock: str) -> None:
    """An image that is made as the one of tflite-runtime is."""
    (root / name).mkdir(parents=True)
    dockerfile = (recipe.dockerfiles() / "tflite-runtime" / "Dockerfile").read_text("utf-8")
    (root / name / "Dockerfile").write_text(dockerfile, "utf-8")
    (root / name / "requirements.lock").write_text(lock, "utf-8")


def engine_over(name: str, root: Path) -> ContainerEngine:
    if name != "docker":
        from harness.containers.venv import VenvEngine

        engine = VenvEngine(root)
        engine.confinement = "none" if name == "unconfined" else engine.confinement
        return engine
    from harness.containers.docker import DockerEngine

    return DockerEngine(root)


def fetch_uv(place: Path) -> None:
    """What every build installs first: its lock, and its wheel into the folder of wheels."""
    lock = place / "dockerfiles" / "uv.lock"
    shutil.copyfile(recipe.dockerfiles() / "uv.lock", lock)
    argv = ("download", "--quiet", "--no-deps", "--only-binary", ":all:", "-r", str(lock))
    subprocess.run([sys.executable, "-m", "pip", *argv, "-d", str(place / "wheels")], check=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of recipes, packages from a folder of wheels only, an empty cache."""
    place = tmp_path_factory.mktemp("engines")
    line = make_wheel(place / "wheels")
    make_recipe(place / "dockerfiles", "tiny", line)
    make_recipe(place / "dockerfiles", "broken", line.replace("sha256:", "sha256:0")[:-2] + "\n")
    fetch_uv(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(place / "wheels"))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("BENCH_CACHE", str(place / "cache"))
        yield place / "dockerfiles"


@pytest.fixture(scope="module", params=["venv", "unconfined", DOCKER])
def engine(request: pytest.FixtureRequest, root: Path) -> Iterator[ContainerEngine]:
    made = engine_over(request.param, root)
    yield made
    for built in made.built():
        if built.name == "tiny":
            made.remove(built)
    made.close()


@pytest.fixture(scope="module")
def image(engine: ContainerEngine, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return engine.build("tiny", tmp_path_factory.mktemp("logs") / "tiny.log")


def job(folder: Path, code: str, *arguments: str) -> JobSpec:
    return JobSpec(("-c", textwrap.dedent(code), *arguments), folder / "log.txt", timeout_s=60)


def said(engine: ContainerEngine, image: Image, folder: Path, code: str) -> str:
    done = engine.run(image, job(folder, code))
    assert done.exit_code == 0, done.output
    return done.output.strip()


# ---- building ----------------------------------------------------------------------------------


def test_the_packages_of_the_lock_are_in_the_image(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    assert said(engine, image, tmp_path, "import tinybench; print(tinybench.answer)") == "42"


def test_an_unchanged_image_is_not_built_again(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    again = engine.build("tiny", tmp_path / "again.log")
    assert replace(again, cached=image.cached, seconds=image.seconds) == image
    assert again.cached
    assert again.seconds < 1
    assert not (tmp_path / "again.log").exists()


def test_what_is_built_is_listed_under_its_reference(engine: ContainerEngine, image: Image) -> None:
    (found,) = (built for built in engine.built() if built.reference == image.reference)
    assert found.name == "tiny"
    assert found.size_bytes > 0
    assert engine.reference("tiny") == image.reference


def test_a_changed_lock_makes_another_image(
    engine: ContainerEngine, image: Image, root: Path, tmp_path: Path
) -> None:
    make_recipe(tmp_path, "tiny", (root / "tiny" / "requirements.lock").read_text() + "# more\n")
    other = engine_over(engine.name, tmp_path)
    assert other.reference("tiny") != image.reference
    other.close()


def test_a_failed_build_shows_its_last_lines_and_where_all_of_it_is(
    engine: ContainerEngine, tmp_path: Path
) -> None:
    seen: list[str] = []
    log = tmp_path / "broken.log"
    with pytest.raises(StepFailed) as caught:
        engine.build("broken", log, seen.append)
    assert "broken failed:\n" in caught.value.message
    assert "tinybench" in caught.value.message
    assert len(caught.value.message.splitlines()) <= 16
    assert str(log) in caught.value.hint
    assert log.read_text("utf-8").splitlines() == seen
    assert "broken" not in {built.name for built in engine.built()}


def test_an_unknown_image_is_named_with_its_neighbour(
    engine: ContainerEngine, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        engine.build("tini", tmp_path / "log.txt")
    assert caught.value.message == "unknown image 'tini'; did you mean 'tiny'?"
    assert caught.value.hint == "Name one of broken, tiny."


# ---- running -----------------------------------------------------------------------------------


def test_exit_code_and_both_outputs_come_back(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    code = r"import os, sys; os.write(1, b'out\n'); os.write(2, b'err\n'); sys.exit(7)"
    done = engine.run(image, job(tmp_path, code))
    assert done.exit_code == 7
    assert sorted(done.output.split()) == ["err", "out"]
    assert (tmp_path / "log.txt").read_text() == done.output
    assert 0 < done.seconds < 60


@pytest.mark.parametrize("word", ["a b", "it's", "$HOME", "*", "", "ü", "a;b", 'q"q', "-x"])
def test_arguments_arrive_unchanged(
    engine: ContainerEngine, image: Image, tmp_path: Path, word: str
) -> None:
    code = "import sys; print(ascii(sys.argv[1]))"
    assert engine.run(image, job(tmp_path, code, word)).output.strip() == ascii(word)


def test_unicode_arrives_line_by_line(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    lines: list[str] = []
    done = engine.run(image, job(tmp_path, "print('Größe 📏'); print('完')"), lines.append)
    assert lines == ["Größe 📏", "完"]
    assert done.output == "Größe 📏\n完\n"


def test_long_output_is_cut_in_memory_and_whole_in_the_log(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    done = engine.run(image, job(tmp_path, "print('x' * 200_000 + 'end')"))
    assert len(done.output) == 64 * 1024
    assert done.output.endswith("end\n")
    assert (tmp_path / "log.txt").stat().st_size == 200_004


def test_a_job_runs_on_its_cpus(engine: ContainerEngine, image: Image, tmp_path: Path) -> None:
    last = max(os.sched_getaffinity(0))
    code = "import os; print(*sorted(os.sched_getaffinity(0)))"
    done = engine.run(image, replace(job(tmp_path, code), cpus=(last,)))
    assert done.output.split() == [str(last)]


def test_more_memory_than_allowed_is_out_of_memory(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    greedy = replace(job(tmp_path, "x = b'x' * (600 << 20)"), memory_bytes=200 * MB)
    with pytest.raises(OutOfMemory) as caught:
        engine.run(image, greedy)
    assert "memory limit of 210 MB" in caught.value.message
    assert str(tmp_path / "log.txt") in caught.value.hint


def test_a_job_past_its_deadline_is_ended_with_its_children(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    code = """
        import subprocess, sys, time
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(71.25)"])
        print("begun")
        time.sleep(71.25)
    """
    began = time.monotonic()
    with pytest.raises(JobTimeout) as caught:
        engine.run(image, replace(job(tmp_path, code), timeout_s=2))
    assert caught.value.message == "the job exceeded its deadline of 2 s and was stopped"
    assert (tmp_path / "log.txt").read_text() == "begun\n"
    assert time.monotonic() - began < 30
    assert gone("71.25")


def test_an_interrupt_leaves_nothing_running(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    code = "import time; print('begun'); time.sleep(72.25)"
    with pytest.raises(KeyboardInterrupt):
        engine.run(image, job(tmp_path, code), interrupt)
    assert gone("72.25")


def test_a_killed_bench_leaves_nothing_after_the_next_start(
    engine: ContainerEngine, image: Image, root: Path, tmp_path: Path
) -> None:
    code = f"""
        from pathlib import Path
        from harness.containers import JobSpec
        from harness.containers.{engine.name} import {engine.name.capitalize()}Engine
        from harness.records import Image
        sleep = ("-c", "import time; print('begun'); time.sleep(73.25)")
        log = Path({str(tmp_path / "log.txt")!r})
        {engine.name.capitalize()}Engine().run({image!r}, JobSpec(sleep, log), print)
    """
    argv = [sys.executable, "-u", "-c", textwrap.dedent(code)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout is not None
        assert bench.stdout.readline() == "begun\n"
        bench.kill()
    engine_over(engine.name, root).close()
    assert gone("73.25")


def test_a_job_writes_where_it_may_and_the_caller_can_read_and_delete_it(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    folder = tmp_path / "job"
    (folder / "deep").mkdir(parents=True)
    mount = Mount(folder, "/job", writable=True)
    code = f"""
        import pathlib
        folder = pathlib.Path({engine.locate(mount)!r})
        (folder / "deep" / "result").write_text("done")
    """
    done = engine.run(image, replace(job(tmp_path, code), mounts=(mount,)))
    assert done.exit_code == 0, done.output
    result = folder / "deep" / "result"
    assert result.read_text() == "done"
    result.unlink()


def test_only_the_environment_that_is_asked_for_arrives(
    engine: ContainerEngine, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_SECRET", "1")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    code = "import os; print([os.environ.get(n) for n in ('BENCH_SECRET', 'PYTHONPATH', 'OURS')])"
    done = engine.run(image, replace(job(tmp_path, code), env={"OURS": "ü"}))
    assert done.output.strip() == "[None, None, 'ü']"


def test_the_temporary_folder_can_be_written(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    code = "import tempfile, pathlib; f = tempfile.mkdtemp(); pathlib.Path(f, 'x').write_text('x')"
    said(engine, image, tmp_path, code)


# ---- what only a sandbox promises --------------------------------------------------------------


@confined_only
def test_its_name_goes_with_the_image(engine: ContainerEngine, image: Image) -> None:
    assert image.confinement == engine.confinement == CONFINEMENT[engine.name]


@confined_only
def test_a_container_has_no_network(engine: ContainerEngine, image: Image, tmp_path: Path) -> None:
    code = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert said(engine, image, tmp_path, code) == "['lo']"


@confined_only
@pytest.mark.parametrize("path", ["/new", "/usr/new", "{environment}/new", "{seen}/new"])
def test_a_container_cannot_write_outside_its_own(
    engine: ContainerEngine, image: Image, tmp_path: Path, path: str
) -> None:
    tmp_path.chmod(0o777)
    mount = Mount(tmp_path, "/seen")
    environment = image.reference if engine.name == "venv" else "/opt/bench"
    path = path.format(environment=environment, seen=engine.locate(mount))
    done = engine.run(image, replace(job(tmp_path, f"open({path!r}, 'w')"), mounts=(mount,)))
    assert done.exit_code == 1
    assert "Read-only file system" in done.output


@confined_only
def test_a_container_s_user_is_not_root(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    assert int(said(engine, image, tmp_path, "import os; print(os.getuid())")) > 0


@docker_only
def test_no_program_is_run_from_a_container_s_tmp(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    code = """
        import os, subprocess
        with open("/tmp/program", "w") as file:
            file.write("#!/bin/sh\\necho ran\\n")
        os.chmod("/tmp/program", 0o755)
        try:
            subprocess.run(["/tmp/program"])
        except PermissionError:
            print("refused")
    """
    assert said(engine, image, tmp_path, code) == "refused"


def test_a_job_has_limits_of_files_and_leaves_no_core(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    code = """
        import resource
        for name in ("NOFILE", "CORE", "FSIZE"):
            print(*resource.getrlimit(getattr(resource, f"RLIMIT_{name}")))
    """
    done = engine.run(image, replace(job(tmp_path, code), disk_bytes=50 * MB))
    most = 50 * MB
    assert done.output == f"4096 4096\n0 0\n{most} {most}\n"


def test_a_job_that_fills_the_disk_is_ended_with_one_line(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    mount = Mount(tmp_path / "job", "/job", writable=True)
    mount.host.mkdir()
    code = f"""
        import time
        for number in range(60):
            with open({engine.locate(mount)!r} + f"/{{number}}", "wb") as file:
                file.write(bytes(1 << 20))
        time.sleep(60)
    """
    with pytest.raises(StepFailed) as caught:
        engine.run(image, replace(job(tmp_path, code), mounts=(mount,), disk_bytes=20 * MB))
    assert caught.value.message == "the job wrote more than 21 MB; it was stopped"


@confined_only
def test_a_container_has_no_rights(engine: ContainerEngine, image: Image, tmp_path: Path) -> None:
    status = said(engine, image, tmp_path, "print(open('/proc/self/status').read())").splitlines()
    fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    assert {fields[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"


@docker_only
def test_an_image_keeps_nothing_of_the_build(
    engine: ContainerEngine, image: Image, tmp_path: Path
) -> None:
    code = "import os; print(sorted(os.listdir('/opt')), os.path.exists('/inputs'))"
    assert said(engine, image, tmp_path, code) == "['bench'] False"


@docker_only
def test_containers_of_a_killed_process_are_removed_and_of_others_are_not(
    engine: ContainerEngine, image: Image, root: Path
) -> None:
    import docker as package

    client = package.from_env()
    host, _, started = owner.ME.split()
    owners = {"dead": f"{host} {2**22 + 1} {started}", "other": f"elsewhere {os.getpid()} 1"}
    made = {
        who: client.api.create_container(image.digest, ["python"], labels={"bench.owner": label})
        for who, label in owners.items()
    }
    try:
        engine_over("docker", root).close()
        left = {c["Id"] for c in client.api.containers(all=True)}
        assert made["dead"]["Id"] not in left
        assert made["other"]["Id"] in left
    finally:
        client.api.remove_container(made["other"]["Id"])
        client.close()


@docker_only
def test_no_container_is_left(engine: ContainerEngine) -> None:
    import docker as package

    client = package.from_env()
    label = {"label": f"bench.owner={owner.ME}"}
    assert client.api.containers(all=True, filters=label) == []
    client.close()


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("pytorch", "torch"),
        ("torchscript", "torch"),
        ("onnx", "torch, onnx, onnxscript, onnxslim, onnxruntime"),
        ("openvino", "torch, onnx, openvino"),
        ("tflite", "torch, litert_torch, ai_edge_quantizer, ai_edge_litert.interpreter"),
        ("tflite-runtime", "tflite_runtime.interpreter"),
        ("savedmodel", "tensorflow, keras, tf_keras, onnxslim, onnxruntime, tf2onnx, onnx_ir"),
        ("savedmodel", "onnx2tf, ai_edge_litert"),
    ],
)
def test_every_image_has_its_runtime(tmp_path: Path, name: str, modules: str) -> None:
    engine = choose("docker")
    try:
        built = engine.build(name, tmp_path / "build.log")
        said(engine, built, tmp_path, f"import {modules}")
    finally:
        engine.close()


def gone(word: str) -> bool:
    """Whether no process with `word` is left within a second."""
    deadline = time.monotonic() + 1
    while still_running(word) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not still_running(word)


def still_running(word: str) -> bool:
    """Whether a process of this machine has `word` in its command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(word.encode() in path.read_bytes())
        except OSError:
            continue
    return any(found)
