"""What is declared equals what is documented, and nothing else is used anywhere in the sources."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

from tollway.telemetry import names
from tollway.telemetry.metrics import METRICS

ROOT = Path(__file__).parents[2]
OBSERVABILITY = ROOT / "observability"
SOURCES = [*(ROOT / "services").rglob("*.py"), *(ROOT / "libs").rglob("*.py")]


def schema(name: str) -> Any:
    return yaml.safe_load((OBSERVABILITY / "schema" / f"{name}.yaml").read_text())


def test_spans_are_those_of_the_schema() -> None:
    declared = [
        {"name": name, **{f: getattr(s, f) for f in ("service", "kind", "covers")}} for name, s in names.SPANS.items()
    ]
    assert schema("spans")["spans"] == declared


def test_events_are_those_of_the_schema() -> None:
    assert schema("spans")["events"] == names.EVENTS


def test_attributes_are_those_of_the_schema() -> None:
    assert schema("attributes")["attributes"] == names.ATTRIBUTES


def test_log_fields_are_those_of_the_schema() -> None:
    assert schema("logs")["fields"] == names.LOG_FIELDS


def test_metrics_are_those_of_the_schema() -> None:
    declared = [
        {"name": name, "kind": m.kind, "help": m.help} | ({"labels": list(m.labels)} if m.labels else {})
        for name, m in METRICS.items()
    ]
    assert schema("metrics")["metrics"] == declared


def test_gen_ai_attributes_are_words_of_the_convention() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    assert {name for name in names.ATTRIBUTES if name.startswith("gen_ai.")} <= known


def test_gen_ai_metrics_are_words_of_the_convention() -> None:
    known = {
        v.replace(".", "_") for n, v in vars(gen_ai_metrics).items() if n.startswith("GEN_AI_") and isinstance(v, str)
    }
    ours = {name.removesuffix("_seconds") for name in METRICS if name.startswith("gen_ai_")}
    assert ours
    assert ours <= known


def test_no_attribute_or_field_could_carry_content() -> None:
    for name in (*names.ATTRIBUTES, *names.LOG_FIELDS):
        assert not re.search(r"prompt|messages$|completion_text|body$|authorization|secret|password", name), name


def test_histograms_have_rising_bounds_and_others_have_none() -> None:
    for name, metric in METRICS.items():
        assert list(metric.buckets) == sorted(set(metric.buckets)), name
        assert bool(metric.buckets) == (metric.kind == "histogram"), name


def calls(method: str) -> Iterator[tuple[str, ast.Call]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def telemetry_calls(method: str) -> Iterator[tuple[str, ast.Call]]:
    """Calls of a method of something called telemetry, wherever it hangs: `edge.telemetry.log(…)`."""
    for place, call in calls(method):
        assert isinstance(call.func, ast.Attribute)
        owner = call.func.value
        name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
        if name.strip("_") == "telemetry":
            yield place, call


def text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_every_log_line_in_the_sources_has_a_fixed_event_and_declared_fields() -> None:
    wrong = list[str]()
    for place, call in telemetry_calls("log"):
        event = text(call.args[1]) if len(call.args) > 1 else None
        if event is None or not re.fullmatch(r"[a-z][a-z0-9_]*", event):
            wrong.append(f"{place}: the event is not a fixed word in snake case")
        wrong += [f"{place}: field {k.arg}" for k in call.keywords if k.arg and k.arg not in names.LOG_FIELDS]
    assert wrong == []


def test_every_span_in_the_sources_has_a_declared_name_and_declared_attributes() -> None:
    wrong = list[str]()
    for place, call in telemetry_calls("span"):
        name = text(call.args[0]) if call.args else None
        if name is not None and name not in names.SPANS:
            wrong.append(f"{place}: span {name}")
        for keyword in call.keywords:
            if keyword.arg == "attributes" and isinstance(keyword.value, ast.Dict):
                keys = [text(key) for key in keyword.value.keys]
                wrong += [f"{place}: attribute {key}" for key in keys if key and key not in names.ATTRIBUTES]
    assert wrong == []


def test_every_metric_in_the_sources_is_declared_and_of_its_kind() -> None:
    wrong = list[str]()
    for kind in ("counter", "gauge", "histogram"):
        for place, call in telemetry_calls(kind):
            name = text(call.args[0]) if call.args else None
            if name is not None and (name not in METRICS or METRICS[name].kind != kind):
                wrong.append(f"{place}: {kind} {name}")
    assert wrong == []


def test_every_declared_metric_is_recorded_somewhere() -> None:
    table = ROOT / "libs" / "tollway" / "telemetry" / "metrics.py"
    words = {text(node) for path in SOURCES if path != table for node in ast.walk(ast.parse(path.read_text()))}
    assert [name for name in METRICS if name not in words] == []


def exposed() -> set[str]:
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    ours = {name + suffix for name, metric in METRICS.items() for suffix in suffixes[metric.kind]}
    return ours | {"process_cpu_seconds_total", "process_resident_memory_bytes"}


def expressions() -> list[str]:
    alerts = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())
    dashboard = json.loads((OBSERVABILITY / "grafana/dashboards/tollway.json").read_text())
    return [rule["expr"] for group in alerts["groups"] for rule in group["rules"]] + [
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
    ]


@pytest.mark.parametrize("expression", expressions())
def test_alerts_and_dashboards_ask_only_for_metrics_and_labels_there_are(expression: str) -> None:
    metrics = set(re.findall(r"\b(?:tollway|gen_ai_client|process)_[a-z_]+(?=[\[{) ]|$)", expression))
    labels = {label for metric in METRICS.values() for label in metric.labels} | {"service", "job", "le"}
    named = {word.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for word in group.split(",")}
    metrics -= labels
    assert metrics or "up{" in expression
    assert metrics <= exposed()
    assert named <= labels


def test_alerts_pass_their_own_tests() -> None:
    """Each is silent while all is well and speaks when it must; by Prometheus's own tool where there is one."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine")
    ended = subprocess.run(
        [promtool, "test", "rules", "alerts.test.yml"], cwd=OBSERVABILITY, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("path", sorted(OBSERVABILITY.rglob("*.y*ml")), ids=lambda path: path.name)
def test_every_yaml_file_can_be_read(path: Path) -> None:
    assert yaml.safe_load(path.read_text())
