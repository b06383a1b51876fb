"""Deviations of devices: moments of what is drawn, laws of drift and mismatch, seeds, and real gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from transistor_checks import CARDS, alone, card, currents, load

from bridge.errors import NetworkError
from bridge.estimators.equilibrium import Equilibrium
from bridge.estimators.finite_difference import FiniteDifference
from bridge.losses import make_loss
from bridge.ngspice.session import Session
from bridge.plans import StaticPlan
from bridge.simulator import Simulator
from bridge.updates.conductances import Readout
from bridge.updates.nonidealities import (
    Cells,
    DeviceError,
    Drift,
    Imperfections,
    Spread,
    Stuck,
    quantise,
    stream,
)
from bridge.updates.variation import Mismatch, at_temperature, spread_parameters
from circuits.deck import SolverOptions
from circuits.devices.base import ModelCard
from circuits.devices.cards import level1
from circuits.devices.memristors import MEMRISTORS
from circuits.devices.mosfet import mosfet
from circuits.devices.passive import resistor
from circuits.devices.sources import voltage_source
from circuits.network import GROUND, Drive, Network, Output, Trainable
from circuits.topologies.graph import graph
from circuits.topologies.layered import Conductances, layered
from circuits.topologies.memristive import MemristiveSynapses

N = 20_000
LOW, HIGH = np.full(N, 1e-6), np.full(N, 1e-4)
MIDDLE = np.full(N, 5e-5)
YAKOPCIC = MEMRISTORS["yakopcic"]
JO = YAKOPCIC.values("jo")


def cells(seed: int = 1, chip: int = 0, **kinds: object) -> Cells:
    """Cells with some deviations between 1 and 100 uS."""
    return Cells(Imperfections(**kinds), LOW, HIGH, seed, chip)  # type: ignore[arg-type]


def assert_deviation(sample: np.ndarray, sigma: float) -> None:
    """The sample's standard deviation is `sigma`, at a confidence of 1 - 1e-6."""
    n = len(sample)
    low, high = stats.chi2.ppf([5e-7, 1 - 5e-7], n - 1)
    assert low < (n - 1) * np.var(sample, ddof=1) / sigma**2 < high


def assert_mean(sample: np.ndarray, mean: float, sigma: float) -> None:
    """The sample's mean is `mean`, at a confidence of 1 - 1e-6."""
    assert abs(np.mean(sample) - mean) < stats.norm.ppf(1 - 5e-7) * sigma / np.sqrt(len(sample))


# --- what is drawn -----------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", ["normal", "lognormal"])
def test_a_spread_has_mean_1_and_its_deviation(distribution: str) -> None:
    spread = Spread(relative=0.2, distribution=distribution)  # type: ignore[arg-type]
    factors = spread.factors(N, np.random.default_rng(3))
    assert_mean(factors, 1.0, 0.2)
    assert np.std(factors) == pytest.approx(0.2, rel=0.03)
    shape = stats.norm(1, 0.2) if distribution == "normal" else stats.lognorm(np.sqrt(np.log(1.04)), scale=1.04**-0.5)  # fmt: skip  # noqa: E501
    assert stats.kstest(factors, shape.cdf).pvalue > 1e-6


def test_a_gain_belongs_to_the_device_and_cycle_noise_to_the_write() -> None:
    made = cells(spreads=(Spread(relative=0.1),), cycle_noise=0.05)
    writes = np.array([made.written(MIDDLE, k) for k in range(8)])
    noise = writes / (MIDDLE * made.gain) - 1.0
    assert_deviation(made.gain, 0.1)
    assert_deviation(noise.ravel(), 0.05)
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 5 / np.sqrt(N)
    assert abs(np.corrcoef(noise[0], made.gain)[0, 1]) < 5 / np.sqrt(N)
    assert (made.written(MIDDLE, 3) == writes[3]).all()


def test_writes_end_at_the_bounds() -> None:
    made = cells(spreads=(Spread(relative=2.0),))
    reached = made.written(MIDDLE, 0)
    assert reached.min() == LOW[0]
    assert reached.max() == HIGH[0]


def test_read_noise_is_of_each_read() -> None:
    made = cells(read_noise=0.03)
    first, second = made.read(MIDDLE, 0, 1), made.read(MIDDLE, 0, 2)
    assert_deviation(first / MIDDLE, 0.03)
    assert_mean(first / MIDDLE, 1.0, 0.03)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(N)
    assert (made.read(MIDDLE, 0, 1) == first).all()
    assert (cells().read(MIDDLE, 0, 1) == MIDDLE).all()


def test_drift_follows_its_power_law() -> None:
    """The logarithm of what is left is linear in that of time, with the devices' own exponents as slopes."""
    made = [
        cells(drift=Drift(0.06, 0.01, reference_time=2.0, elapsed=t)).aged(MIDDLE) for t in (2.0, 2e2, 2e5)
    ]
    slopes = [-np.log(g / MIDDLE) / np.log(t / 2.0) for g, t in zip(made[1:], (2e2, 2e5), strict=True)]
    assert (made[0] == MIDDLE).all()
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-12)
    assert_mean(slopes[0], 0.06, 0.01)
    assert_deviation(slopes[0], 0.01)
    assert (cells(drift=Drift(0.0, 0.5, 1.0, 1e9)).aged(MIDDLE) <= MIDDLE).all()  # nothing grows


def test_stuck_cells_have_their_shares_and_no_write_moves_them() -> None:
    made = cells(stuck=Stuck(on=0.05, off=0.1, random=0.2), cycle_noise=0.1)
    for share, found in (
        (0.05, made.stuck == HIGH), (0.1, made.stuck == LOW), (0.35, np.isfinite(made.stuck)),
    ):  # fmt: skip
        assert abs(found.mean() - share) < 5 * np.sqrt(share * (1 - share) / N)
    held = np.isfinite(made.stuck)
    writes = [made.written(MIDDLE, k) for k in range(2)]
    assert (writes[0][held] == writes[1][held]).all()
    assert (writes[0][~held] != writes[1][~held]).all()
    anywhere = made.stuck[held & (made.stuck != LOW) & (made.stuck != HIGH)]
    assert stats.kstest((anywhere - 1e-6) / 9.9e-5, "uniform").pvalue > 1e-6


@pytest.mark.parametrize("spacing", ["linear", "log"])
def test_levels_are_even_and_the_nearest_is_taken(spacing: str) -> None:
    wanted = np.random.default_rng(5).uniform(LOW, HIGH)
    got = quantise(wanted, LOW, HIGH, 32, spacing)  # type: ignore[arg-type]
    levels = np.linspace(1e-6, 1e-4, 32) if spacing == "linear" else np.geomspace(1e-6, 1e-4, 32)
    scale = np.asarray if spacing == "linear" else np.log
    distance = np.abs(scale(wanted)[:, None] - scale(levels)[None, :])
    np.testing.assert_allclose(got, levels[distance.argmin(axis=1)], rtol=1e-9)
    np.testing.assert_allclose(quantise(got, LOW, HIGH, 32, spacing), got, rtol=1e-12)  # type: ignore[arg-type]
    if spacing == "linear":  # the error of a uniform value is uniform within half a step
        assert_deviation(got - wanted, (HIGH - LOW)[0] / 31 / np.sqrt(12))
        assert {1e-6, 1e-4} <= set(quantise(np.array([1e-6, 1e-4]), LOW[:2], HIGH[:2], 32))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Spread(relative=-0.1), lambda: Stuck(on=0.6, off=0.5), lambda: Drift(-0.1),
        lambda: Drift(0.1, 0.0, 10.0, 1.0), lambda: Imperfections(cycle_noise=float("nan")),
        lambda: quantise(MIDDLE, LOW, HIGH, 1),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(wrong: object) -> None:
    with pytest.raises(DeviceError):
        wrong()  # type: ignore[operator]


# --- seeds -------------------------------------------------------------------------------------------


def test_everything_follows_from_the_seed_and_the_purpose() -> None:
    kinds = {
        "spreads": (Spread(relative=0.1),), "stuck": Stuck(random=0.3), "drift": Drift(0.1, 0.05),
        "cycle_noise": 0.1,
    }  # fmt: skip
    one, same, other, chip = cells(1, **kinds), cells(1, **kinds), cells(2, **kinds), cells(1, 1, **kinds)
    for name in ("gain", "stuck", "exponents"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
        assert (np.nan_to_num(getattr(one, name)) != np.nan_to_num(getattr(other, name))).any()
        assert (np.nan_to_num(getattr(one, name)) != np.nan_to_num(getattr(chip, name))).any()
    # One deviation more does not change what is drawn for the others.
    fewer = cells(1, spreads=kinds["spreads"])
    np.testing.assert_array_equal(fewer.gain, one.gain)
    # Streams of different purposes and numbers are independent.
    draws = [
        stream(1, p, *n).standard_normal(N)
        for p, n in (("gain", (0,)), ("gain", (1,)), ("write", (0, 0)), ("write", (0, 1)), ("read", (0, 0)))
    ]
    off = np.corrcoef(draws)[~np.eye(len(draws), dtype=bool)]
    assert np.abs(off).max() < 5 / np.sqrt(N)


# --- networks ----------------------------------------------------------------------------------------


def memristive(**changes: object) -> Network:
    """A small layered network with memristors as synapses."""
    synapses = MemristiveSynapses(YAKOPCIC, JO, **changes)  # type: ignore[arg-type]
    card = ModelCard("dlearn", "D", (("is", 1e-11), ("n", 1.5)))
    return layered(2, [3], 2, seed=1, bias=0.4, gain=4, diode_card=card, conductances=synapses)


def test_spread_parameters_share_a_factor_and_stay_within_bounds() -> None:
    nominal = memristive()
    made = spread_parameters(nominal, [Spread(("a1", "a2"), 0.05), Spread(("xp",), 5.0)], 1)
    names = [t.element for t in nominal.trainable]
    ratios = np.array([[made.element(n).value(p) / JO[p] for p in ("a1", "a2")] for n in names])
    np.testing.assert_allclose(ratios[:, 0], ratios[:, 1], rtol=1e-12)
    assert 0.02 < np.std(ratios[:, 0]) < 0.1
    xp = np.array([made.element(n).value("xp") for n in names])
    assert xp.min() == 0.01
    assert xp.max() == 0.99
    assert (made.parameters == nominal.parameters).all()
    assert spread_parameters(nominal, [Spread(("a1", "a2"), 0.05)], 1) == spread_parameters(
        nominal, [Spread(("a1", "a2"), 0.05)], 1
    )
    with pytest.raises(DeviceError, match=r"spread of a3: no element has .*there are: .*a1"):
        spread_parameters(nominal, [Spread(("a3",), 0.05)], 1)
    with pytest.raises(DeviceError, match="no element has such a fixed parameter"):
        spread_parameters(nominal, [Spread(("x",), 0.05)], 1)  # learning owns it


def transistors(width: float, length: float, count: int = 2000) -> Network:
    """Transistors between the same three nodes."""
    card = level1("nlearn", "nmos", vto=0.4, kp=1e-4)
    parts = [mosfet(f"m{k}", "d", "g", GROUND, GROUND, model=card, w=width, l=length) for k in range(count)]
    return Network("pairs", tuple(parts))


def mismatches(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Threshold [V] and gain of neighbours, their differences: `(n / 2,)` each."""
    cards = [e.model for e in network.elements if e.model is not None]
    vt = np.array([c.get("vto", np.nan) for c in cards])
    kp = np.array([c.get("kp", np.nan) for c in cards]) / 1e-4
    return vt[::2] - vt[1::2], kp[::2] - kp[1::2]


def test_mismatch_obeys_pelgroms_law() -> None:
    """`sigma = A / sqrt(W L)` of the differences of pairs, at three areas and two shapes."""
    law = Mismatch(threshold=5e-9, gain=1e-8)
    for width, length in ((1e-6, 1e-6), (4e-6, 1e-6), (1e-6, 4e-6), (4e-6, 4e-6)):
        vt, beta = mismatches(law.applied(transistors(width, length), 7))
        assert_deviation(vt, 5e-9 / np.sqrt(width * length))
        assert_deviation(beta, 1e-8 / np.sqrt(width * length))
        assert_mean(vt, 0.0, 5e-9 / np.sqrt(width * length))
    with pytest.raises(DeviceError, match="no transistor"):
        law.applied(memristive(), 1)


def test_a_mismatched_threshold_moves_the_current_of_the_simulated_transistor() -> None:
    """In saturation a level-1 transistor has `i = kp / 2 W / L (vgs - vt)^2`; so do mismatched ones."""
    card = level1("nlearn", "nmos", vto=0.4, kp=1e-4)
    parts = [mosfet(f"m{k}", f"d{k}", "g", GROUND, GROUND, model=card) for k in range(3)]
    loads = [resistor(f"r{k}", "vdd", f"d{k}", conductance=1e-3) for k in range(3)]
    sources = [voltage_source("vg", "g", GROUND, driven=True), voltage_source("vs", "vdd", GROUND, dc=2.0)]
    network = Network(
        "mirror", (*parts, *loads, *sources), (Drive("vg"),), tuple(Output(f"d{k}") for k in range(3))
    )
    network = replace(network, drives=(Drive("vg", 0),))
    made = Mismatch(threshold=2e-8, gain=1e-7).applied(network, 3)
    with Simulator(StaticPlan(made)) as simulator:
        currents = (2.0 - simulator.outputs([[1.0]])[0]) * 1e-3
    cards = [made.element(f"m{k}").model for k in range(3)]
    expected = [0.5 * c.get("kp", 0) * (1.0 - c.get("vto", 0)) ** 2 for c in cards if c is not None]
    np.testing.assert_allclose(currents, expected, rtol=1e-4)
    assert np.ptp(currents) > 0.01 * np.mean(currents)


def test_temperature_reaches_the_simulator_and_the_devices() -> None:
    """A diode's voltage at a fixed current falls by 1 to 3 mV a kelvin (silicon)."""
    from circuits.devices.diode import diode

    card = ModelCard("dlearn", "D", (("is", 1e-14), ("n", 1.0)))
    parts = (
        voltage_source("vs", "s", GROUND, driven=True),
        resistor("r", "s", "a", conductance=1e-5), diode("d", "a", GROUND, model=card),
    )  # fmt: skip
    network = Network("thermometer", parts, (Drive("vs", 0),), (Output("a"),))
    found = []
    for celsius in (27.0, 77.0):
        with Simulator(StaticPlan(network, None, SolverOptions(extra=(("temp", celsius),)))) as simulator:
            found.append(float(simulator.outputs([[5.0]])[0, 0]))
    assert -3e-3 < (found[1] - found[0]) / 50.0 < -1e-3
    assert at_temperature(network, 350.0) == network  # resistors and diodes have no such parameter


@pytest.mark.parametrize("kind", MEMRISTORS)
def test_the_temperature_reaches_every_memristor_whose_law_has_one(kind: str) -> None:
    """A temperature enters rates through `k T`; a device with such a law changes its rates, others do not."""
    device = MEMRISTORS[kind]
    own = [p for p in device.parameters if p.unit == "K" and p.name not in device.initial_names]
    assert (device.ambient is not None) == (kind in ("stanford_pku", "filament", "knowm_mms"))
    assert own == [p for p in (device.ambient,) if p is not None]
    for made in (device, device.static()):
        values = {n: v for n, v in device.values().items() if made is device or n not in device.initial_names}
        if made is not device:
            values.update({s.name: device.values()[s.initial] for s in device.states})
        cold = Network("one", (made.element("m", "a", GROUND, **values),))  # type: ignore[arg-type]
        hot = at_temperature(cold, 400.0)
        assert (hot == cold) == (not own)
        assert not own or hot.element("m").value(own[0].name) == 400.0
    if own:
        voltage = 1.2 if kind != "knowm_mms" else 0.2
        at = {
            **device.at_rest(device.values(**{device.initial_names[0]: np.mean(device.bounds[0])})),
            "u": voltage,
        }
        rates = [
            abs(float(device.evaluate(device.states[0].rate, {**at, own[0].name: t}))) for t in (300.0, 400.0)
        ]
        assert rates[1] > 1.5 * rates[0] > 0.0
        with pytest.raises(DeviceError, match=r"temperature: m: .* = 0.5 K is outside"):
            at_temperature(cold, 0.5)


@pytest.mark.parametrize("name", CARDS)
def test_no_mismatch_leaves_every_current_as_it_is(name: str, session: Session) -> None:
    """The words of a card (`version=4.0`) choose the model's equations: a mismatched card keeps them."""
    network, (_, _, _, supply) = alone(name), card(name)
    if name == "bsim3":  # whose card here has no mobility
        first, *rest = network.elements
        assert first.model is not None
        model = replace(first.model, parameters=(*first.model.parameters, ("u0", 0.067)))
        network = replace(network, elements=(replace(first, model=model), *rest))
    volts = [supply * np.array(v) for v in ((1.0, 0.5, 0.0, 0.0), (0.2, 1.0, 0.0, -0.2))]
    found = []
    for made in (network, Mismatch().applied(network, 3), Mismatch(threshold=1e-9).applied(network, 3)):
        circuit = load(session, made)
        found.append(np.array([currents(circuit, v)[0] for v in volts]))
    np.testing.assert_array_equal(found[0], found[1])
    assert (np.abs(found[2] / found[0] - 1.0) > 1e-5).all()


# --- memristive synapses -----------------------------------------------------------------------------


def test_conductances_and_states_are_each_others_inverse() -> None:
    network = memristive()
    readout = Readout(network)
    theta = network.parameters
    g = readout.conductances(theta)
    np.testing.assert_allclose(g, JO["a1"] * theta * np.sinh(0.1 * JO["b"]) / 0.1, rtol=1e-12)
    np.testing.assert_allclose(readout.parameters(g, theta), theta, rtol=1e-9)
    with_resistors = layered(2, [2], 1, seed=1)
    assert (
        Readout(with_resistors).conductances(with_resistors.parameters) == with_resistors.parameters
    ).all()


def test_bounds_and_draws_in_states_and_in_siemens_agree() -> None:
    ends = [float(YAKOPCIC.read_conductance({**JO, "x": x})) for x in (0.02, 0.9, 0.2, 0.4)]
    names = ("lower", "upper", "initial_lower", "initial_upper")
    states = memristive(**dict(zip(names, (0.02, 0.9, 0.2, 0.4), strict=True)))
    siemens = memristive(conductance=True, **dict(zip(names, ends, strict=True)))
    ideal = memristive(fidelity="ideal", **dict(zip(names, (0.02, 0.9, 0.2, 0.4), strict=True)))
    np.testing.assert_allclose(states.parameters, siemens.parameters, rtol=1e-9)
    np.testing.assert_allclose(states.bounds, siemens.bounds, rtol=1e-9)
    np.testing.assert_allclose(ideal.parameters, Readout(states).conductances(states.parameters), rtol=1e-9)
    assert {t.parameter for t in ideal.trainable} == {"conductance"}
    assert 0.2 <= states.parameters.min() <= states.parameters.max() <= 0.4
    with pytest.raises(NetworkError, match="leave what the device reaches"):
        memristive(upper=1.5)
    with pytest.raises(NetworkError, match="not in this order"):
        memristive(lower=0.5)


def test_a_graph_takes_the_same_synapses_and_resistors_stay_what_they_were() -> None:
    made = graph(8, 2, 2, seed=1, conductances=MemristiveSynapses(YAKOPCIC, JO))
    assert {made.element(t.element).device.kind for t in made.trainable} == {"yakopcic_static"}
    plain = graph(8, 2, 2, seed=1, conductances=Conductances())
    assert {made.element(t.element).nodes for t in made.trainable} == {
        plain.element(t.element).nodes for t in plain.trainable
    }
    assert plain.trainable[0] == Trainable(plain.trainable[0].element, "conductance", 1e-7, 1e-3, "edges")


def test_equilibrium_propagation_is_exact_on_spread_memristors() -> None:
    """Against central differences, on devices that all differ and whose law is not linear."""
    network = spread_parameters(memristive(), [Spread(("a1", "a2"), 0.1), Spread(("b",), 0.3)], 2)
    plan = StaticPlan(network, None, SolverOptions(abstol=1e-17, reltol=1e-7))
    rng = np.random.default_rng(0)
    loss = make_loss("cross_entropy", scale=10)
    with Simulator(plan) as simulator:
        batch = simulator.batch(rng.normal(0, 0.4, (3, 2)), np.eye(2)[[0, 1, 1]])
        reference = simulator.gradient(batch, loss, FiniteDifference(relative_step=1e-3)).gradient
        found = simulator.gradient(batch, loss, Equilibrium(1e-11)).gradient
    assert np.linalg.norm(found - reference) < 1e-5 * np.linalg.norm(reference)
