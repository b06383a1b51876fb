"""The devices between the controller and the circuit: what an update leaves in them.

The controller's own values (`TrainingState.parameters`) are targets. A write turns them into conductances,
passes them through levels, programmer and the cells' deviations, and keeps what the devices have; the
simulator sees these, aged by drift and, at each read, with read noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import DynamicPlan
from bridge.errors import SpecError
from bridge.experiment.misses import WriteLog
from bridge.experiment.programming import PulseProgrammer
from bridge.experiment.spec import ExperimentSpec
from bridge.experiment.spec_clln import CLLNSpec
from bridge.experiment.spec_devices import DevicesSpec, ProgrammingSpec, SynapseSpec, VariationSpec
from bridge.experiment.spec_transistor import TransistorSpec
from bridge.plans import StaticPlan
from bridge.updates.conductances import Readout
from bridge.updates.nonidealities import Cells, Drift, Imperfections, Spread, Stuck
from bridge.updates.variation import Mismatch, at_temperature, spread_parameters
from circuits.network import Network
from circuits.topologies.memristive import MemristiveSynapses

FloatArray = NDArray[np.float64]

ZERO_CELSIUS = 273.15
"""[K]"""
_MILLIVOLT_MICROMETRE, _PERCENT_MICROMETRE = 1e-9, 1e-8
_TEMPERATURE_FREE = ("equilibrium", "finite_difference", "coupled_learning")
METRICS = ("pulses", "programming_error", "missed", "worst_miss")


def synapses(spec: SynapseSpec) -> MemristiveSynapses | None:
    """The memristive synapses that a file asks for; `None` for resistors."""
    if spec.kind == "resistor":
        return None
    device = spec.memristor
    values = device.values(spec.published, **spec.parameters)
    ends = spec.state if spec.conductance is None else spec.conductance
    return MemristiveSynapses(
        device,
        values,
        spec.fidelity,
        ends.lower,
        ends.upper,
        ends.initial_lower,
        ends.initial_upper,
        spec.conductance is not None,
        ends.distribution,
    )


def imperfections(spec: DevicesSpec | None) -> Imperfections:
    """What a file says is wrong with written conductances."""
    if spec is None:
        return Imperfections()
    drift = None
    if spec.drift is not None:
        d = spec.drift
        drift = Drift(d.exponent, d.exponent_spread, d.reference_time, d.elapsed or d.reference_time)
    return Imperfections(
        spreads(spec),
        spec.cycle_noise,
        spec.read_noise,
        spec.levels,
        spec.level_spacing,
        drift,
        Stuck(spec.stuck.on, spec.stuck.off, spec.stuck.random),
    )


def spreads(spec: VariationSpec) -> tuple[Spread, ...]:
    """The device-to-device spreads of a file."""
    return tuple(Spread(tuple(s.parameters), s.relative, s.distribution) for s in spec.spread)


def chip(spec: ExperimentSpec, nominal: Network) -> Network:
    """The network with the deviations that its elements have for good.

    Raises:
        DeviceError: a deviation does not fit the network.
        SpecError: the estimator does not know the temperature.
    """
    devices = spec.devices
    assert devices is not None
    network = spread_parameters(nominal, spreads(devices), spec.seed)
    if devices.mismatch is not None:
        m = devices.mismatch
        law = Mismatch(m.threshold * _MILLIVOLT_MICROMETRE, m.gain * _PERCENT_MICROMETRE)
        network = law.applied(network, spec.seed)
    if devices.temperature is not None:
        _check_estimator(spec, network)
        network = at_temperature(network, devices.temperature + ZERO_CELSIUS)
    return network


def _check_estimator(spec: ExperimentSpec, network: Network) -> None:
    """Refuse estimators that do not know the temperature of a network's devices.

    What ngspice reports of transistors is at its temperature, and so is what is measured of them; the law of
    the diode that the estimators linearise is at 27 degC.

    Raises:
        SpecError: with the diode.
    """
    transistors = isinstance(spec.circuit, TransistorSpec)
    usual = "adjoint" if spec.dynamic or transistors else "equilibrium"
    if isinstance(spec.circuit, CLLNSpec):
        usual = "coupled_learning"
    kind = usual if spec.estimator is None else spec.estimator.kind
    if kind in _TEMPERATURE_FREE:
        return
    diodes = [e.name for e in network.elements if e.device.kind == "diode"]
    if kind == "adjoint" and not diodes:
        return
    others = ["finite_difference"] if spec.dynamic or transistors else list(_TEMPERATURE_FREE[:2])
    others += [] if diodes or not spec.dynamic else ["adjoint"]
    raise SpecError(
        f"temperature: the estimator {kind} linearises {diodes[0] if diodes else 'devices'} at 27 degC; "
        f"use {' or '.join(others)}"
    )


def at_the_temperature(spec: ExperimentSpec, plan: StaticPlan | DynamicPlan) -> StaticPlan | DynamicPlan:
    """The plan at the temperature of the devices."""
    if spec.devices is None or spec.devices.temperature is None:
        return plan
    extra = (*plan.options.extra, ("temp", spec.devices.temperature))
    return replace(plan, options=replace(plan.options, extra=extra))


class Hardware:
    """The trainable devices of one chip, and the programmer that writes them.

    Attributes:
        cells: what is individual about each device.
        stored: trainable parameters as the last write left them, `(n_trainable,)`.
        initial: those of the first write.
        writes: writes so far.
        asked: conductances of the last write [S], `(n_cells,)`.
        pulses: programming pulses so far; an ideal write of one device counts as one.
    """

    def __init__(self, spec: ExperimentSpec, nominal: Network, network: Network) -> None:
        """Set up the devices.

        Args:
            spec: the experiment.
            nominal: the network as the controller knows it.
            network: the network as it is.

        Raises:
            SpecError: no trainable parameter is a conductance.
        """
        self.programming = (spec.training and spec.training.programming) or ProgrammingSpec()
        self.believed, self.actual = Readout(nominal), Readout(network)
        kinds = imperfections(spec.devices)
        if not len(self.believed.places) and (kinds != Imperfections() or self.programming.kind != "ideal"):
            raise SpecError(
                "no trainable parameter is the conductance of a resistor or the state of a memristor; "
                "there is nothing to write"
            )
        ends = np.sort([self.believed.conductances(b) for b in network.bounds], axis=0)
        self.cells = Cells(kinds, ends[0], ends[1], spec.seed)
        held = self._held(self.cells, network.parameters)  # a device may not reach what it is stuck at
        stuck = np.isfinite(self.cells.stuck)
        self.cells.stuck = np.where(stuck, self.actual.conductances(held), np.nan)
        self.programmer: PulseProgrammer | None = None
        if self.programming.kind != "ideal":
            places = self.believed.places
            self.programmer = PulseProgrammer(self.programming, spec, nominal, network, self.cells, places)
        self.stored = self.initial = network.parameters
        self.asked = np.full(len(self.believed.places), np.nan)
        self.writes, self.pulses = 0, 0
        self._errors: list[float] = []
        self._since = self._logged = 0

    @property
    def span(self) -> FloatArray:
        """Range of each device's conductance [S], `(n_cells,)`."""
        span = self.cells.upper - self.cells.lower
        return np.where(span > 0, span, 1.0)

    @property
    def log(self) -> WriteLog | None:
        """What writes by pulses left; `None` for ideal writes."""
        return None if self.programmer is None else self.programmer.log

    @property
    def names(self) -> list[str]:
        """Of the elements that are written, `(n_cells,)`."""
        network = self.believed.network
        return [network.trainable[k].element for k in self.believed.places]

    def results(self) -> dict[str, Any]:
        """Pulses of all writes, devices that the last one missed and the worst error; details of pulses."""
        if self.log is None:
            return {"pulses": self.pulses, "missed": 0, "worst_miss": 0.0}
        log = self.log
        return {
            "pulses": self.pulses,
            "missed": log.missed,
            "worst_miss": log.worst,
            "misses": log.summary(self.names, self.asked),
        }

    def write(self, target: FloatArray, epoch: int = 0) -> None:
        """Write target parameters `(n_trainable,)` into the devices.

        An ideal programmer leaves devices alone of which the same conductance is asked as in the last write.

        Args:
            target: the controller's own values.
            epoch: to which the write belongs, for the log.
        """
        wanted = self.believed.conductances(target)
        asked = self.cells.levels(wanted)
        if self.programmer is None:
            new = self._written(self.cells, asked, wanted, target)
            fresh = np.ones(len(new), dtype=bool)  # what is no conductance follows at once
            fresh[self.believed.places] = asked != self.asked
            self.stored = np.where(fresh, new, self.stored)
            self.pulses += int(fresh[self.believed.places].sum())
        else:
            new, pulses = self.programmer.write(asked, self.stored, self.writes, epoch)
            others = np.delete(np.arange(len(target)), self.believed.places)
            new[others] = target[others]
            self.stored = self._held(self.cells, new)
            self.pulses += pulses
        self.asked = asked
        if not self.writes:
            self.initial = self.stored
        self.writes += 1
        error = (self.actual.conductances(self.stored) - wanted) / self.span
        self._errors.append(float(np.sqrt(np.mean(error**2))))

    def parameters(self, *reading: int) -> FloatArray:
        """What the circuit has at one read, `(n_trainable,)`; `reading` numbers it."""
        return self._used(self.cells, self.stored, *reading)

    @property
    def workers(self) -> int:
        """Greatest number of the programmer's processes."""
        return 1 if self.programmer is None else self.programmer.workers

    @workers.setter
    def workers(self, number: int) -> None:
        if self.programmer is not None:
            self.programmer.workers = number

    def close(self) -> None:
        """End the programmer's processes."""
        if self.programmer is not None:
            self.programmer.close()

    def on(self, cells: Cells, target: FloatArray) -> FloatArray:
        """What the circuit would have on another chip, ideally programmed, both `(n_trainable,)`."""
        wanted = self.believed.conductances(target)
        return self._used(cells, self._written(cells, cells.levels(wanted), wanted, target), 0)

    def reference(self, target: FloatArray) -> FloatArray:
        """What the next update starts from, `(n_trainable,)`."""
        return target if self.programming.reference == "target" else self.parameters(self.writes)

    def metrics(self) -> dict[str, float]:
        """Pulses since the last call, and of its writes: the error of programming, devices missed.

        The error is the root mean square over the devices of the difference between the conductance that a
        device has after the write and the controller's, as a share of the device's range, the mean of the
        writes. `missed` is the mean number of devices outside of the tolerance, `worst_miss` the largest
        relative error of one of them, 0 without; both are there where pulses write.
        """
        found = {
            "pulses": float(self.pulses - self._since),
            "programming_error": float(np.mean(self._errors)) if self._errors else float("nan"),
        }
        if self.log is not None:
            missed, worst = (self.log.column(c, self._logged) for c in ("missed", "worst_miss"))
            found["missed"] = float(np.mean(missed)) if missed.size else 0.0
            found["worst_miss"] = float(worst.max(initial=0.0))
        self._mark()
        return found

    def _mark(self) -> None:
        """Begin the next row of metrics."""
        self._since, self._errors = self.pulses, []
        self._logged = 0 if self.log is None else len(self.log.rows)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, as arrays by name."""
        return {
            "stored": self.stored,
            "initial": self.initial,
            "asked": self.asked,
            "counts": np.array([self.writes, self.pulses], dtype=np.int64),
            **({} if self.log is None else self.log.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state.

        Raises:
            SpecError: it is not that of these devices.
        """
        other = "the checkpoint's devices are not those of this network; start the run anew"
        try:
            names = ("stored", "initial", "asked", "counts")
            stored, initial, asked, counts = (np.array(state[k]) for k in names)
            log = None if self.programmer is None else WriteLog.of(dict(state), len(self.asked))
        except KeyError as error:
            raise SpecError(f"the checkpoint holds no {error} of the devices; start the run anew") from error
        except ValueError as error:
            raise SpecError(other) from error
        shapes = (self.stored.shape, self.stored.shape, self.asked.shape, (2,))
        if (stored.shape, initial.shape, asked.shape, counts.shape) != shapes:
            raise SpecError(other)
        self.stored, self.initial, self.asked = stored, initial, asked
        self.writes, self.pulses = (int(c) for c in counts)
        if self.programmer is not None and log is not None:
            self.programmer.log = log
        self._mark()

    def _written(self, cells: Cells, asked: FloatArray, wanted: FloatArray, target: FloatArray) -> FloatArray:
        """Parameters after an ideal write, which sets the states of nominal devices."""
        reached = cells.written(asked, self.writes)
        return self._held(cells, _parameters(self.believed, reached, wanted, target))

    def _held(self, cells: Cells, parameters: FloatArray) -> FloatArray:
        """Parameters with those of stuck cells: each device's own law has the conductance it is stuck at."""
        stuck = np.isfinite(cells.stuck)
        if not stuck.any():
            return parameters
        known = self.actual.conductances(parameters)
        return _parameters(self.actual, np.where(stuck, cells.stuck, known), known, parameters)

    def _used(self, cells: Cells, stored: FloatArray, *reading: int) -> FloatArray:
        """Stored parameters as one read meets them: the devices' own conductances have aged, with noise."""
        known = self.actual.conductances(stored)
        return _parameters(self.actual, cells.read(cells.aged(known), *reading), known, stored)


def _parameters(
    readout: Readout, reached: FloatArray, known: FloatArray, parameters: FloatArray
) -> FloatArray:
    """Parameters of reached conductances; exactly `parameters` where these are the `known` ones."""
    found = readout.parameters(reached, parameters)
    same = readout.places[reached == known]
    found[same] = parameters[same]
    return found
