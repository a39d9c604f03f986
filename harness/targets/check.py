"""`bench devices`: list devices, say why one is unavailable, diagnose one, clean one.

Returns records, prints nothing. Devices are examined in parallel, with a short timeout.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from .. import kinds, runtimes, transports
from ..bugs import bug_report
from ..containers import EngineName, docker_available
from ..errors import BenchError, DeviceLost, StepFailed
from ..formats import REGISTRY
from ..kinds import KindSpec
from ..kinds.answers import number
from ..ondevice import lease
from ..printable import last_line
from ..records import DeviceFacts, DeviceSpec, DeviceState
from ..transports import Transport
from ..workspace import cache_root

State = Literal["ready", "busy", "unfit", "unreachable", "failed"]
Outcome = Literal["ok", "failed", "skipped"]

#: a device that has not told all by then is listed as one that does not answer
PATIENCE_S = 20.0
#: room for one bundle, one model and one dataset of images
LEAST_FREE_BYTES = 300 * 10**6
#: of a diagnosis, in order
STEPS = ("connect", "authorise", "kind", "lease", "space", "steady", "runtime", "inference")


@dataclass(frozen=True)
class CheckedDevice:
    """One line of the list."""

    name: str
    kind: str
    transport: str
    address: str
    labels: tuple[str, ...]
    emulated: bool
    state: State
    #: why it cannot be used, and what to do about it
    reason: str = ""
    hint: str = ""
    facts: DeviceFacts | None = None
    now: DeviceState | None = None


@dataclass(frozen=True)
class Check:
    """One step of a diagnosis."""

    step: str
    outcome: Outcome
    #: what was seen, or what went wrong
    seen: str
    hint: str = ""


@dataclass(frozen=True)
class Cleaned:
    """What was restored and removed."""

    name: str
    restored: tuple[str, ...]
    removed: tuple[str, ...]
    bytes: int


#: makes a runtime ready on a device, or runs one inference with it; says what was seen.
#: Raises BenchError
Trial = Callable[[Transport, DeviceSpec, DeviceFacts], str]


def workdir_of(spec: DeviceSpec, facts: DeviceFacts) -> str:
    """The folder of bench's files; on this machine that is in the cache."""
    return str(cache_root() / "device") if spec.transport == "local" else facts.workdir


# ---- the list ----------------------------------------------------------------------------------


def look_at_all(specs: Sequence[DeviceSpec], patience_s: float = PATIENCE_S) -> list[CheckedDevice]:
    """Every device with its state, in the given order; each may take `patience_s`."""
    answers: queue.SimpleQueue[tuple[str, CheckedDevice]] = queue.SimpleQueue()
    for spec in specs:
        threading.Thread(target=_answer, args=(spec, answers), daemon=True).start()
    found: dict[str, CheckedDevice] = {}
    until = time.monotonic() + patience_s
    while len(found) < len(specs):
        try:
            name, answer = answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        found[name] = answer
    silent = f"no answer within {patience_s:g} s"
    return [
        found.get(s.name) or _device(s, "unreachable", silent, "Switch it on and connect it.")
        for s in specs
    ]


def _answer(spec: DeviceSpec, answers: queue.SimpleQueue[tuple[str, CheckedDevice]]) -> None:
    try:
        answers.put((spec.name, look_at(spec)))
    except Exception as error:  # whatever it is, the other devices are listed
        line, hint = _bug(error, spec)
        answers.put((spec.name, _device(spec, "failed", line, hint)))


def _bug(error: Exception, spec: DeviceSpec) -> tuple[str, str]:
    """One line, and a hint with the path of the text for an issue."""
    report = bug_report(error, f"the examination of {spec.name}")
    path = cache_root() / "logs" / f"bug-{spec.name}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.text, encoding="utf-8")
    except OSError:  # a full disk is no reason to lose the line
        return report.line, ""
    return report.line, f"Report it with the contents of {path}."


def look_at(spec: DeviceSpec) -> CheckedDevice:
    """Examine one device without changing it; an error becomes its state."""
    try:
        transport = transports.connect(spec)
    except BenchError as error:
        return _device(spec, "unreachable", error.message, error.hint)
    try:
        return _look_at(transport, spec)
    except DeviceLost as error:
        return _device(spec, "unreachable", error.message, error.hint)
    except BenchError as error:
        return _device(spec, "unfit", error.message, error.hint)
    finally:
        transport.close()


def _look_at(transport: Transport, spec: DeviceSpec) -> CheckedDevice:
    kind = kinds.find(spec.kind)
    facts = kind.read_facts(transport)
    now = kind.read_state(transport)
    holder = lease.holder(transport, workdir_of(spec, facts), kind.SPEC.leases)
    if holder is not None:
        why = lease.InUse(spec.name, holder)
        return _device(spec, "busy", why.message, why.hint, facts, now)
    reasons = unfit(spec, facts, now)
    if reasons:
        return _device(spec, "unfit", "; ".join(reasons), "", facts, now)
    return _device(spec, "ready", "", "", facts, now)


def _device(
    spec: DeviceSpec,
    state: State,
    reason: str,
    hint: str,
    facts: DeviceFacts | None = None,
    now: DeviceState | None = None,
) -> CheckedDevice:
    return CheckedDevice(
        spec.name, spec.kind, spec.transport, spec.address, spec.labels, spec.emulated,
        state, reason, hint, facts, now,
    )  # fmt: skip


def unfit(spec: DeviceSpec, facts: DeviceFacts, now: DeviceState) -> list[str]:
    """Every reason why it cannot be used now; empty if it can."""
    reasons = []
    if now.battery_percent is not None and now.battery_percent < spec.min_battery_percent:
        reasons.append(
            f"battery at {now.battery_percent:.0f} %, below min_battery_percent "
            f"{spec.min_battery_percent:.0f} %"
        )
    if facts.free_bytes is not None and facts.free_bytes < LEAST_FREE_BYTES:
        reasons.append(
            f"{facts.free_bytes / 1e6:.0f} MB free in {facts.workdir}, "
            f"at least {LEAST_FREE_BYTES / 1e6:.0f} MB required"
        )
    here = spec.transport == "local"  # whose cells run in this machine's own engine
    if not here and not usable_runtimes(kinds.find(spec.kind).SPEC, facts):
        reasons.append("no compatible runtime: " + "; ".join(_lacking(spec, facts)))
    return reasons


def usable_runtimes(kind: KindSpec, facts: DeviceFacts) -> dict[str, list[str]]:
    """The kind's runtimes that can run a format there, best first, with the formats."""
    found: dict[str, list[str]] = {}
    for name, module in REGISTRY.items():
        runtime, _ = runtimes.first(kind.runtimes, module.SPEC.image, facts, _engine(facts))
        if runtime is not None:
            found.setdefault(runtime, []).append(name)
    return {name: found[name] for name in kind.runtimes if name in found}


def _lacking(spec: DeviceSpec, facts: DeviceFacts) -> list[str]:
    """Why each runtime or its formats cannot run there, each reason once."""
    reasons = []
    for name in kinds.find(spec.kind).SPEC.runtimes:
        runtime = runtimes.find(name)
        images = (module.SPEC.image for module in REGISTRY.values())
        whole = runtime.lacks(facts)
        said = [whole] if whole else [runtime.why_not(i, facts, _engine(facts)) for i in images]
        reasons.append(f"{name}: {'; '.join(dict.fromkeys(filter(None, said)))}")
    return reasons


def _engine(facts: DeviceFacts) -> EngineName:
    """The engine that builds images here; only checked if the device takes images."""
    return "docker" if facts.docker and _docker_is_here() else "venv"


@functools.cache
def _docker_is_here() -> bool:
    return docker_available() is None


# ---- the diagnosis -----------------------------------------------------------------------------


class _Stop(Exception):
    """A step failed; the following ones cannot be checked."""


def check(
    spec: DeviceSpec,
    runtime: Trial | None = None,
    infer: Trial | None = None,
    tell: Callable[[Check], None] = lambda check: None,
) -> list[Check]:
    """Diagnose a device by STEPS; those after a failed one are skipped. `tell` gets each result.

    The device is leased meanwhile; settings that a crashed session left are restored.
    """
    diagnosis = _Diagnosis(spec, tell)
    try:
        diagnosis.through(runtime, infer)
    except _Stop:
        diagnosis.skip_the_rest()
    except BenchError:
        raise
    except Exception as error:  # a bug costs the step that it happened in, and those after it
        diagnosis.bug(error)
        diagnosis.skip_the_rest()
    return diagnosis.done


class _Diagnosis:
    def __init__(self, spec: DeviceSpec, tell: Callable[[Check], None]) -> None:
        self.spec, self._tell = spec, tell
        self.done: list[Check] = []

    def add(self, check: Check) -> None:
        self.done.append(check)
        self._tell(check)

    def bug(self, error: Exception) -> None:
        """Fail the current step."""
        step = STEPS[min(len(self.done), len(STEPS) - 1)]
        self.add(Check(step, "failed", *_bug(error, self.spec)))

    def skip_the_rest(self) -> None:
        """Skip the steps after the failed one."""
        failed = self.done[-1].step
        for step in STEPS[STEPS.index(failed) + 1 :]:
            self.add(Check(step, "skipped", f"skipped after failed step `{failed}`"))

    def _ok(self, step: str, seen: str) -> None:
        self.add(Check(step, "ok", seen))

    def _failed(self, step: str, error: BenchError) -> _Stop:
        self.add(Check(step, "failed", error.message, error.hint))
        return _Stop()

    def through(self, runtime: Trial | None, infer: Trial | None) -> None:
        transport = self._connect()
        try:
            kind = kinds.find(self.spec.kind)
            facts = self._step("kind", lambda: kind.read_facts(transport), _facts_seen)
            workdir = workdir_of(self.spec, facts)
            with self._leased(transport, workdir, kind.SPEC.leases):
                self._step("space", lambda: space(transport, facts, workdir), str)
                self._step("steady", lambda: self._steady(transport, workdir), str)
                self._try("runtime", runtime, transport, facts, _runtimes_seen(kind.SPEC, facts))
                self._try("inference", infer, transport, facts, "not tried")
        finally:
            transport.close()

    def _connect(self) -> Transport:
        try:
            transport = transports.connect(self.spec)
        except DeviceLost as error:
            raise self._failed("connect", error) from error
        except StepFailed as error:  # somebody answered, and said no
            self._ok("connect", "answers")
            raise self._failed("authorise", error) from error
        except BenchError as error:
            raise self._failed("connect", error) from error
        self._ok("connect", self.spec.address or "this machine")
        self._ok("authorise", "accepted")
        return transport

    def _step(self, step: str, do: Callable[[], object], seen: Callable[..., str]) -> DeviceFacts:
        try:
            result = do()
        except BenchError as error:
            raise self._failed(step, error) from error
        self._ok(step, seen(result))
        return result  # type: ignore[return-value]

    @contextmanager
    def _leased(self, transport: Transport, workdir: str, shared: str) -> Iterator[None]:
        held = lease.hold(transport, workdir, lease.owner(), shared=shared)
        try:
            held.__enter__()
        except BenchError as error:
            raise self._failed("lease", error) from error
        self._ok("lease", "acquired")
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    def _steady(self, transport: Transport, workdir: str) -> str:
        kind = kinds.find(self.spec.kind)
        restored = kind.restore(transport, workdir)
        said = f"restored {', '.join(restored)}; " if restored else ""
        with kind.steady(transport, self.spec.steady, workdir) as in_force:
            held = ", ".join(in_force)
        return said + (f"applied and restored {held}" if held else "nothing to apply (no `steady`)")

    def _try(
        self,
        step: str,
        trial: Trial | None,
        transport: Transport,
        facts: DeviceFacts,
        otherwise: str,
    ) -> None:
        if trial is None:
            self.add(Check(step, "skipped", otherwise))
            return
        self._step(step, lambda: trial(transport, self.spec, facts), str)


def space(transport: Transport, facts: DeviceFacts, workdir: str) -> str:
    """Check free space, and that programs can be written and run. Raises StepFailed."""
    if facts.free_bytes is not None and facts.free_bytes < LEAST_FREE_BYTES:
        raise StepFailed(
            f"{facts.free_bytes / 1e6:.0f} MB free in {workdir}, "
            f"at least {LEAST_FREE_BYTES / 1e6:.0f} MB required",
            "Free some space on the device; `bench devices clean` removes bench's files.",
        )
    done = transport.run(["sh", "-c", _TRY_OUT, "sh", workdir], timeout_s=30.0)
    if done.text.strip() != "runs":
        said = last_line(done.stderr + done.stdout) or "no output"
        raise StepFailed(
            f"a program in {workdir} does not run: {said}",
            "Give this user write access, and mount the file system without noexec.",
        )
    free = "" if facts.free_bytes is None else f", {facts.free_bytes / 1e9:.1f} GB free"
    return f"{workdir} is usable{free}"


#: workdir: writes a program there and runs it
_TRY_OUT = r"""
mkdir -p "$1" || exit 1
trial=$1/.trial.$$
shell=/bin/sh; [ -x "$shell" ] || shell=/system/bin/sh
printf '#!%s\necho runs\n' "$shell" >"$trial" && chmod 755 "$trial" && "$trial"
code=$?
rm -f "$trial"
exit $code
"""


def _facts_seen(facts: DeviceFacts) -> str:
    parts = (facts.model, facts.soc, facts.arch, facts.os, facts.build, facts.driver)
    return ", ".join(dict.fromkeys(part for part in parts if part))


def _runtimes_seen(kind: KindSpec, facts: DeviceFacts) -> str:
    usable = usable_runtimes(kind, facts)
    listed = (f"{name} ({', '.join(formats)})" for name, formats in usable.items())
    return "not tried; compatible: " + ("; ".join(listed) or "none")


# ---- cleaning ----------------------------------------------------------------------------------

#: workdir, whether images of ours are to go: removes it and what is beside it, says what
_CLEAN = r"""
folder=${1%/*} base=${1##*/}
case $base in bench|bench-device|device) ;; *) echo "not a bench folder: $1" >&2; exit 1 ;; esac
kib=0
for path in "$1" "$folder/.$base.pushed" "$folder/.$base".*.part; do
  [ -e "$path" ] || continue
  size=$(du -sk "$path" 2>/dev/null) && kib=$((kib + ${size%%[!0-9]*}))
  rm -rf "$path" && echo "removed=$path"
  [ ! -e "$path" ] || exit 1
done
if [ "$2" = images ] && command -v docker >/dev/null 2>&1; then
  for image in $(docker images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null </dev/null); do
    case $image in bench/*)
      docker rmi --force "$image" >/dev/null 2>&1 </dev/null && echo "removed=image $image" ;;
    esac
  done
fi
echo "kib=$kib"
"""


def clean(spec: DeviceSpec) -> Cleaned:
    """Restore settings, and remove all of bench's files. Raises StepFailed, DeviceLost.

    On this machine, images and caches stay.
    """
    transport = transports.connect(spec)
    try:
        kind = kinds.find(spec.kind)
        workdir = workdir_of(spec, kind.read_facts(transport))
        with lease.hold(transport, workdir, lease.owner(), shared=kind.SPEC.leases):
            restored = kind.restore(transport, workdir)
            removed, size = _remove(transport, spec, workdir)
        return Cleaned(spec.name, restored, removed, size)
    finally:
        transport.close()


def _remove(transport: Transport, spec: DeviceSpec, workdir: str) -> tuple[tuple[str, ...], int]:
    images = "" if spec.transport == "local" else "images"
    done = transport.run(["sh", "-c", _CLEAN, "sh", workdir, images], timeout_s=600.0)
    pairs = [line.partition("=")[::2] for line in done.text.splitlines()]
    if done.exit_code != 0:
        raise StepFailed(
            f"{spec.name}: cannot remove all of {workdir}: {last_line(done.stderr)}",
            "Remove the folder on the device as its owner (perhaps a container's root).",
        )
    kib = next((number(value) for key, value in pairs if key == "kib"), None)
    return tuple(value for key, value in pairs if key == "removed"), int(kib or 0) * 1024
