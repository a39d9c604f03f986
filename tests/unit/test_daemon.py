"""Which Docker daemon is asked: the docker command's, and only one that sees our folders."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from harness.containers import JobSpec, Mount, choose, daemon, docker, docker_available, owner
from harness.errors import StepFailed

ROOTLESS = "unix:///run/user/1000/docker.sock"


def context(folder: Path, name: str, host: object, **more: object) -> dict[str, str]:
    meta = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, **more}}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": endpoints}))
    return {"DOCKER_CONFIG": str(folder)}


# ---- which one ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "current", "host", "undo"),
    [
        ({}, "", daemon.DEFAULT, ""),
        ({}, "default", daemon.DEFAULT, ""),
        ({}, "rootless", ROOTLESS, "docker context use default"),
        ({"DOCKER_CONTEXT": "desktop"}, "rootless", "unix:///desktop.sock", "unset DOCKER_CONTEXT"),
        ({"DOCKER_CONTEXT": "default"}, "rootless", daemon.DEFAULT, ""),
        ({"DOCKER_CONTEXT": ""}, "rootless", ROOTLESS, "docker context use default"),
        ({"DOCKER_HOST": "unix:///x"}, "rootless", "unix:///x", "unset DOCKER_HOST"),
        ({"DOCKER_HOST": "tcp://a:1", "DOCKER_CONTEXT": "desktop"}, "", "tcp://a:1",
         "unset DOCKER_HOST"),
        ({"DOCKER_HOST": ""}, "", daemon.DEFAULT, ""),
    ],
)  # fmt: skip
def test_the_daemon_is_the_one_that_the_docker_command_uses(
    tmp_path: Path, env: dict[str, str], current: str, host: str, undo: str
) -> None:
    where = context(tmp_path, "rootless", ROOTLESS)
    context(tmp_path, "desktop", "unix:///desktop.sock")
    if current:
        (tmp_path / "config.json").write_text(json.dumps({"currentContext": current, "auths": {}}))
    found = daemon.endpoint({**where, **env})
    assert (found.host, found.undo, bool(found.named)) == (host, undo, bool(undo))


@pytest.mark.parametrize("config", ["", "{", "[]", '{"currentContext": null}'])
def test_a_config_that_is_none_means_the_default_socket(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    assert daemon.endpoint({"DOCKER_CONFIG": str(tmp_path)}) == daemon.Endpoint(daemon.DEFAULT)


def test_the_config_is_in_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    context(tmp_path / ".docker", "alt", "unix:///alt.sock")
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "alt"}')
    assert daemon.endpoint({}).host == "unix:///alt.sock"


@pytest.mark.parametrize("host", [None, 5, ["unix:///x"]])
def test_a_context_without_a_host_is_named(tmp_path: Path, host: object) -> None:
    env = {**context(tmp_path, "odd", host), "DOCKER_CONTEXT": "odd"}
    assert daemon.unreachable(env) == "the context 'odd' is unreadable: unset DOCKER_CONTEXT"


def test_a_context_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "gone"}')
    assert daemon.unreachable({"DOCKER_CONFIG": str(tmp_path)}) == (
        "the context 'gone' is unreadable: docker context use default"
    )


def test_a_contexts_certificates_are_found(tmp_path: Path) -> None:
    env = {**context(tmp_path, "lab", "tcp://lab:2376"), "DOCKER_CONTEXT": "lab"}
    assert daemon.endpoint(env).tls is None
    folder = tmp_path / "contexts/tls" / hashlib.sha256(b"lab").hexdigest() / "docker"
    folder.mkdir(parents=True)
    assert daemon.endpoint(env).tls == folder


# ---- whether it answers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"DOCKER_HOST": "ssh://me@far"},
         "the daemon of DOCKER_HOST (ssh://me@far) cannot access this machine's folders: "
         "unset DOCKER_HOST"),
        ({"DOCKER_CONTEXT": "far"},
         "the daemon of the context 'far' (ssh://me@far) cannot access this machine's folders: "
         "unset DOCKER_CONTEXT"),
        ({"DOCKER_HOST": "unix:///nonexistent.sock"},
         "no daemon running at unix:///nonexistent.sock (DOCKER_HOST): start it as this user, "
         "or unset DOCKER_HOST"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:1"}, None),  # only the network knows
    ],
)  # fmt: skip
def test_a_daemon_that_cannot_be_used_is_named(
    tmp_path: Path, env: dict[str, str], why: str | None
) -> None:
    assert daemon.unreachable({**context(tmp_path, "far", "ssh://me@far"), **env}) == why


def test_the_contexts_socket_is_the_one_that_is_probed(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    env = {**context(tmp_path / "c", "alt", f"unix://{path}"), "DOCKER_CONTEXT": "alt"}
    assert daemon.unreachable(env) == (
        f"no daemon running at unix://{path} (the context 'alt'): start it as this user, "
        "or unset DOCKER_CONTEXT"
    )
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert daemon.unreachable(env) is None


# ---- a daemon that answers ---------------------------------------------------------------------


class Served(BaseHTTPRequestHandler):
    """As much of the engine's API as a start of ours asks for."""

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self._say(200, {"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
        elif self.path.endswith("/info"):
            self._say(200, {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]})
        else:
            self._say(200, [])

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (mount,) = asked["HostConfig"]["Mounts"]
        seen = self.server.folders  # type: ignore[attr-defined]
        seen.append(mount["Source"])
        if self.server.remote or not Path(mount["Source"]).is_dir():  # type: ignore[attr-defined]
            text = 'invalid mount config for type "bind": bind source path does not exist: '
            self._say(400, {"message": text + mount["Source"]})
        else:
            self._say(404, {"message": f"No such image: {asked['Image']}"})

    def _say(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(path: Path, remote: bool) -> Iterator[list[str]]:
    """The folders that it was asked to mount."""
    with socketserver.ThreadingUnixStreamServer(str(path), Served) as server:
        server.remote, server.folders = remote, []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.folders  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("named", ["DOCKER_HOST", "the context 'alt'", ""])
@pytest.mark.parametrize("remote", [False, True])
def test_a_daemon_that_does_not_see_our_folders_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, remote: bool
) -> None:
    """Another machine's, or one whose socket is mounted into the container that we are in."""
    path, cache = tmp_path / "d.sock", tmp_path / "cache"
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    undo = "export DOCKER_HOST=unix://… of a local daemon"
    if named == "DOCKER_HOST":
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        undo = "unset DOCKER_HOST"
    elif named:
        context(tmp_path, "alt", f"unix://{path}")
        (tmp_path / "config.json").write_text('{"currentContext": "alt"}')
        undo = "docker context use default"
    else:
        monkeypatch.setattr(daemon, "DEFAULT", f"unix://{path}")
    whose = f"of {named} " if named else ""
    why = f"the daemon {whose}(unix://{path}) cannot access {cache}: {undo}"
    with served(path, remote) as asked:
        assert docker_available() == (why if remote else None)
        if remote:
            with pytest.raises(StepFailed) as raised:
                choose("docker")
            assert raised.value.message == f"Docker unavailable: {why}"
    assert asked[0].startswith(f"{cache}/docker-sees-")
    assert list(cache.iterdir()) == []


def test_the_engine_works_with_the_daemon_that_was_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    for name, value in context(tmp_path, "alt", f"unix://{tmp_path}/d.sock").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DOCKER_CONTEXT", "alt")
    with served(tmp_path / "d.sock", remote=False):
        engine = choose("auto")
        assert engine.name == "docker"
        assert engine.built() == ()
        engine.close()


# ---- whose files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "rootless", "user", "given"),
    [
        (1000, None, "1000:1000", None),
        (1234, None, "1234:1234", None),
        (0, None, "1000:1000", 1000),
        (1000, 1000, "0:0", None),  # root in the container is the daemon's user outside
        (0, 1000, "0:0", 1000),
        (0, 0, "0:0", None),
    ],
)
def test_a_jobs_files_belong_to_whom_its_container_runs_as(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ours: int,
    rootless: int | None,
    user: str,
    given: int | None,
) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job/file").write_text("")
    changed: dict[str, int] = {}
    monkeypatch.setattr(os, "getuid", lambda: ours)
    monkeypatch.setattr(os, "getgid", lambda: ours)
    monkeypatch.setattr(
        os, "chown", lambda path, uid, gid, follow_symlinks: changed.update({path.name: uid})
    )
    mounts = (Mount(tmp_path, "/data"), Mount(tmp_path / "job", "/job", writable=True))
    assert docker._user(JobSpec((), tmp_path / "log", mounts), rootless) == user
    assert changed == ({} if given is None else {"job": given, "file": given})


def test_a_rootless_daemon_is_known_by_what_it_says_and_by_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}")
    assert docker._rootless_user(["name=seccomp,profile=builtin", "name=rootless"]) == os.getuid()
    assert docker._rootless_user(["name=userns", "name=apparmor"]) is None


# ---- whose containers --------------------------------------------------------------------------


def test_containers_of_a_process_that_is_gone_are_nobodys() -> None:
    host, pid, started = owner.ME.split(" ")
    assert owner.alive(owner.ME)
    assert not owner.alive(f"{host} {pid} 1")  # the number was given to another process
    assert not owner.alive(f"{host} 4194305 {started}")
    assert owner.alive(f"elsewhere {pid} 1")


@pytest.mark.parametrize("label", ["", "x", "host 1", f"{socket.gethostname()} x y", "a b c d"])
def test_a_label_that_is_not_ours_is_left_alone(label: str) -> None:
    assert owner.alive(label)


def test_without_proc_a_process_is_asked_for_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "Path", lambda path: Path("/nonexistent/proc"))
    me = f"{socket.gethostname()} {os.getpid()} ?"
    assert owner._started(os.getpid()) == "?"
    assert owner.alive(me)
    assert not owner.alive(f"{socket.gethostname()} 4194305 ?")
