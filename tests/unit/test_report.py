"""The report shows what the run folder holds, needs nothing else, and never destroys a good report."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from bridge.errors import TellegenError
from bridge.report import text, write_report
from bridge.report.data import Wiring
from bridge.report.layout import places
from bridge.report.phases import chosen_nodes, linear_below, traces

HOSTILE = '<img src=x onerror="alert(1)">&$\\frac{'
EPOCHS = 6


class Page(HTMLParser):
    """Tags, attributes and visible text of a page; the facts at its top."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.stack: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.stack.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip() and self.stack[-1:] != ["style"]:
            self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(self.words).replace(text.NBSP, " ")

    @property
    def facts(self) -> dict[str, str]:
        found = re.findall(r"<dt>(.*?)</dt><dd>([^<]*)", self.source)
        return {label: value.replace(text.NBSP, " ") for label, value in found}

    @property
    def headings(self) -> list[str]:
        return re.findall(r"<h2>(.*?)</h2>", self.source)


def network(
    sizes: tuple[int, ...], name: str = "net", group: str = "w", placed: bool = True
) -> dict[str, Any]:
    """A layered network: inputs, hidden nodes with diodes, outputs."""
    roles = ("input", *["hidden"] * (len(sizes) - 2), "output")
    layers = [
        [f"{role[0]}{k}_{i}" for i in range(n)] for k, (role, n) in enumerate(zip(roles, sizes, strict=True))
    ]
    nodes = [
        {"name": n, "x": k if placed else None, "y": -i if placed else None, "role": roles[k]}
        for k, layer in enumerate(layers)
        for i, n in enumerate(layer)
    ]
    weights = [
        {"name": f"{a}_{b}", "kind": "resistor", "nodes": [a, b], "group": f"{group}{k}", "trainable": True}
        for k, (left, right) in enumerate(pairwise(layers))
        for a in left
        for b in right
    ]
    fixed = [("source", "voltage_source", n) for n in layers[0]] + [("d", "diode", n) for n in layers[1]]
    rest = [
        {"name": f"{letter}_{n}", "kind": kind, "nodes": [n, "0"], "group": "", "trainable": False}
        for letter, kind, n in fixed
    ]
    return {
        "name": name,
        "nodes": nodes,
        "elements": weights + rest,
        "outputs": [[n, "0"] for n in layers[-1]],
    }


def make_run(folder: Path, sizes: tuple[int, ...] = (3, 4, 3), **names: Any) -> Path:
    """A run folder as the training loop writes it; `names` replaces names that users choose."""
    name = names.get("name", "small")
    rng = np.random.default_rng(0)
    folder.mkdir()
    wiring = network(sizes, name, names.get("group", "w"), names.get("placed", True))
    spec = {"name": name, "description": f"About {name}", "loss": {"kind": "mse"}}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    epoch = np.arange(EPOCHS + 1)
    columns: dict[str, Any] = {
        "epoch": epoch, "learning_rate": 0.1 * 0.9**epoch, "train_loss": 0.5 * 0.5**epoch,
        "train_accuracy": 1 - 0.5**epoch, "test_loss": np.where(epoch % 2, np.nan, 0.6 * 0.5**epoch),
        "test_accuracy": np.where(epoch % 2, np.nan, 0.875), "gradient_norm": 3.0 * 0.8**epoch,
        "seconds": 2.0, "ngspice_seconds": 1.5, "operating_points": 40, "transients": 0, "retries": 0,
    }  # fmt: skip
    pd.DataFrame(columns).to_parquet(folder / "metrics.parquet")
    weights = [e for e in wiring["elements"] if e["trainable"]]
    table = pd.DataFrame(weights).rename(columns={"name": "element"})[["element", "group"]]
    initial = rng.uniform(1e-5, 1e-4, len(table))
    table = table.assign(
        label=table["element"] + ".conductance", parameter="conductance", unit="S", lower=1e-7, upper=1e-3,
        initial=initial, final=np.where(np.arange(len(table)) % 4, initial * 2, 1e-3),
    )  # fmt: skip
    table.to_parquet(folder / "parameters.parquet")
    nodes = [node["name"] for node in wiring["nodes"]]
    free = rng.uniform(-0.5, 0.5, len(nodes))
    nudge = {"nudged_plus": free + 1e-5, "nudged_minus": free - 1e-5}
    pd.DataFrame({"node": nodes, "free": free, **nudge}).to_parquet(folder / "sample.parquet")
    documents = {
        "network": wiring,
        "manifest": {"versions": {"ngspice": "44.2"}, "seed": 7, "command": f"tellegen run {name}"},
        "sample": {
            "features": [0.25] * sizes[0], "target": [1.0] * sizes[-1], "outputs_free": [0.125] * sizes[-1],
            "beta": 1e-6, "nudge_current": [2e-6] * sizes[-1], "label": 0, "analysis": "operating_point",
        },
        "confusion": {"classes": [name, "b", "c"], "matrix": [[41, 2, 0], [0, 43, 0], [1, 0, 47]]},
        "results": {
            "run": str(folder), "name": name, "test_accuracy": 0.875, "test_loss": 0.0421,
            "train_accuracy": 0.984375, "train_loss": 0.0078125, "seconds": 254.6, "ngspice_seconds": 201.25,
            "transients": 12345,
            "operating_points": 6789, "retries": 3, "epochs": EPOCHS, "parameters": len(table),
        },
    }  # fmt: skip
    for stem, content in documents.items():
        (folder / f"{stem}.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "log.txt").write_text("epoch 5\nepoch 6 done\n", encoding="utf-8")
    return folder


def waveforms(folder: Path, nodes: list[str]) -> None:
    """Settling waveforms; the phase nudged by +beta has other time points."""
    parts = []
    for phase, points, shift in (("free", 50, 0.0), ("nudged_plus", 80, 1e-6), ("nudged_minus", 50, -1e-6)):
        time = np.linspace(0, 4e-6, points)
        parts.append(
            pd.DataFrame({"time": time, "phase": phase} | dict.fromkeys(nodes, (0.1 + shift) * time / 4e-06))
        )
    pd.concat(parts).to_parquet(folder / "waveforms.parquet")


def test_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = Page(write_report(make_run(tmp_path / "run")))
    assert not re.search(r"https?:|@import|url\((?!#)", page.source)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    links = [a[key] or "" for _, a in page.tags for key in ("src", "href", "xlink:href") if key in a]
    assert links
    assert all(link.startswith(("#", "data:image/png")) for link in links)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert all(link[1:] in ids for link in links if link.startswith("#"))


def test_shows_every_section_and_the_numbers_of_the_folder(tmp_path: Path) -> None:
    page = Page(write_report(make_run(tmp_path / "run")))
    assert page.headings == [
        "Training", "Parameters", "Network", "Free and nudged phase", "Confusion matrix", "Timing",
        "Experiment", "Provenance",
    ]  # fmt: skip
    assert page.facts == {
        "test accuracy": "87.50 %", "test loss": "0.0421", "training accuracy": "98.44 %",
        "training loss": "0.007812", "epochs": "6", "parameters": "24", "wall time": "4 min 15 s",
        "inside ngspice": "3 min 21 s", "operating points": "6,789", "transients": "12,345",
        "runs repeated": "3",
    }  # fmt: skip
    for shown in (
        "79.0 % of wall time",
        "131 of 134 samples",
        "w0 12",
        "25.00 %",
        "44.2",
        "14.0 s",
        "125 1 2",
    ):
        assert shown in page.text
    assert {"41", "43", "47"} <= set(page.words)


def test_recovered_values_and_spikes_have_sections(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    row = {"unit": "mS/cm^2", "initial": 163.51, "found": 119.86, "true": 120.0, "relative_error": -0.001167}
    results["recovered"] = {"cell0_na.conductance": row}
    results |= {
        "test_spikes_on_time": 0.75, "test_worst_shift": 1.52e-4,
        "test_missing_spikes": 2, "test_extra_spikes": 1,
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    page = Page(write_report(folder))
    assert page.headings[1:3] == ["Recovered values", "Spikes"]
    assert "cell0_na.conductance mS/cm^2 163.51 119.86 120 \N{MINUS SIGN}0.117%" in page.text
    assert "targets on time 75.00 %" in page.text
    assert "152 us" in page.text or "152 µs" in page.text
    assert "missing spikes 2 spikes without a target 1" in page.text


def test_names_cannot_inject_markup(tmp_path: Path) -> None:
    page = Page(write_report(make_run(tmp_path / "run", name=HOSTILE, group=HOSTILE)))
    assert not {"img", "script"} & {tag for tag, _ in page.tags}
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert page.words[0].startswith(HOSTILE)
    assert page.text.count(HOSTILE) >= 5


@pytest.mark.parametrize(
    ("missing", "heading"),
    [
        ("metrics.parquet", "Training"), ("metrics.parquet", "Timing"), ("parameters.parquet", "Parameters"),
        ("network.json", "Network"), ("parameters.parquet", "Network"),
        ("confusion.json", "Confusion matrix"),
    ],
)  # fmt: skip
def test_leaves_out_what_is_missing(tmp_path: Path, missing: str, heading: str) -> None:
    run = make_run(tmp_path / "run")
    complete = Page(write_report(run)).headings
    (run / missing).unlink()
    partial = Page(write_report(run)).headings
    assert heading in complete
    assert heading not in partial
    assert "Experiment" in partial


def test_spec_alone_is_enough(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for file in run.iterdir():
        if file.name != "spec.yaml":
            file.unlink()
    page = Page(write_report(run))
    assert page.headings == ["Experiment"]
    assert "unfinished before the first epoch" in page.text
    assert page.facts["test accuracy"] == text.DASH


def test_unfinished_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "results.json").unlink()
    page = Page(write_report(run))
    assert f"unfinished after epoch {EPOCHS}" in page.text
    assert page.facts["test loss"] == "0.009375"  # the last evaluation
    assert page.facts["wall time"] == "14.0 s"
    assert "epoch 6 done" in page.text


def test_unknown_accuracy_is_a_dash(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    metrics = pd.read_parquet(run / "metrics.parquet").assign(train_accuracy=np.nan, test_accuracy=np.nan)
    metrics.to_parquet(run / "metrics.parquet")
    results = json.loads((run / "results.json").read_text())
    results |= {"test_accuracy": None, "train_accuracy": float("nan")}
    (run / "results.json").write_text(json.dumps(results))
    page = Page(write_report(run))
    assert page.facts["test accuracy"] == page.facts["training accuracy"] == "–"
    assert not re.search(r"\b(nan|None)\b", page.text, re.IGNORECASE)
    assert "accuracy [%]" not in page.text


@pytest.mark.parametrize("broken", ["metrics.parquet", "network.json", "spec.yaml"])
def test_a_failing_build_keeps_the_old_report(tmp_path: Path, broken: str) -> None:
    run = make_run(tmp_path / "run")
    before = write_report(run).read_bytes()
    files = {file.name for file in run.iterdir()}
    (run / broken).write_text("{ [", encoding="utf-8")
    with pytest.raises(TellegenError, match=re.escape(broken)):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert {file.name for file in run.iterdir()} == files


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(TellegenError, match=r"spec\.yaml"):
        write_report(tmp_path)


def test_same_folder_same_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", placed=False)
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_big_network_becomes_heat_maps_and_stays_small(tmp_path: Path) -> None:
    small, big = make_run(tmp_path / "small"), make_run(tmp_path / "big", (128, 50, 20))
    drawn, mapped = Page(write_report(small)), Page(write_report(big))
    assert "Each cell is the conductance" in mapped.text
    assert "Width and strength of a line" in drawn.text
    assert len(mapped.source) < 2_000_000


def test_transient_sample(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "sample.parquet").unlink()
    waveforms(run, ["h1_0", "h1_1", "o2_0", "o2_1"])
    page = Page(write_report(run))
    assert "interpolated linearly to the time points of the free phase" in page.text
    assert {"v(o2_0)", "v(h1_1)", "nudged − free [µV]", "time [µs]", "nudge current [µA]"} <= set(page.words)


def test_difference_of_phases(tmp_path: Path) -> None:
    waveforms(tmp_path, ["a", "b"])
    frame = pd.read_parquet(tmp_path / "waveforms.parquet")
    frame["b"] /= 2
    got = traces(frame, {"a": ("a", "0"), "a-b": ("a", "b"), "gone": ("nowhere", "0")})
    assert got is not None
    assert got.names == ("a", "a-b")
    assert got.interpolated
    np.testing.assert_allclose(got.moved[0, :, -1], [1e-6, 0.5e-6], rtol=1e-9)
    np.testing.assert_allclose(got.moved[1], -got.moved[0], atol=1e-12)
    assert traces(frame[frame["phase"] != "nudged_minus"], {"a": ("a", "0")}) is None


def test_large_sample_keeps_outputs_and_what_moved_most() -> None:
    wiring = Wiring.from_json(network((5, 60, 3)))
    names = [node.name for node in wiring.nodes]
    moved = np.array([100.0 if n == "h1_42" else 0.0 if n.startswith("o") else 1.0 for n in names])
    frame = pd.DataFrame({"node": names, "free": 0.0, "nudged_plus": moved, "nudged_minus": -moved})
    shown = list(chosen_nodes(frame, wiring)["node"])
    assert len(shown) < len(names)
    assert "h1_42" in shown
    assert shown[-3:] == ["o2_0", "o2_1", "o2_2"]
    assert not [n for n in shown if n.startswith("i")]


def test_layout_without_coordinates_puts_inputs_left_of_outputs() -> None:
    where = places(Wiring.from_json(network((2, 3, 2), placed=False)))
    assert set(where) == {"i0_0", "i0_1", "h1_0", "h1_1", "h1_2", "o2_0", "o2_1"}
    assert max(where["i0_0"][0], where["i0_1"][0]) < min(where["o2_0"][0], where["o2_1"][0])


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.quantity(1.25e-5, "S"), "12.5 µS"), (text.quantity(-0.0005, "V"), "−500 µV"),
        (text.quantity(float("nan"), "V"), "–"), (text.number(1000.0), "1000"),
        (text.number(1.5e-9), "1.5×10⁻⁹"),
        (text.number(0.01), "0.01"), (text.number(None), "–"), (text.duration(0.0834), "83.4 ms"),
        (text.duration(119.7), "2 min 00 s"), (text.duration(3600 * 2 + 59.9), "2 h 01 min"),
        (text.percent(1.0), "100.00 %"), (text.count(1234567.0), "1,234,567"),
    ],
)  # fmt: skip
def test_numbers_as_text(shown: str, expected: str) -> None:
    assert shown.replace(text.NBSP, " ") == expected


def test_scale_of_displacements_is_logarithmic_only_where_it_must_be() -> None:
    assert linear_below(np.array([[3e-6, -5e-6, 0.0], [-3e-6, 5e-6, 0.0]])) is None
    assert linear_below(np.array([2e-4, 3e-6, 4e-6, -5e-6, 0.0])) == pytest.approx(1e-6)
    assert linear_below(np.zeros(4)) is None


def test_times_of_several_workers_are_no_share_of_the_wall_time(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    spec = yaml.safe_load((run / "spec.yaml").read_text()) | {"engine": {"workers": 3}}
    (run / "spec.yaml").write_text(yaml.safe_dump(spec))
    page = Page(write_report(run))
    assert "3 workers together" in page.text
    assert "of wall time" not in page.text
