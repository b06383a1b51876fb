"""The parts of the experiment file about devices: synapses, their deviations, programming, robustness."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bridge.errors import NetworkError, SpecError
from bridge.experiment.device_file import OwnDevice, load_device
from bridge.experiment.section import ConductanceSpec, KeyProblemError, Section, without
from bridge.experiment.source import ExistingFile
from bridge.units import Amperes, Celsius, Number, Seconds, Volts
from bridge.updates.programming.cells import LinesSpec
from circuits.devices.memristors import MEMRISTORS
from circuits.devices.memristors.base import Memristor, hyphened

Share = Annotated[float, Field(ge=0, le=1)]


def no_start(parameters: Mapping[str, float], device: Memristor, instead: str) -> None:
    """Refuse the first state's initial value among a device's parameters.

    Args:
        parameters: as the file gives them.
        device: whose they are.
        instead: the key that decides it.

    Raises:
        KeyProblemError: it is there.
    """
    name = device.initial_names[0]
    if name in parameters:
        raise KeyProblemError(
            ("parameters", name), f"has no effect: {instead} is the state to start from; leave it out"
        )


class StateRangeSpec(Section):
    """Bounds and initial values of the states that store weights."""

    lower: Annotated[Number, Field(description="least state; at 0 a synapse may not conduct at all")] = 0.01
    upper: Annotated[Number, Field(description="greatest state")] = 1.0
    initial_lower: Annotated[Number, Field(description="lower end of the initial states")] = 0.1
    initial_upper: Annotated[Number, Field(description="upper end of the initial states")] = 0.5
    distribution: Annotated[
        Literal["uniform", "log_uniform"], Field(description="how initial states are drawn between these")
    ] = "uniform"

    @model_validator(mode="after")
    def _ordered(self) -> StateRangeSpec:
        if not self.lower <= self.initial_lower <= self.initial_upper <= self.upper:
            raise ValueError("needs lower <= initial_lower <= initial_upper <= upper")
        if self.distribution == "log_uniform" and self.initial_lower <= 0:
            raise ValueError("log_uniform needs initial_lower above 0")
        return self


class DiodeSpec(Section):
    """The diodes that make the nodes nonlinear."""

    saturation_current: Annotated[Amperes, Field(gt=0, description="IS of the model card")] = 1e-8
    emission: Annotated[Number, Field(gt=0, description="N of the model card")] = 1.5
    offset: Annotated[
        Volts,
        Field(ge=0, description="voltage of the sources behind the two diodes of a node: clamps at +-offset"),
    ] = 0.0
    device: Annotated[
        ExistingFile | None,
        Field(description="file of a two-terminal of your own that stands in place of every diode"),
    ] = None

    def idle(self) -> dict[str, str]:
        """A device of the user's own has no model card."""
        why = "beside device, the file of your own one"
        return {} if self.device is None else without(("saturation_current", "emission"), why)

    @model_validator(mode="after")
    def _two_terminal(self) -> DiodeSpec:
        own = self.own
        if own is not None and len(own.terminals) != 2:
            raise KeyProblemError(("device",), f"{own.name} has {len(own.terminals)} terminals, not two")
        if own is not None and own.declared is not None and own.declared.states:
            raise KeyProblemError(
                ("device",), f"{own.name} has states; give it a place in a netlist, circuit.elements"
            )
        return self

    @property
    def own(self) -> OwnDevice | None:
        """The user's device."""
        if self.device is None:
            return None
        try:
            return load_device(self.device)
        except (SpecError, NetworkError) as error:
            raise KeyProblemError(("device",), str(error).splitlines()[0]) from None


DeviceFile = Annotated[
    ExistingFile | None,
    Field(description="file of a memristive device of your own, instead of `model`"),
]


def memristor_of(model: str, device: Path | None) -> Memristor:
    """The memristive device that a file names: one that ships, or the user's own.

    Raises:
        KeyProblemError: there is none of that name, or the device's file is wrong.
    """
    if device is not None:
        try:
            return load_device(device).memristor()
        except (SpecError, NetworkError) as error:
            raise KeyProblemError(("device",), str(error).splitlines()[0]) from None
    found = MEMRISTORS.get(model)
    if found is None:
        known = ", ".join(MEMRISTORS)
        raise ValueError(f"unknown model {model!r}; choose from: {known}; or give the key `device`, a file")
    return found


class SynapseSpec(Section):
    """What the trainable conductances are: resistors, or memristive devices."""

    kind: Annotated[
        Literal["resistor", "memristor"],
        Field(description="`resistor`: trainable conductances, see `circuit.conductance`; or a device"),
    ] = "resistor"
    model: Annotated[str, Field(description="kind of the memristive device")] = "yakopcic"
    device: DeviceFile = None
    published: Annotated[
        str | None, Field(description="published set of its parameters; the device's first when left out")
    ] = None
    parameters: Annotated[
        dict[str, Number],
        Field(description="device parameters that differ from the set, by name"),
    ] = Field(default_factory=dict)
    fidelity: Annotated[
        Literal["ideal", "static"],
        Field(
            description="`static`: the device's law at a frozen state, which is trained; `ideal`: the "
            "resistor of its conductance at the read voltage"
        ),
    ] = "static"
    state: Annotated[
        StateRangeSpec, Field(description="bounds and initial values as states of a memristor")
    ] = StateRangeSpec()
    conductance: Annotated[
        ConductanceSpec | None,
        Field(description="the same as conductances of a memristor at its read voltage, instead of `state`"),
    ] = None

    def idle(self) -> dict[str, str]:
        """A resistor has no device; conductances replace states."""
        if self.kind == "resistor":
            others = ("model", "device", "published", "parameters", "fidelity", "state", "conductance")
            why = "for resistors, whose range is `circuit.conductance`; memristors need kind: memristor"
            return without(others, why)
        own = without(("model", "published"), "beside device, the file of your own one")
        found = {} if self.device is None else own
        return found if self.conductance is None else {**found, "state": "beside conductance"}

    @property
    def memristor(self) -> Memristor:
        """The device."""
        return memristor_of(self.model, self.device)

    @property
    def replaced(self) -> dict[str, str]:
        """Keys of the circuit that have no effect beside these synapses, and why."""
        why = "beside memristors; give circuit.synapse.state or circuit.synapse.conductance"
        return {} if self.kind == "resistor" else {"conductance": why}

    @model_validator(mode="after")
    def _known(self) -> SynapseSpec:
        device = self.memristor
        if self.published is not None and hyphened(self.published) not in [
            hyphened(p.name) for p in device.published
        ]:
            known = ", ".join(p.name for p in device.published) or "none"
            raise ValueError(f"{device.kind} has no published set {self.published!r}; choose from: {known}")
        names = [p.name for p in device.parameters]
        for name in self.parameters:
            if name not in names:
                raise ValueError(f"{device.kind} has no parameter {name!r}; it has: {', '.join(names)}")
        no_start(self.parameters, device, "circuit.synapse.state or circuit.synapse.conductance")
        return self


class SpreadSpec(Section):
    """Device-to-device spread: every device has its own factor of mean 1."""

    parameters: Annotated[
        list[str],
        Field(
            min_length=1,
            description="what one factor multiplies: parameters of devices that are not trained, or "
            "`conductance` for the gain of what is written",
        ),
    ]
    relative: Annotated[Number, Field(ge=0, description="standard deviation of the factor")]
    distribution: Annotated[
        Literal["normal", "lognormal"], Field(description="of the factor; values are clipped to their bounds")
    ] = "normal"


class DriftSpec(Section):
    """Power-law drift after a write, `G(t) = G(t0) (t / t0)^-nu`."""

    exponent: Annotated[Number, Field(ge=0, description="mean of nu")]
    exponent_spread: Annotated[
        Number, Field(ge=0, description="standard deviation of nu among devices; exponents below 0 are 0")
    ] = 0.0
    reference_time: Annotated[Seconds, Field(gt=0, description="t0: when a write leaves its value")] = 1.0
    elapsed: Annotated[
        Seconds | None, Field(gt=0, description="t: from a write to the use of the device; t0 when left out")
    ] = None

    @model_validator(mode="after")
    def _later(self) -> DriftSpec:
        if self.elapsed is not None and self.elapsed < self.reference_time:
            raise ValueError("elapsed is before reference_time")
        return self


class StuckSpec(Section):
    """Shares of the cells that no write changes."""

    on: Annotated[Share, Field(description="stuck at their greatest conductance")] = 0.0
    off: Annotated[Share, Field(description="stuck at their least conductance")] = 0.0
    random: Annotated[Share, Field(description="stuck at a conductance drawn between the two")] = 0.0

    @model_validator(mode="after")
    def _together(self) -> StuckSpec:
        if self.on + self.off + self.random > 1:
            raise ValueError("the shares are more than 1 together")
        return self


class MismatchSpec(Section):
    """Mismatch of transistors by Pelgrom's law: deviations fall with the root of the channel's area."""

    threshold: Annotated[
        Number, Field(ge=0, description="A_vt [mV um] of the threshold difference of two equal transistors")
    ] = 0.0
    gain: Annotated[Number, Field(ge=0, description="A_beta [% um] of their relative gain difference")] = 0.0


class VariationSpec(Section):
    """What is wrong with devices while they are written and read; drawn from the seed of the file."""

    spread: Annotated[list[SpreadSpec], Field(description="device-to-device spread", default_factory=list)]
    cycle_noise: Annotated[
        Number,
        Field(
            ge=0,
            description="cycle-to-cycle: relative standard deviation of a conductance at each ideal write, "
            "or of the speed of the state in each round of pulses",
        ),
    ] = 0.0
    read_noise: Annotated[
        Number,
        Field(
            ge=0,
            description="relative standard deviation of a conductance at each read: one draw a minibatch and "
            "an evaluation",
        ),
    ] = 0.0
    stuck: Annotated[StuckSpec, Field(description="cells that cannot be written")] = StuckSpec()


class DevicesSpec(VariationSpec):
    """What is wrong with the devices; everything is drawn from the experiment's seed."""

    levels: Annotated[
        int | None,
        Field(ge=2, description="conductance levels from Gmin to Gmax with these; none: continuous"),
    ] = None
    level_spacing: Annotated[Literal["linear", "log"], Field(description="equal steps, or equal ratios")] = (
        "linear"
    )
    drift: Annotated[DriftSpec | None, Field(description="after a write")] = None
    mismatch: Annotated[MismatchSpec | None, Field(description="of transistors")] = None
    temperature: Annotated[
        Celsius | None,
        Field(
            gt=-273.15,
            description="of the simulation (ngspice's `temp`), and around devices whose law has a "
            "temperature (`stanford_pku`, `filament`, `knowm_mms`); 27 degC and the devices' own "
            "when left out",
        ),
    ] = None


class ProgrammingSpec(LinesSpec):
    """How updates get into the devices."""

    kind: Annotated[
        Literal["ideal", "open_loop", "write_verify"],
        Field(
            description="`ideal`: the value is there, with the deviations of `devices`; `open_loop`: pulses "
            "computed from the nominal device; `write_verify`: pulses and reads until it is near enough"
        ),
    ] = "ideal"
    reference: Annotated[
        Literal["target", "device"],
        Field(
            description="what the next update starts from: the controller's own value, or what the devices "
            "have"
        ),
    ] = "target"
    tolerance: Annotated[
        Number,
        Field(
            gt=0,
            lt=1,
            description="allowed error as a share of the target conductance: up to which write-verify goes "
            "on, and beyond which a device counts as missed",
        ),
    ] = 0.02
    max_rounds: Annotated[int, Field(ge=1, description="write-verify: rounds of reading and pulsing")] = 20
    pulses: Annotated[
        Literal["width", "number"],
        Field(
            description="open-loop: the width of one pulse a device, or a number of pulses of the width "
            "`longest`, a fiftieth of the time to cross the device's range when left out"
        ),
    ] = "width"
    max_pulses: Annotated[int, Field(ge=1, description="for one device in one write")] = 100
    raise_voltage: Annotated[
        Volts | None,
        Field(description="of pulses that raise the state; chosen from the device when left out"),
    ] = None
    lower_voltage: Annotated[Volts | None, Field(description="of pulses that lower it")] = None
    longest: Annotated[
        Seconds | None, Field(gt=0, description="greatest width of a pulse; chosen from the device")
    ] = None
    lines: Annotated[
        Literal["separate", "half", "third", "grounded"],
        Field(
            description="`separate`: every device has a source of its own; else the devices of a layer are a "
            "crossbar, with unselected lines at V/2, V/3 or ground, whose neighbours are disturbed"
        ),
    ] = "separate"

    def idle(self) -> dict[str, str]:
        """Ideal writes have no pulses, open-loop ones no reads, devices on their own no lines."""
        array = tuple(LinesSpec.model_fields)
        if self.kind == "ideal":
            pulses = ("tolerance", "max_rounds", "pulses", "max_pulses", "longest", "lines")
            voltages = ("raise_voltage", "lower_voltage")
            return without((*pulses, *voltages, *array), "with kind ideal, which gives no pulses")
        if self.kind == "open_loop":
            few = ("max_pulses",) if self.pulses == "width" else ()
            found = without(("max_rounds", *few), "with kind open_loop, which verifies nothing")
        else:
            found = {"pulses": "with kind write_verify, which computes widths"}
        if self.lines == "separate":
            found |= without(array, "with lines: separate; name a scheme, such as lines: half")
        return found


class RobustnessSpec(Section):
    """After training: test accuracy of the learned network against one deviation at a time.

    The learned values are written once more by an ideal programmer into the run's chip, with that one
    entry of `devices` replaced and drawn anew.
    """

    spread: Annotated[
        list[Annotated[Number, Field(ge=0)]],
        Field(description="relative spreads of the written conductances", default_factory=list),
    ]
    levels: Annotated[
        list[Annotated[int, Field(ge=2)]],
        Field(description="numbers of conductance levels", default_factory=list),
    ]
    stuck: Annotated[
        list[Share],
        Field(description="shares of stuck cells, half of them on, half off", default_factory=list),
    ]
    drift: Annotated[
        list[Annotated[Seconds, Field(gt=0)]],
        Field(description="times from the write to the use", default_factory=list),
    ]
    drift_exponent: Annotated[
        Number, Field(ge=0, description="mean of nu where `devices.drift` does not give it")
    ] = 0.05
    drift_exponent_spread: Annotated[
        Number, Field(ge=0, description="standard deviation of nu where `devices.drift` does not give it")
    ] = 0.02
    draws: Annotated[int, Field(ge=1, description="chips drawn for each value")] = 5

    @model_validator(mode="before")
    @classmethod
    def _some(cls, data: Any) -> Any:
        if isinstance(data, dict) and not any(data.get(k) for k in ("spread", "levels", "stuck", "drift")):
            raise ValueError("needs a list of values: spread, levels, stuck or drift")
        return data
