"""What a device does while it is measured, seen from outside of the timed process.

`Watch` (watch) runs a sampler on the device; `gates` decide before a trial, `verdicts` after it,
`redo` measures a void trial again, `energy` says what an inference took, `files` keeps it all as
`state.jsonl` in the trial's folder. Everything but `Watch` is pure. One trial:

    ready = gates.wait_until_ready(read_state, gates.limits_of(device))       # StepFailed: unfit
    with Watch(on, device.kind, workdir, deadline_s, cpus=cpus, apart=others) as watch:
        flags = gates.wait_until_quiet(lambda: watch.readings, lambda: watch.over)
        idle = watch.idle(energy.IDLE_S)                      # None where there is no power sensor
        trial = …                                             # the job, start to end
    after = read_state()
    files.write(folder / "state.jsonl", watch.watched)
    window = energy.window_of(samples["start_ns"], samples["latency_ns"], boot_offset_s)
    verdicts = judge_state(watch.watched.readings, ready.state, after, cpus=cpus, window=window)
    used = energy.energy_of(watch.watched, window, len(samples["latency_ns"]), idle)

and all of that as the `run` of `run_with_redo(run, judge=lambda done: done.verdicts.void)`.
"""
