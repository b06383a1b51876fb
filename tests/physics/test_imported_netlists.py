"""Imported netlists simulate as ngspice simulates the file itself, in operating point and transient."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bridge.dynamics import FIXED_GRID, DynamicPlan
from bridge.errors import UnsupportedElementError
from bridge.estimators.adjoint import AdjointTask
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.library import find_library, library_environment
from bridge.ngspice.session import Session
from circuits.adjoint import adjoint
from circuits.deck import SolverOptions
from circuits.importer import ImportedNetwork, import_netlist
from circuits.netlist import build_deck

NETLISTS = Path(__file__).parent / "netlists"
STATIC = (
    "divider",
    "names",
    "suffixes",
    "controlled",
    "bridge",
    "expressions",
    "parameters",
    "subcircuits",
    "inverter",
    "transistors",
)
DYNAMIC = ("rlc", "initial", "coupled", "pulse", "rectifier", "native_source", "line")
DURATION, STEP = 2e-6, 2e-9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(NETLISTS / "models", tmp_path / "models")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "deck.cir"
    path.write_text(f"a title\n{text}\n.end\n")
    return path


def body(name: str) -> str:
    """A netlist without its title and its end."""
    return "\n".join((NETLISTS / f"{name}.cir").read_text().splitlines()[1:-1])


def reference(
    folder: Path, text: str, network: ImportedNetwork, command: str, options: SolverOptions
) -> np.ndarray:
    """What `ngspice -b` makes of the file itself: time or index, then every node of the network."""
    written = [network.written_node(n) for n in network.nodes]
    kept = [k for k, n in enumerate(written) if "#" not in n and not n.endswith("_wave")]
    names = " ".join(f'"v({n.lower()})"' if {*n} & {*"+-"} else f"v({n})" for n in (written[k] for k in kept))
    control = f".control\nset numdgt=16\nset wr_singlescale\n{command}\nwrdata out.txt {names}\nquit\n.endc\n"
    run = folder / "reference.cir"
    run.write_text(f"a title\n{text}\n{options.line()}\n{control}.end\n")
    library = find_library()
    done = subprocess.run(
        [str(library.binary), "-b", run.name],
        cwd=folder,
        env=dict(os.environ, **library_environment(library)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    file = folder / "out.txt"
    assert file.exists(), done.stdout + done.stderr
    values = np.loadtxt(file, ndmin=2)
    full = np.full((len(values), 1 + len(written)), np.nan)
    full[:, 0] = values[:, 0]
    full[:, [1 + k for k in kept]] = values[:, 1:]
    return full


@pytest.mark.parametrize("name", STATIC)
def test_operating_point_is_that_of_the_file(name: str, folder: Path, session: Session) -> None:
    network = import_netlist(NETLISTS / f"{name}.cir", inputs={}, outputs=[], trainable=[])
    assert isinstance(network, ImportedNetwork)
    options = SolverOptions()
    expected = reference(folder, body(name), network, "op", options)[0, 1:]
    found = session.load(build_deck(network, options)).operating_point()
    known = np.isfinite(expected)
    assert known.sum() >= 2
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("uic", [True, False])
@pytest.mark.parametrize("name", DYNAMIC)
def test_transient_is_that_of_the_file(name: str, uic: bool, folder: Path, session: Session) -> None:
    if name == "initial" and not uic:
        pytest.skip(".ic acts through capacitors, which needs a start from rest")
    network = import_netlist(NETLISTS / f"{name}.cir", inputs={}, outputs=[], trainable=[])
    assert isinstance(network, ImportedNetwork)
    command = f"tran {0.01 * STEP} {DURATION} 0 {STEP}{' uic' if uic else ''}"
    expected = reference(folder, body(name), network, command, FIXED_GRID)
    waves = session.load(build_deck(network, FIXED_GRID)).transient([], DURATION, STEP, uic=uic)
    known = np.isfinite(expected[0, 1:])
    assert known.sum() >= 2
    assert np.abs(expected[:, 1:][:, known]).max() > 1e-2
    again = np.stack([np.interp(expected[:, 0], waves.time, v) for v in waves.values.T], axis=1)
    start = 1 if uic else 0
    np.testing.assert_allclose(again[start:, known], expected[start:, 1:][:, known], rtol=1e-6, atol=1e-6)


def test_an_input_is_driven_and_keeps_what_senses_it(folder: Path, session: Session) -> None:
    text = (
        "Vin in 0 pulse(0 9 0 1n 1n 1u 2u)\nR1 in out 1k\nC1 out 0 200p\nF1 0 s Vin 2\nRs s 0 500\n"
        "Ib out 0 1u\nId 0 d 7\nRd d out 2k"
    )
    path = write(folder, text)
    network = import_netlist(path, inputs={"x": "VIN", "y": "id"}, outputs=["s", "out,in"], trainable=[])
    played = text.replace("pulse(0 9 0 1n 1n 1u 2u)", "pwl(0 0 2u 1.5)").replace("d 7", "d pwl(0 0 2u 1m)")
    assert isinstance(network, ImportedNetwork)
    command = f"tran {0.01 * STEP} {DURATION} 0 {STEP}"
    expected = reference(folder, played, network, command, FIXED_GRID)
    ramp = sampled([0.0, DURATION], [[0.0, 0.0], [1.5, 1e-3]])
    deck = build_deck(network, FIXED_GRID)
    waves = session.load(deck).transient([ramp], DURATION, STEP, uic=False)
    assert deck.sources == ("vvin", "iid", "inudge_0", "inudge_1")
    for k, node in enumerate(network.nodes):
        if np.isfinite(expected[0, 1 + k]):
            again = np.interp(expected[:, 0], waves.time, waves[f"v({node.lower()})"])
            np.testing.assert_allclose(again, expected[:, 1 + k], rtol=1e-6, atol=1e-6)


def test_elements_without_derivative_are_named_and_the_free_phase_runs(
    folder: Path, session: Session
) -> None:
    text = ".include models/mos.lib\nVdd vdd 0 1.8\nV1 in 0 0\nMn out in 0 0 nch w=2u l=1u\nR1 vdd out 10k"
    network = import_netlist(write(folder, text), inputs={"x": "V1"}, outputs=["out"], trainable=["R1"])
    circuit = session.load(build_deck(network))
    high = circuit.operating_point([constant([0.0])])[network.nodes.index("out")]
    low = circuit.operating_point([constant([1.8])])[network.nodes.index("out")]
    assert high > 1.79
    assert low < 0.5
    adjoint(network)  # a MOSFET's derivative comes from the simulation
    text = text.replace("Mn out in 0 0 nch w=2u l=1u", "J1 out in 0 jn\n.model jn njf(vto=-1)")
    network = import_netlist(write(folder, text), inputs={"x": "V1"}, outputs=["out"], trainable=["R1"])
    with pytest.raises(UnsupportedElementError, match="J1: the derivative of a JFET is not known"):
        adjoint(network)


def test_a_source_of_its_own_voltage_is_altered_like_a_fresh_one(folder: Path, session: Session) -> None:
    law = "k*v(a,b)^3+g*(v(a)-v(b))+(v(a)>v(b) ? k*(v(a)-v(b)) : 0)"
    text = f"V1 in 0 2\nR1 in a 1k\nB1 a b i={law}\nRb b 0 100\n"
    wish = [
        {"element": "b1", "parameter": "k"},
        {"element": "B1", "parameter": "g", "lower": 0, "upper": "1m"},
    ]
    network = import_netlist(
        write(folder, text + ".param k=1m g=0.1m"), inputs={"x": "V1"}, outputs=["a"], trainable=wish
    )
    fresh = import_netlist(
        write(folder, text + ".param k=3m g=0.5m"), inputs={"x": "V1"}, outputs=["a"], trainable=wish
    )
    device = network.element("B1").device
    deck = build_deck(network)
    circuit = session.load(deck)
    source = constant([2.0])
    before = circuit.operating_point([source])
    element = network.element("B1")
    circuit.alter([device.alter_target(element, p) for p in ("k", "g")], [3e-3, 0.5e-3])
    after = circuit.operating_point([source])
    again = session.load(build_deck(fresh)).operating_point([source])
    np.testing.assert_allclose(after, again, rtol=1e-12)
    assert np.abs(after - before).max() > 0.05
    # The symbolic law is the current that ngspice computes, and its derivatives are those of the law.
    at = dict(zip(fresh.nodes, again[: len(fresh.nodes)], strict=True))
    u = np.array([at["a"] - at["b"]])
    values = {"k": 3e-3, "g": 0.5e-3}
    np.testing.assert_allclose(device.current(u, values), [at["b"] / 100.0], rtol=1e-8)
    step = 1e-6
    slope = (device.current(u + step, values) - device.current(u - step, values)) / (2 * step)
    np.testing.assert_allclose(device.conductance(u, values), slope, rtol=1e-6)
    np.testing.assert_allclose(device.current_gradient(u, "k", values), u**3 + u, rtol=1e-12)
    np.testing.assert_allclose(device.cocontent_gradient(-u, "k", values), -(u**4) / 4, rtol=1e-9)  # |u|^3
    assert adjoint(fresh).playback["B1"]


TRAINED = """Vin in 0 0
R1 in a 1k
X1 a b ladder r=2k
D1 b 0 dd
.model dd D(is=1e-9 n=1.6)
C2 b 0 20p ic=0.1
B1 b 0 i={k*v(b)^3+g*tanh(v(b)*4)}
.param k=0.4m g=0.1m
V2 bias 0 sin(0 0.5 2meg)
I3 0 b pulse(0 0.2m 0.4u 50n 50n 0.6u 3u)
R3 bias b 3k
G1 0 c b a 0.5m
Rc c 0 2k
Vs c d 0
Rd d 0 4k
F1 a 0 Vs 0.3
E1 e 0 c 0 0.8
Re e a 5k
.subckt ladder p q r=1k
R1 p m {r}
L1 m q 20u
C1 m 0 30p
.ends"""


def test_adjoint_gradient_of_an_imported_netlist_is_the_finite_difference(folder: Path) -> None:
    wish = ["R*", "C*", "L*", "G1", "F1", "E1", "D1", *({"element": "B1", "parameter": p} for p in "kg")]
    network = import_netlist(write(folder, TRAINED), inputs={"x": "Vin"}, outputs=["b", "c"], trainable=wish)
    phases = DynamicPlan(network, DURATION, STEP)()
    times = np.linspace(0.0, DURATION, 101)
    drive = 1.2 * np.sin(2e6 * times) + 0.5 * times / DURATION
    batch = DynamicBatch(times, drive[None, :, None], np.zeros((1, 2)))
    loss = WaveformMSE()
    value, gradient, _ = AdjointTask(batch, 0, loss).run(phases)
    assert value > 0.0
    start = phases.parameters.copy()
    reference = np.zeros(len(start))
    for k, size in enumerate(start):
        ends = []
        for sign in (1.0, -1.0):
            moved = start.copy()
            moved[k] += sign * 1e-4 * abs(size)
            phases.update(moved)
            waves = phases.free(batch.signals(0))
            ends.append(loss.evaluate(waves.time, phases.outputs(waves), batch.targets[0]).value)
        reference[k] = (ends[0] - ends[1]) / (2e-4 * abs(size))
    scaled = np.abs(start)
    error = np.linalg.norm((gradient - reference) * scaled) / np.linalg.norm(reference * scaled)
    assert error < 2e-4
    np.testing.assert_allclose(
        gradient * scaled, reference * scaled, atol=2e-4 * np.abs(reference * scaled).max()
    )
