"""A file's mistakes: all at once, each with file and line, and with what to do."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.records import ModelSpec
from harness.runner import patterns
from harness.runner.job import PROFILES
from harness.runner.patterns import server
from harness.scenario import config, yaml_lines
from harness.serial import dumps, loads
from harness.tasks.decoders import REGISTRY as DECODERS

GOOD = "name: x\nmodels: [rio]\nformats: [onnx]\n"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mistakes(text: str | bytes) -> list[str]:
    path = Path("s.yaml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as raised:
        config.read_scenario(path)
    return raised.value.mistakes


def test_defaults_are_the_documented_ones() -> None:
    Path("s.yaml").write_text(GOOD)
    read = config.read_scenario(Path("s.yaml"))
    assert (read.precisions, read.devices) == (("fp32",), ("local",))
    assert read.measuring.profile == "quick"


def test_all_mistakes_come_at_once_with_their_lines() -> None:
    text = (
        "name: rio\nmodels: [rio]\nformats: [onnx]\nprecisions: [fp8]\ndevces: [local]\n"
        "measure:\n  profile: quik\n  trials: many\nmatrix: {threads: [0]}\n"
    )
    assert mistakes(text) == [
        "s.yaml:4: precisions[0]: 'fp8' is not one of fp32, fp16, int8",
        "s.yaml:9: matrix.threads[0]: input should be greater than or equal to 1, got 0",
        "s.yaml:7: measure.profile: 'quik' is not one of quick, full, smoke, mlperf",
        "s.yaml:8: measure.trials: input should be a valid integer, got 'many'",
        "s.yaml:5: devces: unknown key; did you mean 'devices'?",
    ]


def test_a_pattern_and_its_options_become_rules() -> None:
    Path("s.yaml").write_text(
        GOOD + "measure:\n  profile: full\n  pattern: server\n  seed: 7\n"
        "  server: {bound_ms: 50, rates_hz: [5, 10]}\n  sustained: {minutes: 2}\n"
    )
    rules = config.read_scenario(Path("s.yaml")).measuring.options
    assert rules.min_samples == PROFILES["full"].min_samples
    assert (rules.pattern, rules.seed) == ("server", 7)
    assert rules.options == {"bound_ms": 50.0, "rates_hz": [5.0, 10.0], "cap_s": 60.0}
    assert patterns.options(rules) == server.Options(50.0, (5.0, 10.0))


def test_without_a_pattern_the_rules_are_the_profile_s() -> None:
    Path("s.yaml").write_text(GOOD)
    rules = config.read_scenario(Path("s.yaml")).measuring.options
    assert rules == PROFILES["quick"]


def test_smoke_sustains_for_seconds_only() -> None:
    Path("s.yaml").write_text(GOOD + "measure: {profile: smoke, pattern: sustained}\n")
    rules = config.read_scenario(Path("s.yaml")).measuring.options
    assert patterns.longest_loop_s(rules) == 3.0


def test_mistakes_in_a_pattern_are_named() -> None:
    assert mistakes(
        GOOD + "measure:\n  pattern: burst\n  camera: {rate_hz: 0}\n  server: {bound: 5}\n"
    ) == [
        "s.yaml:5: measure.pattern: 'burst' is not one of single, offline, camera, server, "
        "sustained",
        "s.yaml:6: measure.camera.rate_hz: input should be greater than 0, got 0",
        "s.yaml:7: measure.server.bound: unknown key; did you mean 'bound_ms'?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "s.yaml:1: expected a mapping, got nothing"),
        ("- a\n", "s.yaml:1: expected a mapping, got ['a']"),
        (GOOD + "name: y\n", "s.yaml:4: name: duplicate key"),
        ("models: [rio\n", "s.yaml:2: expected ',' or ']', but got '<stream end>'"),
        (GOOD + "? [a]\n: b\n", "s.yaml:4: a key must be a string"),
        (b"name: \xff\n", "s.yaml:1: not UTF-8 text"),
        ("name: x\nformats: [onnx]\n", "s.yaml:1: models: missing"),
        (
            GOOD + "measure: {prfile: full}\n",
            "s.yaml:4: measure.prfile: unknown key; did you mean 'profile'?",
        ),
        ("a: !!python/object/apply:os.system [id]\n", None),
        ("a: &a [1]\n" + "b: [*a]\n" * 2, None),
    ],
)
def test_a_broken_file_is_one_clear_line(text: str | bytes, expected: str | None) -> None:
    found = mistakes(text)
    assert all(line.startswith("s.yaml:") for line in found)
    if expected is not None:
        assert found == [expected]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        config.read_scenario(Path("none.yaml"))
    assert raised.value.mistakes == ["none.yaml: No such file or directory"]


def test_aliases_of_aliases_do_not_eat_the_memory() -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    found = mistakes("a0: &a0 [x]\n" + "\n".join(levels) + "\n")
    assert "nested aliases" in found[0]


def test_what_is_nested_deeply_or_has_too_many_values_is_refused_where_it_begins() -> None:
    deep = mistakes(GOOD + "a: " + "[" * 2000)
    assert deep == ["s.yaml:4: more than 30 levels of nesting"]
    many = "".join(f"a{n}: x\n" for n in range(6000))
    assert mistakes(GOOD + many) == ["s.yaml:4999: more than 10,000 values"]


def test_of_very_many_mistakes_the_first_are_told() -> None:
    found = mistakes(GOOD + "".join(f"a{n}: x\n" for n in range(300)))
    assert len(found) == 201
    assert found[-1] == "s.yaml:1: 100 more mistakes"


def test_a_model_names_the_files_that_are_missing() -> None:
    folder = Path("models/m")
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(
        "task: detection\nweights: w.pt\nsha256: '" + "0" * 64 + "'\n"
        "input: {name: images, shape: [1, 3, 32, 32]}\noutputs: [a]\nclasses: [b]\n"
    )
    with pytest.raises(ConfigError) as raised:
        config.read_model(folder)
    assert raised.value.mistakes == [
        "models/m/model.yaml:1: module: no such file: models/m/network.py",
        "models/m/model.yaml:2: weights: no such file: models/m/w.pt",
    ]


def test_the_schema_accepts_our_scenarios_and_refuses_a_typo() -> None:
    for path in sorted((ROOT / "scenarios").glob("*.yaml")):
        jsonschema.validate(yaml.safe_load(path.read_text()), config.schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {"name": "x", "models": ["a"], "formats": ["b"], "oops": 1}, config.schema()
        )


def test_the_checked_in_schema_is_the_code_s() -> None:
    import json

    shipped = json.loads((ROOT / "scenarios" / "schema.json").read_text())
    assert shipped == config.schema(), "run `make generated`"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_no_text_crashes_the_reader(text: str | bytes) -> None:
    path = Path("fuzz.yaml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
    try:
        config.read_scenario(path)
    except ConfigError as error:
        assert all(line.startswith("fuzz.yaml") for line in error.mistakes)


words = st.sampled_from(
    ["name", "models", "formats", "measure", "profile", "quick", "x", "1", "~", "!!set", "&a", "*a"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), words, st.sampled_from([": ", ":\n", "\n", ": [", "] "])),
        max_size=12,
    )
)
def test_nothing_like_yaml_crashes_the_reader(parts: list[tuple[int, str, str]]) -> None:
    path = Path("fuzz.yaml")
    path.write_text("".join(" " * indent + word + end for indent, word, end in parts))
    try:
        yaml_lines.read(path)
    except ConfigError as error:
        assert len(error.mistakes) == 1


# ---- decoders ------------------------------------------------------------------------------------

MODEL = """\
task: TASK
decoder: yolov8
weights: w.pt
sha256: "{zeros}"
input: {{name: images, shape: [1, 3, 64, 64]}}
outputs: [output0]
classes: [card]
options: {{score_threshold: 0.3}}
""".format(zeros="0" * 64)


def model_of(task: str = "detection", decoder: str = "yolov8", options: str = "{}") -> Path:
    folder = Path("models/m")
    folder.mkdir(parents=True, exist_ok=True)
    text = MODEL.replace("TASK", task).replace("decoder: yolov8", decoder)
    (folder / "model.yaml").write_text(text.replace("{score_threshold: 0.3}", options))
    for name in ("network.py", "w.pt"):
        (folder / name).touch()
    return folder


def test_a_model_file_names_its_decoder_and_lists_of_anchors() -> None:
    options = "{anchors: [[10, 13], [16, 30]], strides: [8, 16]}"
    spec = config.read_model(model_of("detection", "decoder: yolov5-heads", options)).spec
    assert spec.decoder == "yolov5-heads"
    assert spec.task_options == {"anchors": ((10, 13), (16, 30)), "strides": (8, 16)}
    assert loads(ModelSpec, dumps(spec)) == spec
    assert config.read_model(model_of("detection", "# none")).spec.decoder == ""


@pytest.mark.parametrize(
    ("task", "decoder", "said"),
    [
        (
            "detection",
            "decoder: yolov5-heads",
            "8: options: decoder yolov5-heads needs anchors, strides",
        ),
        ("classification", "decoder: yolov8", "2: decoder: task classification has no decoders"),
        (
            "instance-segmentation",
            "decoder: yolov8",
            "2: decoder: decoder yolov8 finds no masks; take boxes-scores or yolov8-seg",
        ),
        (
            "keypoints",
            "# none",
            "1: task: decoder boxes-scores finds no keypoints; take yolov8-pose",
        ),
    ],
)  # fmt: skip
def test_a_decoder_that_cannot_serve_the_task_is_a_mistake_of_the_file(
    task: str, decoder: str, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        config.read_model(model_of(task, decoder))
    assert raised.value.mistakes == [f"models/m/model.yaml:{said}"]


@pytest.mark.parametrize(
    ("task", "decoder", "options", "said"),
    [
        (
            "detection", "decoder: yolov8", "{color_order: bgr}",
            "options.color_order: unknown option; did you mean 'colour_order'?",
        ),
        (
            "detection", "decoder: yolov8", "{nms_IoU: 0.5}",
            "options.nms_IoU: unknown option; did you mean 'nms_iou'?",
        ),
        (
            "classification", "# none", "{anchors: [1, 2]}",
            "options.anchors: unknown option; known: score_threshold, accuracy_score_threshold, "
            "fit, resize, pad, range, normalise, mean, std, colour_order, top_k, background, "
            "activation",
        ),
    ],
)  # fmt: skip
def test_an_option_that_nothing_reads_is_a_mistake_of_the_file(
    task: str, decoder: str, options: str, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        config.read_model(model_of(task, decoder, options))
    assert raised.value.mistakes == [f"models/m/model.yaml:8: {said}"]


@pytest.mark.parametrize("name", DECODERS)
def test_every_option_of_a_decoder_is_known(name: str) -> None:
    own = DECODERS[name].SPEC
    given = [*own.options, "box_order", "box_units", f"{own.outputs[0].role}_output"]
    options = ", ".join(f"{one}: [1, 1]" for one in given)
    spec = config.read_model(model_of("detection", f"decoder: {name}", f"{{{options}}}")).spec
    assert list(spec.task_options) == given


def test_a_decoder_that_is_none_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as raised:
        config.read_model(model_of("detection", "decoder: yolo8"))
    (said,) = raised.value.mistakes
    assert said.startswith("models/m/model.yaml:2: decoder: 'yolo8' is not one of boxes-scores, ")
