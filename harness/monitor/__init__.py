"""Monitors a device while it is measured, from outside the timed process.

`Watch` (`sampler`) runs a sampler on the device; `preconditions` decide before a trial, `judge`
after it, `retry` repeats a discarded trial, `energy` computes the energy of an inference,
`state_file` stores it all as `state.jsonl` in the trial's folder. Everything but `Watch` is pure.
One trial:

    ready = preconditions.wait_until_ready(read_state, limits_of(device))      # StepFailed: unfit
    with Watch(on, device.kind, workdir, deadline_s, cpus=cpus, apart=others) as watch:
        flags = preconditions.wait_until_quiet(lambda: watch.readings, lambda: watch.over)
        idle = watch.idle(energy.IDLE_S)                      # None without a power sensor
        trial = …                                             # the job, start to end
    after = read_state()
    state_file.write(folder / "state.jsonl", watch.watched)
    window = energy.window_of(samples["start_ns"], samples["latency_ns"], boot_offset_s)
    verdicts = judge_state(watch.watched.readings, ready.state, after, cpus=cpus, window=window)
    used = energy.energy_of(watch.watched, window, len(samples["latency_ns"]), idle)

all of it as the `run` of `run_with_redo(run, judge=lambda done: done.verdicts.void)`.
"""
