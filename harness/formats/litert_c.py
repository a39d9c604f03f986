"""LiteRT's own profiler through its C API: the Python interpreter has none.

`libLiteRt.so` is in the wheel next to the interpreter. Its `CompiledModel` runs the same file with
the same XNNPACK. Calls and options as in litert/c/*.h and litert/c/options/*.cc of LiteRT 2; every
option is an identifier and a piece of TOML.
"""

from __future__ import annotations

import ctypes
import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, NoReturn, Sequence, Tuple

import numpy as np

LIBRARY = "libLiteRt.so"

#: `LiteRtHwAccelerators`: CPU; `LiteRtTensorBufferLockMode`: write; signature 0
_CPU, _WRITE, _SIGNATURE = 1, 1, 0
#: environment options: accelerators that are registered, and the severity that is printed
_TAG_ACCELERATORS, _TAG_SEVERITY, _ANY_INT, _SEVERITY_ERROR = 24, 25, 2, 3
#: `LiteRtRankedTensorType` is filled and read by the library only; bytes that are more than enough
_TYPE_BYTES = 512

#: `tflite::Profiler::EventType`: a node of the graph; an operator inside of a delegate
OPERATOR, DELEGATE_OPERATOR = 1 << 1, 1 << 3
#: all event types and sources; another one says that this library's events look otherwise
_TYPES, _SOURCES = {1 << n for n in range(9)}, {0, 1, 2}
#: so many times the bytes that its events should need, in case they are longer
_SPARE = 2


#: what goes into each input, by the file's name of it
Feed = Mapping[str, np.ndarray]


class Event(NamedTuple):
    """One timed operator in one run."""

    type: int
    tag: str
    #: in the graph, or in the delegate's partition
    number: int
    us: int


class _Any(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("value", ctypes.c_int64)]


class _EnvOption(ctypes.Structure):
    _fields_ = [("tag", ctypes.c_int), ("value", _Any)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory_before", ctypes.c_int64 * 3),
        ("memory_after", ctypes.c_int64 * 3),
        ("index", ctypes.c_uint64),
        ("more", ctypes.c_uint64),
        ("source", ctypes.c_int),
    ]


class ProfilerMissing(Exception):
    """This wheel or model provides no profile; the message says why."""


def events(
    package: Path, model: Path, threads: int, inputs: Sequence[Feed], warm: int
) -> List[List[Event]]:
    """One list per run, one run per input, without the warm-up runs. Raises ProfilerMissing."""
    found = in_child(lambda: _events(package, model, threads, inputs, warm))
    return [[Event(*event) for event in run] for run in found]


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` returns, as plain JSON; the libraries that it loads are gone afterwards.

    Runs in a child process, so that a crash of a library is only an error.
    Raises ProfilerMissing.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        _answer(write, work)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise ProfilerMissing("LiteRT's C API crashed: signal %d" % os.WTERMSIG(status))
    answer = json.loads(said or '{"missing": "no output from the child process"}')
    if "missing" in answer:
        raise ProfilerMissing(answer["missing"])
    return answer["found"]


def _answer(write: int, work: Callable[[], Any]) -> NoReturn:
    """The child process: writes its result and exits without the parent's cleanup."""
    try:
        answer: Dict[str, Any] = {"found": work()}
    except ProfilerMissing as error:
        answer = {"missing": str(error)}
    except BaseException as error:  # a bug of ours is told like the library's
        answer = {"missing": repr(error)}
    try:
        with os.fdopen(write, "w", encoding="utf-8") as pipe:
            json.dump(answer, pipe)
    finally:
        os._exit(0)


def _events(
    package: Path, model: Path, threads: int, inputs: Sequence[Feed], warm: int
) -> List[List[Event]]:
    try:
        library = ctypes.CDLL(str(package / LIBRARY))
    except OSError as error:
        raise ProfilerMissing("no %s next to the interpreter: %s" % (LIBRARY, error)) from error
    with ExitStack() as stack:
        profiled = _Profiled(library, stack, model, threads)
        return profiled.run(inputs, warm)


class _Profiled:
    """A compiled model with its profiler; everything is freed when the stack unwinds."""

    def __init__(self, library: Any, stack: ExitStack, model: Path, threads: int) -> None:
        self._library, self._stack = library, stack
        settings = (_EnvOption * 2)(
            _EnvOption(_TAG_ACCELERATORS, _Any(_ANY_INT, _CPU)),
            _EnvOption(_TAG_SEVERITY, _Any(_ANY_INT, _SEVERITY_ERROR)),
        )
        self._environment = self._made("Environment", ctypes.c_int(2), settings)
        self._model = self._made("ModelFromFile", self._environment, str(model).encode())
        self._kept: List[Any] = []
        options = self._options(
            {"xnnpack": "num_threads = %d\n" % threads,
             "runtime_options_string": "enable_profiling = true\n"}
        )  # fmt: skip
        self._compiled = self._made("CompiledModel", self._environment, self._model, options)
        self._profiler = ctypes.c_void_p()
        self._call("LiteRtCompiledModelGetProfiler", self._compiled, ctypes.byref(self._profiler))
        if not self._profiler:
            raise ProfilerMissing("LiteRT has no profiler for this model")
        signature = ctypes.c_void_p()
        first = ctypes.c_size_t(_SIGNATURE)
        self._call("LiteRtGetModelSignature", self._model, first, ctypes.byref(signature))
        self._names: List[str] = []
        self._inputs = self._buffers(signature, "Input", self._names)
        self._outputs = self._buffers(signature, "Output", [])

    def run(self, inputs: Sequence[Feed], warm: int) -> List[List[Event]]:
        """Warm runs without the profiler, then one run an input with it."""
        for feed in [inputs[i % len(inputs)] for i in range(warm)]:
            self._invoke(feed)
        found = []
        for feed in inputs:
            self._call("LiteRtResetProfiler", self._profiler)
            self._call("LiteRtStartProfiler", self._profiler)
            self._invoke(feed)
            self._call("LiteRtStopProfiler", self._profiler)
            found.append(self._events())
        return found

    def _invoke(self, feed: Feed) -> None:
        for name, buffer in zip(self._names, self._inputs):
            if len(feed) > 1 and name not in feed:
                raise ProfilerMissing("LiteRT's C API names an input %s" % name)
            tensor = feed[name] if name in feed else next(iter(feed.values()))
            self._fill(ctypes.c_void_p(buffer), np.ascontiguousarray(tensor))
        self._call(
            "LiteRtRunCompiledModel",
            *(self._compiled, ctypes.c_size_t(_SIGNATURE)),
            *(ctypes.c_size_t(len(self._inputs)), self._inputs),
            *(ctypes.c_size_t(len(self._outputs)), self._outputs),
        )

    def _fill(self, buffer: ctypes.c_void_p, data: np.ndarray) -> None:
        there, size = ctypes.c_void_p(), ctypes.c_size_t()
        self._call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        if size.value != data.nbytes:
            raise ProfilerMissing("the input has %d bytes, expected %d" % (size.value, data.nbytes))
        write = ctypes.c_int(_WRITE)
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(there), write)
        ctypes.memmove(there, data.ctypes.data, data.nbytes)
        self._call("LiteRtUnlockTensorBuffer", buffer)

    def _events(self) -> List[Event]:
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        if count.value <= 0:
            raise ProfilerMissing("LiteRT's profiler recorded nothing")
        made = (_Event * (_SPARE * count.value))()
        self._call("LiteRtGetProfilerEvents", self._profiler, count, made)
        seen = made[: count.value]
        if any(e.type not in _TYPES or e.source not in _SOURCES for e in seen):
            raise ProfilerMissing("the event layout differs from LiteRT 2")
        return [Event(e.type, (e.tag or b"").decode(), e.index, e.elapsed_us) for e in seen]

    def _options(self, texts: Dict[str, str]) -> ctypes.c_void_p:
        made = self._made("Options")
        self._call("LiteRtSetOptionsHardwareAccelerators", made, ctypes.c_int(_CPU))
        for identifier, text in texts.items():
            payload, opaque = ctypes.create_string_buffer(text.encode()), ctypes.c_void_p()
            keep = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
            self._kept += [payload, keep]  # the library keeps pointers to both
            self._call(
                "LiteRtCreateOpaqueOptions",
                identifier.encode(),
                payload,
                keep,
                ctypes.byref(opaque),
            )
            self._call("LiteRtAddOpaqueOptions", made, opaque)
        return made

    def _buffers(self, signature: ctypes.c_void_p, side: str, names: List[str]) -> Any:
        """One buffer a tensor, as the compiled model wants it; appends the tensors' names."""
        count = ctypes.c_size_t()
        self._call("LiteRtGetNumSignature%ss" % side, signature, ctypes.byref(count))
        made: Tuple[Any, ...] = ()
        for number in range(count.value):
            index, tensor, wanted = ctypes.c_size_t(number), ctypes.c_void_p(), ctypes.c_void_p()
            kind = ctypes.create_string_buffer(_TYPE_BYTES)
            by_index = "LiteRtGetSignature%sTensorByIndex" % side
            self._call(by_index, signature, index, ctypes.byref(tensor))
            name = ctypes.c_char_p()
            self._call("LiteRtGetTensorName", tensor, ctypes.byref(name))
            names.append((name.value or b"").decode())
            self._call("LiteRtGetRankedTensorType", tensor, kind)
            requirements = "LiteRtGetCompiledModel%sBufferRequirements" % side
            first = ctypes.c_size_t(_SIGNATURE)
            self._call(requirements, self._compiled, first, index, ctypes.byref(wanted))
            from_requirements = "ManagedTensorBufferFromRequirements"
            made += (self._made(from_requirements, self._environment, kind, wanted),)
        return (ctypes.c_void_p * len(made))(*made)

    def _made(self, what: str, *arguments: Any) -> ctypes.c_void_p:
        """`LiteRtCreate…`, whose last argument is where the new thing goes."""
        handle = ctypes.c_void_p()
        self._call("LiteRtCreate" + what, *arguments, ctypes.byref(handle))
        kind = "TensorBuffer" if what.startswith("ManagedTensor") else what.replace("FromFile", "")
        destroy = getattr(self._library, "LiteRtDestroy" + kind)
        destroy.restype = None
        self._stack.callback(destroy, handle)
        return handle

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise ProfilerMissing("this LiteRT has no %s" % name)
        if status := function(*arguments):
            raise ProfilerMissing("%s: status %d" % (name, status))
