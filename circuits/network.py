"""The network: what is built, as an immutable description that knows nothing of a simulator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.errors import NetworkError
from circuits.devices.base import Element, FloatArray
from circuits.devices.passive import capacitor

IntArray = NDArray[np.int64]

GROUND = "0"
_NAME = re.compile(r"[A-Za-z0-9_]+")
_RESERVED = {"gnd", "time", "temper"}  # ngspice: ground, the time axis, the temperature (a crash)


@dataclass(frozen=True)
class Drive:
    """How a sample's features set one driven source: `scale * features[feature] + offset`.

    Attributes:
        source: name of the driven source.
        feature: index of the feature, or `None` for a constant (a bias).
        scale: source units per feature unit.
        offset: in the source's unit [V or A].
    """

    source: str
    feature: int | None = None
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Output:
    """A pair of nodes whose voltage difference `v(plus) - v(minus)` [V] is an output."""

    plus: str
    minus: str = GROUND

    @property
    def label(self) -> str:
        """Name for tables and plots."""
        return self.plus if self.minus == GROUND else f"{self.plus},{self.minus}"


@dataclass(frozen=True)
class Trainable:
    """One parameter of one element that learning may change.

    Attributes:
        element: name of the element.
        parameter: name of its parameter.
        lower: smallest value allowed while training.
        upper: largest value allowed while training.
        group: name shared by the parameters that plots show together (a layer's weights).
    """

    element: str
    parameter: str
    lower: float
    upper: float
    group: str = ""

    @property
    def label(self) -> str:
        """`element.parameter`."""
        return f"{self.element}.{self.parameter}"


@dataclass(frozen=True)
class Network:
    """Elements on nodes, driven sources, outputs and trainable parameters.

    Attributes:
        name: for titles and file names.
        elements: in the order of the netlist.
        drives: how features set the driven sources, in the order of the drives' columns.
        outputs: output ports.
        trainable: trainable parameters, in the order of every parameter vector.
        positions: places of nodes in a drawing, `(node, x, y)`; may be empty.
        probes: voltage sources whose currents [A], into their plus terminal, are further outputs of
            transients, behind the voltages.
    """

    name: str
    elements: tuple[Element, ...]
    drives: tuple[Drive, ...] = ()
    outputs: tuple[Output, ...] = ()
    trainable: tuple[Trainable, ...] = ()
    positions: tuple[tuple[str, float, float], ...] = ()
    probes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_names()
        nodes = set(self.nodes) | {GROUND}
        if GROUND not in {n for e in self.elements for n in e.nodes}:
            raise NetworkError(f"{self.name}: no element is connected to ground (node 0)")
        for output in self.outputs:
            for node in (output.plus, output.minus):
                if node not in nodes:
                    raise NetworkError(f"output {output.label}: the network has no node {node!r}")
        for probe in self.probes:
            if self.element(probe).device.kind != "voltage_source":
                raise NetworkError(f"probe {probe}: only the currents of voltage sources can be probed")
        driven = {e.name for e in self.elements if e.driven}
        asked = [d.source for d in self.drives]
        if len(set(asked)) != len(asked) or set(asked) != driven:
            raise NetworkError(
                f"{self.name}: every driven source needs exactly one drive "
                f"(driven: {sorted(driven)}, drives: {sorted(asked)})"
            )
        for entry in self.trainable:
            device = self.element(entry.element).device
            parameter = device.parameters[device.index(entry.parameter)]
            if not parameter.trainable:
                raise NetworkError(f"{entry.label}: this parameter cannot be trained")
            if not parameter.lower <= entry.lower <= entry.upper <= parameter.upper:
                raise NetworkError(
                    f"{entry.label}: training bounds [{entry.lower:g}, {entry.upper:g}] leave the "
                    f"device's [{parameter.lower:g}, {parameter.upper:g}]"
                )

    def _check_names(self) -> None:
        seen: dict[str, str] = {}
        for element in self.elements:
            if not _NAME.fullmatch(element.name):
                raise NetworkError(f"element {element.name!r}: names are letters, digits and underscores")
            key = element.name.lower()
            if key in seen:
                raise NetworkError(f"element {element.name!r}: the name is used twice ({seen[key]!r})")
            seen[key] = element.name
            for node in element.nodes:
                if not _NAME.fullmatch(node):
                    raise NetworkError(f"{element.name}: node {node!r}: letters, digits and underscores only")
                if node.lower() in _RESERVED:
                    raise NetworkError(
                        f"{element.name}: node {node!r}: ngspice reserves this name; ground is {GROUND!r}"
                    )
        folded: dict[str, str] = {}
        for node in self.nodes:
            if folded.setdefault(node.lower(), node) != node:
                raise NetworkError(f"nodes {folded[node.lower()]!r} and {node!r} differ by case only")

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """All nodes but ground, in the order of first use."""
        return tuple(dict.fromkeys(n for e in self.elements for n in e.nodes if n != GROUND))

    @cached_property
    def node_index(self) -> dict[str, int]:
        """Column of each node in an array of node voltages; ground is the last column."""
        index = {node: k for k, node in enumerate(self.nodes)}
        index[GROUND] = len(index)
        return index

    @cached_property
    def _by_name(self) -> dict[str, Element]:
        return {e.name: e for e in self.elements}

    def element(self, name: str) -> Element:
        """The element of that name.

        Raises:
            NetworkError: there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise NetworkError(f"the network {self.name!r} has no element {name!r}") from None

    @property
    def n_features(self) -> int:
        """Number of features that a sample needs."""
        return 1 + max((d.feature for d in self.drives if d.feature is not None), default=-1)

    def drive_values(self, features: ArrayLike) -> FloatArray:
        """Values of the driven sources for samples.

        Args:
            features: `(n_samples, n_features)` or `(n_features,)`.

        Returns:
            `(n_samples, n_drives)` or `(n_drives,)` [V or A].

        Raises:
            NetworkError: the number of features does not fit.
        """
        x = np.asarray(features, dtype=float)
        if x.shape[-1] != self.n_features:
            raise NetworkError(f"a sample has {x.shape[-1]} features, the network takes {self.n_features}")
        followers, features, scales, offsets = self._drive_rule
        found = np.empty((*x.shape[:-1], len(self.drives)))
        found[...] = offsets
        found[..., followers] += x[..., features] * scales
        return found

    @cached_property
    def _drive_rule(self) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """The drives that follow a feature, that feature and its factor; the constant part of all."""
        rule = [(k, d.feature, d.scale) for k, d in enumerate(self.drives) if d.feature is not None]
        followers, features, scales = zip(*rule, strict=True) if rule else ((), (), ())
        return (
            np.array(followers, dtype=np.int64),
            np.array(features, dtype=np.int64),
            np.array(scales, dtype=float),
            np.array([d.offset for d in self.drives], dtype=float),
        )

    @property
    def parameters(self) -> FloatArray:
        """Values of the trainable parameters, `(n_trainable,)`."""
        return np.array([self.element(t.element).value(t.parameter) for t in self.trainable], dtype=float)

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Training bounds, two arrays `(n_trainable,)`."""
        lower = np.array([t.lower for t in self.trainable], dtype=float)
        upper = np.array([t.upper for t in self.trainable], dtype=float)
        return lower, upper

    def with_parameters(self, values: ArrayLike) -> Network:
        """The same network with other values of the trainable parameters, `(n_trainable,)`.

        Raises:
            NetworkError: wrong length, or a value that its device does not allow.
        """
        theta = np.asarray(values, dtype=float)
        if theta.shape != (len(self.trainable),):
            raise NetworkError(f"{theta.shape} values for {len(self.trainable)} trainable parameters")
        changes: dict[str, dict[str, float]] = {}
        for entry, value in zip(self.trainable, theta, strict=True):
            changes.setdefault(entry.element, {})[entry.parameter] = float(value)
        elements = tuple(e.replace(**changes[e.name]) if e.name in changes else e for e in self.elements)
        return replace(self, elements=elements)

    def flat(self) -> Network:
        """The same network of simple elements only; trainable parameters keep their order.

        Raises:
            NetworkError: an inner node of a composite element has the name of one of the network's nodes.
        """
        parts = {e.name: e.device.expand(e) for e in self.elements}
        if all(parts[e.name] == (e,) for e in self.elements):
            return self
        for e in self.elements:
            inner = {n.lower() for part in parts[e.name] for n in part.nodes if n not in e.nodes}
            if clash := [n for n in self.nodes if n.lower() in inner]:
                raise NetworkError(
                    f"{e.name}: its inner node has the name of node {clash[0]!r}; rename the node"
                )
        elements = tuple(part for e in self.elements for part in parts[e.name])
        trainable = []
        for entry in self.trainable:
            whole = self.element(entry.element)
            name, parameter = whole.device.expand_parameter(whole, entry.parameter)
            trainable.append(replace(entry, element=name, parameter=parameter))
        return replace(self, elements=elements, trainable=tuple(trainable))

    def with_elements(self, extra: Iterable[Element]) -> Network:
        """The same network with more elements."""
        return replace(self, elements=(*self.elements, *extra))

    def with_parasitics(self, capacitance: float, nodes: Sequence[str] | None = None) -> Network:
        """The same network with a capacitor from nodes to ground, so that it settles in a transient.

        Args:
            capacitance: [F] for each node.
            nodes: which nodes; all but those of driven or constant voltage sources by default.
        """
        if nodes is None:
            held = self.source_nodes
            nodes = [n for n in self.nodes if n not in held]
        return self.with_elements(
            capacitor(f"par_{node}", node, GROUND, capacitance=capacitance) for node in nodes
        )

    @cached_property
    def source_nodes(self) -> frozenset[str]:
        """Nodes that a voltage source ties to ground, directly or through other such nodes."""
        held = {GROUND}
        sources = [e for e in self.elements if e.device.kind == "voltage_source"]
        changed = True
        while changed:
            changed = False
            for source in sources:
                pair = set(source.nodes[:2])
                if len(pair & held) == 1:
                    held |= pair
                    changed = True
        return frozenset(held)
