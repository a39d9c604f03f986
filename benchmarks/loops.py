"""Our engine and its peers in one process, chunk by chunk in turn. Runs inside a format's image.

    loops.py FORMAT MODEL INPUTS.npy THREADS SECONDS SOURCE SPEC.json RESULTS PEER…

For each peer: pairs of chunks, ours and the peer's in changing order, for SECONDS; adds a line
`{"peer", "pairs": [[ours_ms, theirs_ms], …], "failure"}` to the file RESULTS. Used by fidelity.py.
"""

import argparse
import contextlib
import io
import json
import logging
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import bare
import numpy as np

from harness import formats
from harness.formats.engine import RuntimeOptions
from harness.records import ModelSpec
from harness.serial import loads

#: samples of a chunk; odd, so that everybody's median is the same one of them
CHUNK = 9


class Under:
    """What is measured: the model's file, our engine on it, and our 16 pictures in turn."""

    def __init__(self, name, path, inputs, threads, source, spec):
        self.name, self.path, self.threads, self.source = name, path, threads, source
        self.images = np.load(inputs)
        self.turn = 0
        model = loads(ModelSpec, Path(spec).read_bytes())
        options = RuntimeOptions(threads, "fp32", Path(source))
        self.engine = formats.REGISTRY[name].load(Path(path), model, options)

    def picture(self):
        """The next one, as a batch of one."""
        self.turn += 1
        return self.images[self.turn % len(self.images)][None]


def ours(under, whole):
    """As `harness.runner.loop`: the clock around `invoke`; `whole`: around the copy, too."""
    engine, clock = under.engine, time.perf_counter_ns

    def chunk():
        taken = []
        for _ in range(CHUNK):
            picture = under.picture()
            turned = clock()
            engine.feed((picture,))
            began = clock()
            engine.invoke()
            taken.append(clock() - (turned if whole else began))
        return [ns / 1e6 for ns in taken]

    return chunk


def bare_loop(under):
    """bare.py: the plainest loop that the runtime allows."""
    ready, call = bare.loaded(under.name, under.path, under.threads, under.source)

    def chunk():
        taken, clock = [], time.perf_counter_ns
        for _ in range(CHUNK):
            feed = ready(under.picture())
            began = clock()
            call(feed)
            taken.append(clock() - began)
        return [ns / 1e6 for ns in taken]

    return chunk


def loadgen(under):
    """MLCommons LoadGen, SingleStream, drives our engine; a chunk is a test, and its median."""
    import mlperf_loadgen as lg

    engine, folder = under.engine, tempfile.mkdtemp()

    def issue(queries):
        for query in queries:
            engine.feed((under.images[query.index][None],))
            engine.invoke()
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, 0, 0)])

    def chunk():
        settings = lg.TestSettings()
        settings.scenario = lg.TestScenario.SingleStream
        settings.mode = lg.TestMode.PerformanceOnly
        settings.min_duration_ms = 0
        settings.min_query_count = settings.max_query_count = CHUNK
        logs = lg.LogSettings()
        logs.log_output.outdir = folder
        logs.log_output.copy_summary_to_stdout = False
        system = lg.ConstructSUT(issue, lambda: None)
        count = len(under.images)
        library = lg.ConstructQSL(count, count, lambda s: None, lambda s: None)
        lg.StartTestWithLogSettings(system, library, settings, logs)
        lg.DestroyQSL(library)
        lg.DestroySUT(system)
        summary = Path(folder, "mlperf_log_summary.txt").read_text()
        return found(r"50\.00 percentile latency \(ns\)\s*: (\d+)", summary) / 1e6

    return chunk


def onnxruntime_test(under):
    """onnxruntime.tools.onnxruntime_test: one picture again and again, and a mean of its own."""
    import onnxruntime
    from onnxruntime.tools import onnxruntime_test as tool

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = under.threads
    session = onnxruntime.InferenceSession(under.path, options, ["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: under.picture()}

    class Runtime:
        """What the tool uses of onnxruntime; its session is the one that is warm."""

        InferenceSession = staticmethod(lambda *_, **__: session)
        get_available_providers = staticmethod(onnxruntime.get_available_providers)

    tool.onnxrt = Runtime

    def chunk():
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            tool.run_model(under.path, CHUNK, feeds=dict(feed))
        return found(r"avg latency: ([\d.]+) ms", printed.getvalue())

    return chunk


def benchmark_app(under):
    """The loop of OpenVINO's benchmark_app, `-api sync`: milliseconds as OpenVINO counts them."""
    import openvino
    from openvino.tools.benchmark.benchmark import Benchmark

    options = {"INFERENCE_NUM_THREADS": under.threads, "NUM_STREAMS": 1}
    compiled = openvino.Core().compile_model(
        under.path + "/model.xml", "CPU", {**options, "INFERENCE_PRECISION_HINT": "f32"}
    )
    app = Benchmark("CPU", number_iterations=CHUNK, api_type="sync", inference_only=False)
    (request,) = app.create_infer_requests(compiled)

    class Pictures:
        """Its queue of inputs."""

        get_next_batch_size = staticmethod(lambda: 1)
        get_next_input = staticmethod(lambda: {0: openvino.Tensor(under.picture())})

    return lambda: app.sync_inference(request, Pictures())[0]


def litert_benchmark(under):
    """litert-benchmark: `CompiledModel` on a random input, and it loads the model each time."""
    from ai_edge_litert.tools import benchmark_litert_model as tool

    logging.disable()
    sys.argv = [
        "litert-benchmark", f"--model={under.path}", f"--num_threads={under.threads}",
        f"--num_runs={CHUNK}", "--warmup_runs=4",
    ]  # fmt: skip
    arguments: argparse.Namespace = tool.parse_args()

    def chunk():
        with contextlib.redirect_stdout(io.StringIO()):
            return tool.run_benchmark(arguments)["latency"]["median_ms"]

    return chunk


#: peer -> its loop, what is compared of a chunk, and whether the copy of the input is in it
PEERS = {
    "bare loop": (bare_loop, statistics.median, False),
    "LoadGen": (loadgen, statistics.median, True),
    "onnxruntime_test": (onnxruntime_test, statistics.fmean, False),
    "benchmark_app": (benchmark_app, statistics.median, False),
    "litert-benchmark": (litert_benchmark, statistics.median, False),
}


def paired(mine, theirs, seconds, middle):
    """Milliseconds of both, chunk by chunk; which one is first changes every time."""

    def once(chunk):
        taken = chunk()
        return float(middle(taken)) if isinstance(taken, list) else float(taken)

    for _ in range(2):
        once(mine), once(theirs)
    pairs: list[tuple[float, float]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        order = (mine, theirs) if len(pairs) % 2 else (theirs, mine)
        took = {chunk: once(chunk) for chunk in order}
        pairs.append((took[mine], took[theirs]))
    return pairs


def found(pattern, text):
    """The number that it reported."""
    match = re.search(pattern, text)
    if match is None:
        raise ValueError("no " + pattern + " in what it reported: " + text[-300:])
    return float(match[1])


def main():
    name, path, inputs, threads, seconds, source, spec, results, *peers = sys.argv[1:]
    under = Under(name, path, inputs, int(threads), source, spec)
    for peer in peers:
        loop, middle, whole = PEERS[peer]
        said = {"peer": peer, "pairs": [], "failure": ""}
        try:
            said["pairs"] = paired(ours(under, whole), loop(under), float(seconds), middle)
        except Exception as error:  # another peer may run all the same; this one's words are told
            said["failure"] = f"{type(error).__name__}: {error}"
        with open(results, "a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
