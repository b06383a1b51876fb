"""The adjoint network of operating points: every kind of parameter, against differences and equilibrium."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import transistor_checks as tc

from bridge.errors import UnsupportedElementError
from bridge.estimators.base import Batch
from bridge.estimators.equilibrium import Equilibrium
from bridge.estimators.finite_difference import DifferenceTask
from bridge.estimators.operating_point import OperatingPointAdjoint, OperatingPointTask
from bridge.losses import MeanSquaredError
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import Settling, StaticPlan
from bridge.simulator import Simulator
from bridge.validation.classes import MEMRISTOR
from circuits.deck import SolverOptions
from circuits.devices.base import Element
from circuits.devices.behavioural import EXPONENTIAL_DIODE, TANH_RESISTOR
from circuits.devices.diode import diode
from circuits.devices.mosfet import mosfet
from circuits.devices.passive import capacitor, inductor, resistor
from circuits.devices.sources import cccs, ccvs, current_source, vccs, vcvs, voltage_source
from circuits.network import Drive, Network, Output, Trainable
from circuits.topologies.graph import graph
from circuits.topologies.layered import layered

LOSS = MeanSquaredError()
TIGHT = SolverOptions(reltol=1e-9, vntol=1e-12, abstol=1e-15)


def every_kind() -> Network:
    """Two inputs, two outputs, one element of every kind with a parameter that an operating point sees."""
    model = tc.card("level1")[0]
    elements: tuple[Element, ...] = (
        voltage_source("x0", "a", driven=True),
        voltage_source("x1", "b", driven=True),
        voltage_source("vb", "bias", dc=0.8),
        current_source("ib", "0", "c", dc=2e-5),
        resistor("r1", "a", "c", conductance=1e-4),
        resistor("r2", "b", "d", conductance=2e-4),
        resistor("r3", "c", "0", conductance=5e-5),
        resistor("r4", "e", "f", conductance=1e-4),
        resistor("r5", "h", "d", conductance=1e-4),
        diode("d1", "c", "d", area=2.0),
        EXPONENTIAL_DIODE.element("d2", "d", "0", saturation_current=1e-9, emission=1.5),
        TANH_RESISTOR.element("t1", "c", "bias", conductance=5e-5, scale=0.2),
        vccs("g1", "0", "e", "c", "d", gain=1e-4),
        resistor("re", "e", "0", conductance=1e-4),
        vcvs("e1", "f", "0", "d", "c", gain=1.7),
        cccs("f1", "d", "0", "g", "0", gain=0.3),
        resistor("rg", "c", "g", conductance=4e-5),
        ccvs("h1", "h", "0", "k", "0", gain=3e3),
        resistor("rk", "e", "k", conductance=3e-5),
        mosfet("m1", "e", "bias", "c", "0", model=model, w=2e-6, l=1e-6),
        capacitor("c1", "c", "0", capacitance=1e-12, initial_voltage=0.3),
        inductor("l1", "d", "q", inductance=1e-6),
        resistor("rq", "q", "0", conductance=3e-5),
    )
    trained = [
        ("vb", "dc"), ("ib", "dc"), ("r1", "conductance"), ("r4", "conductance"), ("r5", "conductance"),
        ("d1", "area"), ("d2", "saturation_current"), ("d2", "emission"), ("t1", "conductance"),
        ("t1", "scale"), ("g1", "gain"), ("e1", "gain"), ("f1", "gain"), ("h1", "gain"), ("m1", "w"),
        ("c1", "capacitance"), ("c1", "initial_voltage"), ("l1", "inductance"), ("rq", "conductance"),
    ]  # fmt: skip
    found = {e.name: e for e in elements}

    def bounds(name: str, parameter: str) -> tuple[float, float]:
        value = found[name].value(parameter)
        return min(value / 10, value * 10), max(value / 10, value * 10)

    return Network(
        "kinds",
        elements,
        (Drive("x0", 0), Drive("x1", 1)),
        (Output("e"), Output("d", "c")),
        tuple(Trainable(n, p, *bounds(n, p)) for n, p in trained),
    )


def batch_of(network: Network, count: int = 3, scale: float = 0.3) -> Batch:
    rng = np.random.default_rng(3)
    targets = scale * rng.normal(size=(count, len(network.outputs)))
    return Batch(network.drive_values(rng.normal(size=(count, network.n_features))), targets)


def both(
    plan: StaticPlan, batch: Batch, session: Session, step: float = 1e-4
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of the mean loss by the adjoint network and by differences extrapolated to step zero."""
    estimator = OperatingPointAdjoint()
    estimator.check(plan)
    phases = StaticPhases(plan, session)
    results = [task.run(phases) for task in estimator.tasks(plan, batch, LOSS)]
    gradient = estimator.combine(plan, batch, results)
    places = tuple(range(len(plan.network.trainable)))
    near, far = (DifferenceTask(batch, LOSS, places, s).run(phases) for s in (step, 2 * step))
    losses, outputs = phases.evaluate(batch, LOSS)
    np.testing.assert_allclose(gradient.losses, losses, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(gradient.outputs, outputs, rtol=1e-9, atol=1e-12)
    return gradient.gradient, (4 * near - far) / 3


def test_every_kind_of_parameter(session: Session) -> None:
    network = every_kind()
    found, wanted = both(StaticPlan(network, options=TIGHT), batch_of(network), session)
    scale = np.abs(network.parameters)
    assert tc.error(found, wanted, scale) < 1e-6
    size = np.linalg.norm(wanted * scale)
    for entry, one, other, unit in zip(network.trainable, found, wanted, scale, strict=True):
        dead = entry.parameter in ("capacitance", "initial_voltage", "inductance")
        assert (one == 0.0) == dead, entry.label
        assert dead or abs(other) * unit > 1e-5 * size, entry.label
        assert abs(one - other) * unit < 1e-7 * size + 1e-5 * abs(other) * unit, entry.label


@pytest.mark.parametrize(
    "network",
    [
        layered(2, [3], 2, seed=1),
        layered(2, [3], 1, seed=2, gain=4.0, diode_offset=0.3, differential_outputs=True),
        graph(12, 2, 2, seed=2),
    ],
    ids=lambda n: n.name,
)
@pytest.mark.parametrize("settling", [None, Settling(2e-4, 1e-6, 1e-11)], ids=["op", "settled"])
def test_networks_with_a_co_content_agree_with_equilibrium(
    network: Network, settling: Settling | None, session: Session
) -> None:
    plan, batch = StaticPlan(network, settling), batch_of(network)
    found, wanted = both(plan, batch, session)
    assert tc.error(found, wanted, network.parameters) < 1e-5
    phases = StaticPhases(plan, session)
    estimator = Equilibrium()
    tasks = [t.run(phases) for t in estimator.tasks(plan, batch, LOSS)]
    nudged = estimator.combine(plan, batch, tasks).gradient
    assert tc.error(found, nudged, network.parameters) < 1e-5


@pytest.mark.parametrize("name", tc.CARDS)
def test_transistors_of_every_card(name: str, session: Session) -> None:
    """Body effect, both directions of the pass transistor, a diode-connected load, a stack of two."""
    (n, w, l, supply), (p, *_) = tc.card(name), tc.card(name, "pmos")  # noqa: E741
    size = {"w": w, "l": l, "pd": 3 * w, "ps": 3 * w}
    elements = (
        voltage_source("x", "x", driven=True),
        voltage_source("vd", "vd", dc=supply),
        voltage_source("vg1", "g1", dc=0.8 * supply),
        voltage_source("vg2", "g2", dc=0.6 * supply),
        voltage_source("vb", "bb", dc=-0.1 * supply),
        mosfet("m1", "x", "g1", "a", "bb", model=n, **size),
        mosfet("m2", "o", "a", "s", "bb", model=n, **size),
        mosfet("m3", "o", "o", "vd", "vd", model=p, **size),
        mosfet("m4", "s", "g2", "0", "bb", model=n, **size),
        resistor("ra", "a", "0", conductance=2e-6),
        resistor("rx", "o", "a", conductance=1e-6),
    )
    trained = [Trainable(s, "dc", -5.0, 5.0) for s in ("vg1", "vg2", "vb", "vd")]
    trained += [Trainable(r, "conductance", 1e-9, 1e-3) for r in ("ra", "rx")]
    if name == "level1":
        trained += [Trainable(f"m{k}", "w", 1e-7, 1e-4) for k in range(1, 5)]
    network = Network("four", elements, (Drive("x", 0),), (Output("o"), Output("a")), tuple(trained))
    drives = supply * np.array([[0.8], [-0.1], [0.4]])
    batch = Batch(drives, supply * np.array([[0.3, 0.1], [0.5, 0.2], [0.4, 0.1]]))
    found, wanted = both(StaticPlan(network, options=TIGHT), batch, session)
    assert tc.error(found, wanted, np.abs(network.parameters)) < 1e-5


def test_the_reported_parameters_of_gf180mcu_are_less_exact() -> None:
    """Its substrate currents are not in the report, so that `auto` measures them."""
    from circuits.devices.mosfet_linear import unreported

    for name in ("freepdk45", "gf180mcu"):
        if tc.has(f"c4m-pdk-{name}"):
            assert "currents" in unreported(tc.alone(name).element("m"))
    assert not unreported(tc.alone("bsim3").element("m"))


def test_workers_do_not_change_a_bit_and_parameters_are_followed() -> None:
    network = every_kind()
    batch = batch_of(network, count=9)
    moved = network.parameters * np.linspace(0.8, 1.2, len(network.trainable))
    found = []
    for workers in (1, 2):
        with Simulator(StaticPlan(network), workers=workers) as simulator:
            simulator.gradient(batch, LOSS, OperatingPointAdjoint())
            simulator.parameters = moved
            found.append(simulator.gradient(batch, LOSS, OperatingPointAdjoint()).gradient)
    assert found[0].tobytes() == found[1].tobytes()
    fresh = StaticPlan(network.with_parameters(moved))
    task = OperatingPointTask(batch, LOSS, "auto")
    np.testing.assert_allclose(found[0] * len(batch), task.run(StaticPhases(fresh))[2], rtol=1e-6)


def test_a_sample_without_error_has_no_gradient(session: Session) -> None:
    network = every_kind()
    batch = batch_of(network, count=1)
    phases = StaticPhases(StaticPlan(network), session)
    exact = replace(batch, targets=phases.evaluate(batch, LOSS)[1])
    assert not OperatingPointTask(exact, LOSS, "auto").run(phases)[2].any()


def test_what_moves_by_itself_is_refused() -> None:
    elements = (
        voltage_source("x", "a", driven=True),
        resistor("r", "a", "b", conductance=1e-3),
        MEMRISTOR.element("mem", "b", "0", **{p.name: 0.5 for p in MEMRISTOR.parameters}),
    )
    network = Network("n", elements, (Drive("x", 0),), (Output("b"),))
    with pytest.raises(UnsupportedElementError, match=r"mem: a .* has internal states"):
        OperatingPointAdjoint().check(StaticPlan(network))
