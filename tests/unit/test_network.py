"""The network description: what it refuses, in one line that names the culprit, and what it derives."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from bridge.errors import NetworkError
from circuits.devices.base import Element, ModelCard
from circuits.devices.diode import diode
from circuits.devices.passive import RESISTOR, capacitor, resistor
from circuits.devices.sources import VOLTAGE_SOURCE, amplifier, current_source, switch, voltage_source
from circuits.network import Drive, Network, Output, Trainable

SOURCE = voltage_source("in", "a", driven=True)
DRIVES = (Drive("in", 0),)


def divider(**changes: object) -> Network:
    parts = {
        "name": "divider",
        "elements": (
            SOURCE,
            resistor("up", "a", "b", conductance=1e-3),
            resistor("down", "b", "0", conductance=2e-3),
        ),
        "drives": DRIVES,
        "outputs": (Output("b"),),
        "trainable": (Trainable("up", "conductance", 1e-6, 1e-1),),
    }
    return Network(**{**parts, **changes})  # type: ignore[arg-type]


def with_extra(*extra: Element) -> Callable[[], Network]:
    return lambda: divider(elements=(*divider().elements, *extra))


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "element twice": (with_extra(resistor("up", "b", "0", conductance=1.0)), "'up'.*used twice"),
    "elements that differ by case": (
        with_extra(resistor("UP", "b", "0", conductance=1.0)),
        "'UP'.*used twice",
    ),
    "nodes that differ by case": (with_extra(resistor("r", "B", "0", conductance=1.0)), "'b' and 'B'.*case"),
    "element name with a space": (with_extra(resistor("r 1", "b", "0", conductance=1.0)), "'r 1'"),
    "line break in an element name": (
        with_extra(resistor("r\n.end", "b", "0", conductance=1.0)),
        "names are",
    ),
    "node name with a bracket": (with_extra(resistor("r", "v(b)", "0", conductance=1.0)), r"'v\(b\)'"),
    "ground by its other name": (with_extra(resistor("r", "b", "gnd", conductance=1.0)), "r: node 'gnd'"),
    "node that ngspice reserves": (with_extra(resistor("r", "b", "TIME", conductance=1.0)), "r: node 'TIME'"),
    "no ground": (
        lambda: Network("loose", (resistor("r", "a", "b", conductance=1.0),)),
        "loose: no element is connected to ground",
    ),
    "unknown output node": (lambda: divider(outputs=(Output("nowhere"),)), "output nowhere.*'nowhere'"),
    "unknown minus node": (lambda: divider(outputs=(Output("b", "away"),)), "output b,away.*'away'"),
    "driven source without a drive": (lambda: divider(drives=()), "exactly one drive"),
    "drive for no source": (lambda: divider(drives=(*DRIVES, Drive("up", 0))), "exactly one drive"),
    "two drives for a source": (lambda: divider(drives=(*DRIVES, *DRIVES)), "exactly one drive"),
    "trainable of no element": (
        lambda: divider(trainable=(Trainable("ghost", "conductance", 1e-6, 1e-1),)),
        "no element 'ghost'",
    ),
    "unknown parameter": (
        lambda: divider(trainable=(Trainable("up", "resistance", 1e-6, 1e-1),)),
        "no parameter 'resistance'; it has: conductance",
    ),
    "parameter that is not trainable": (
        lambda: Network(
            "d", (diode("d", "a", "0"),), trainable=(Trainable("d", "saturation_current", 0.0, 1.0),)
        ),
        "d.saturation_current: this parameter cannot be trained",
    ),
    "bounds wider than the device's": (
        lambda: divider(trainable=(Trainable("up", "conductance", 0.0, 1e-1),)),
        "up.conductance: training bounds",
    ),
    "bounds the wrong way round": (
        lambda: divider(trainable=(Trainable("up", "conductance", 1e-1, 1e-6),)),
        "up.conductance: training bounds",
    ),
    "negative conductance": (
        lambda: resistor("r", "a", "b", conductance=-1.0),
        "r: conductance = -1 S is outside",
    ),
    "conductance that is no number": (
        lambda: resistor("r", "a", "b", conductance=float("nan")),
        "r: conductance = nan S is outside",
    ),
    "infinite source": (lambda: voltage_source("v", "a", dc=float("inf")), "v: dc = inf V is outside"),
    "one terminal too few": (
        lambda: RESISTOR.element("r", "a", conductance=1.0),
        r"r: .*2 terminals \(p, n\), not 1",
    ),
    "one terminal too many": (lambda: VOLTAGE_SOURCE.element("v", "a", "b", "c"), "v: .*2 terminals.*not 3"),
    "value that is missing": (
        lambda: RESISTOR.element("r", "a", "b"),
        "r: a resistor needs a value for conductance",
    ),
    "value of no parameter": (lambda: RESISTOR.element("r", "a", "b", ohms=3.0), "no parameter 'ohms'"),
    "diode with a transistor's card": (
        lambda: diode("d", "a", "b", model=ModelCard("m", "NMOS")),
        "d: model card 'm' is of type NMOS",
    ),
    "wrong number of parameters": (
        lambda: divider().with_parameters([1.0, 2.0]),
        r"\(2,\) values for 1 trainable",
    ),
    "parameter out of the device's bounds": (
        lambda: divider().with_parameters([-1.0]),
        "up: conductance = -1",
    ),
    "too few features": (lambda: divider().drive_values(np.zeros((4, 0))), "0 features, the network takes 1"),
    "too many features": (lambda: divider().drive_values([1.0, 2.0]), "2 features, the network takes 1"),
    "unknown element": (lambda: divider().element("ghost"), "'divider' has no element 'ghost'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_in_one_line(case: str) -> None:
    build, message = WRONG[case]
    with pytest.raises(NetworkError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value).replace("\\n", "")


def test_a_network_cannot_be_changed_in_place() -> None:
    network = divider()
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.name = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.elements[1].values = (1.0,)  # type: ignore[misc]
    network.parameters[0] = 5.0
    assert network.parameters[0] == 1e-3


def test_new_parameters_make_a_new_network_and_leave_the_old_one() -> None:
    network = divider()
    changed = network.with_parameters([5e-3])
    assert (network.parameters[0], changed.parameters[0]) == (1e-3, 5e-3)
    assert changed.element("up").value("conductance") == 5e-3
    assert changed.element("down") == network.element("down")


def test_drive_values_scale_shift_and_hold() -> None:
    network = Network(
        "drives",
        (voltage_source("x", "a", driven=True), current_source("bias", "a", driven=True),
         voltage_source("xn", "b", driven=True)),
        (Drive("xn", 1, -2.0, 0.5), Drive("bias", None, 9.0, 1e-3), Drive("x", 0, 3.0)),
    )  # fmt: skip
    assert network.n_features == 2
    np.testing.assert_allclose(network.drive_values([1.0, 10.0]), [-19.5, 1e-3, 3.0])
    batch = network.drive_values([[1.0, 10.0], [0.0, 0.0]])
    np.testing.assert_allclose(batch, [[-19.5, 1e-3, 3.0], [0.5, 1e-3, 0.0]])


def test_a_network_without_drives_takes_samples_without_features() -> None:
    network = Network("fixed", (voltage_source("v", "a", dc=1.0),))
    assert network.drive_values(np.zeros((3, 0))).shape == (3, 0)


def test_held_nodes_are_those_that_sources_tie_to_ground_also_in_a_chain() -> None:
    network = Network(
        "chain",
        (
            voltage_source("far", "c", "b", dc=1.0), voltage_source("near", "b", dc=1.0),
            voltage_source("floating", "x", "y", dc=1.0), resistor("r", "c", "x", conductance=1.0),
            current_source("i", "y", dc=1.0),
        ),
    )  # fmt: skip
    assert network.source_nodes == {"0", "b", "c"}


def test_parasitics_load_the_free_nodes_only() -> None:
    grown = divider().with_parasitics(1e-12)
    extra = grown.elements[len(divider().elements) :]
    assert [(e.nodes, e.value("capacitance")) for e in extra] == [(("b", "0"), 1e-12)]
    assert divider().with_parasitics(1e-12, ["a"]).elements[-1].nodes == ("a", "0")


def test_ground_is_the_last_column_of_node_voltages() -> None:
    network = divider()
    assert network.nodes == ("a", "b")
    assert network.node_index == {"a": 0, "b": 1, "0": 2}


def test_an_amplifier_feeds_back_the_reciprocal_of_its_gain_unless_told() -> None:
    assert amplifier("m", "a", "b", gain=4.0).value("backward_gain") == 0.25
    assert amplifier("m", "a", "b", gain=4.0, backward_gain=4.0).value("backward_gain") == 4.0


def test_a_network_pickles_with_everything() -> None:
    network = divider(
        elements=(*divider().elements, diode("d", "b", "0"), capacitor("c", "b", "0", capacitance=1e-9),
                  switch("s", "b", "0", "a", "0"), amplifier("m", "b", "q", gain=2.0)),
        positions=(("a", 0.0, 0.0),),
    )  # fmt: skip
    copy = pickle.loads(pickle.dumps(network))
    assert copy == network
    u = np.array([0.1])
    values = {"area": 1.0, "saturation_current": 1e-8, "emission": 1.5}
    assert copy.element("d").device.current(u, values) == network.element("d").device.current(u, values)
