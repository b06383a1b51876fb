"""A user's own device as a file: a law as equations, a Verilog-A module, or a subcircuit.

    own = load_device(Path("bistable.yaml"))
    elements = own.place("m", ("a", "b"))

The YAML file holds data only: equations are read by `circuits.devices.equations`, Verilog-A is compiled,
subcircuits are read by the importer, which refuses whatever would run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from bridge.errors import NetworkError, SpecError
from bridge.experiment.source import Located, load_yaml, validate
from bridge.experiment.spec_own import SHIPPED, DeviceFileSpec, SubcircuitSpec, VerilogASpec
from circuits.devices.base import Element, Parameter
from circuits.devices.behavioural import Behavioural
from circuits.devices.memristors.base import Memristor, Published, Stimulus
from circuits.devices.own import DeclarationError, StateText, check_names, own_device
from circuits.devices.veriloga import verilog_a_element
from circuits.devices.veriloga_source import module_ports
from circuits.importer.subcircuit import ports_of, subcircuit_elements

DECLARATIONS = (".yaml", ".yml")
VERILOG = (".va", ".vams")
NETLISTS = (".sub", ".subckt", ".cir", ".sp", ".ckt", ".lib", ".mod")
DECLARED = "declared"
"""Name of the set of parameters that a device file gives."""


@dataclass(frozen=True)
class OwnDevice:
    """A device of the user's own.

    Attributes:
        located: its file.
        spec: what the file holds.
        declared: its equations; `None` where there are none.
        terminals: their names, the branch's two first.
    """

    located: Located = field(repr=False, compare=False)
    spec: DeviceFileSpec
    declared: Behavioural | None
    terminals: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the device."""
        return self.spec.device

    @property
    def opaque(self) -> bool:
        """Whether a file is simulated instead of the equations."""
        return self.spec.verilog_a is not None or self.spec.subcircuit is not None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """In the order of the file."""
        return tuple(p.made(name) for name, p in self.spec.parameters.items())

    @property
    def values(self) -> dict[str, float]:
        """Values of the parameters."""
        return {p.name: float(p.default or 0.0) for p in self.parameters}

    @property
    def stimulus(self) -> Stimulus:
        """What the validation applies."""
        return self.spec.cycle.made()

    def fail(self, key: Sequence[str], message: str) -> NoReturn:
        """Refuse something at a key of the file.

        Raises:
            SpecError: `file:line: key: message`.
        """
        _fail(self.located, tuple(key), message)

    def memristor(self) -> Memristor:
        """The device as a memristive one, for synapses and arrays.

        Raises:
            SpecError: it has no states, or a file is simulated instead of its equations.
        """
        if self.opaque:
            key = "verilog_a" if self.spec.verilog_a is not None else "subcircuit"
            self.fail((key,), "a synapse is a law at a frozen state, which only equations have; leave it out")
        if not isinstance(self.declared, Memristor):
            self.fail(("law",) if self.spec.law else (), "has no states; a synapse stores its weight in one")
        return self.declared

    def place(
        self, name: str, nodes: tuple[str, ...], values: Mapping[str, float] | None = None
    ) -> tuple[Element, ...]:
        """The device between nodes: one element, or those of its subcircuit.

        Args:
            name: of the element; elements of a subcircuit are called `xNAME_...`.
            nodes: one a terminal.
            values: parameters that differ from the file's.

        Raises:
            SpecError: a file is wrong.
            NetworkError: a wrong number of nodes, an unknown parameter, a value that is not allowed.
        """
        if len(nodes) != len(self.terminals):
            raise NetworkError(
                f"{name}: a {self.name} has {len(self.terminals)} terminals "
                f"({', '.join(self.terminals)}), not {len(nodes)}"
            )
        known = {p.name: p for p in self.parameters}
        for key, value in (values or {}).items():
            if key not in known:
                has = ", ".join(known) or "none"
                raise NetworkError(f"{name}: {self.name} has no parameter {key!r}; it has: {has}")
            p = known[key]
            if not p.lower <= value <= p.upper:
                raise NetworkError(
                    f"{name}: {key} = {value:g} {p.unit} is outside [{p.lower:g}, {p.upper:g}]"
                )
        given = {**self.values, **(values or {})}
        verilog, subcircuit = self.spec.verilog_a, self.spec.subcircuit
        if verilog is not None:
            ports = module_ports(verilog.file, verilog.module)
            own = {k: v for k, v in given.items() if k in ports.instance}
            card = {k: v for k, v in given.items() if k not in ports.instance}
            made = verilog_a_element(name, verilog.file, ports.module, nodes, own, card)
            if self.declared is None or self.declared.states:
                return (made,)
            # A current that follows from the branch voltage alone: that has a co-content, known or not.
            return (replace(made, device=replace(made.device, reciprocal=True)),)
        if subcircuit is not None:
            found, _ = ports_of(subcircuit.file, subcircuit.name)
            instance = name if name.lower().startswith("x") else f"x{name}"
            return subcircuit_elements(instance, subcircuit.file, found, nodes, given)
        assert self.declared is not None
        chosen: dict[str, Any] = dict(given)
        return (self.declared.element(name, *nodes, **chosen),)


def is_device_file(name: str) -> bool:
    """Whether a name is that of a file of a device."""
    return Path(name).suffix.lower() in (*DECLARATIONS, *VERILOG, *NETLISTS)


def load_device(path: Path | str) -> OwnDevice:
    """Read a user's device.

    Args:
        path: a YAML file; or a Verilog-A file or a netlist alone, whose only module or subcircuit is meant.

    Raises:
        SpecError: `file:line: key: what is wrong; what to do`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in DECLARATIONS:
        located = load_yaml(path)
    elif suffix in (*VERILOG, *NETLISTS):
        if not path.is_file():
            raise SpecError(f"{path}: no such file; give the path of a device file")
        key = "verilog_a" if suffix in VERILOG else "subcircuit"
        name = re.sub(r"[^a-z0-9_]", "_", path.stem.lower())
        name = name if name[:1].isalpha() and name not in SHIPPED else f"own_{name}"
        located = Located(path, {"device": name[:40], key: {"file": path.name}}, {})
    else:
        raise SpecError(f"{path}: a device is a file {', '.join((*DECLARATIONS, *VERILOG, *NETLISTS))}")
    spec = validate(DeviceFileSpec, located)
    terminals: tuple[str, ...] = ("p", "n")
    for key, part in (("verilog_a", spec.verilog_a), ("subcircuit", spec.subcircuit)):
        try:
            if isinstance(part, VerilogASpec):
                terminals = module_ports(part.file, part.module).terminals
            elif isinstance(part, SubcircuitSpec):
                terminals = ports_of(part.file, part.name)[1]
        except NetworkError as error:
            _fail(located, (key,), str(error))
    if len(terminals) < 2 or (spec.law is not None and len(terminals) != 2):
        key = "verilog_a" if spec.verilog_a is not None else "subcircuit"
        wanted = "two terminals, whose current law gives" if spec.law is not None else "two terminals or more"
        _fail(located, (key,), f"needs {wanted}; it has {len(terminals)}: {', '.join(terminals)}")
    for terminal in spec.bias:
        if terminal not in terminals[2:]:
            known = ", ".join(terminals[2:]) or "none"
            _fail(located, ("bias", terminal), f"is no terminal behind the first two; there are: {known}")
    try:
        declared = _declared(spec)
    except DeclarationError as error:
        _fail(located, error.key, error.reason)
    found = OwnDevice(located, spec, declared, terminals)
    if declared is None:
        try:
            check_names(list(spec.parameters))
        except DeclarationError as error:
            _fail(located, error.key, error.reason)
    try:
        found.place("x", tuple(f"n{k}" for k in range(len(terminals))))  # which checks files and values
    except NetworkError as error:
        _fail(located, ("parameters",), str(error).removeprefix("x: "))
    return found


def _declared(spec: DeviceFileSpec) -> Behavioural | None:
    law = spec.law
    if law is None:
        return None
    parameters = [p.made(name) for name, p in spec.parameters.items()]
    values = {p.name: float(p.default or 0.0) for p in parameters}
    source = spec.source or "the user's file"
    states = [
        StateText(n, s.rate, s.initial, s.lower, s.upper, s.unit, s.scale) for n, s in law.states.items()
    ]
    return own_device(
        spec.device,
        parameters,
        current=law.current,
        charge=law.charge,
        states=states,
        description=spec.description or "the user's own device",
        source=source,
        read_voltage=spec.read_voltage,
        published=Published(DECLARED, values, source, spec.cycle.made()),
    )


def named_files(path: Path) -> list[str]:
    """The files that a device file names, as it names them; none where it cannot be read."""
    try:
        data = load_yaml(path).data
    except SpecError:  # which the file's reader tells
        return []
    parts = [data.get(key) for key in ("verilog_a", "subcircuit")]
    return [str(part["file"]) for part in parts if isinstance(part, dict) and "file" in part]


def _fail(located: Located, key: tuple[str, ...], message: str) -> NoReturn:
    where = ": ".join(part for part in (located.where(key)[0], ".".join(key)) if part)
    raise SpecError(f"{where}: {message}")
