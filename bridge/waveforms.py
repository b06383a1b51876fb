"""Waveforms: what a transient returns, as plain arrays with names and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

_PARQUET_PREFIX = "tellegen."


def unit_of(name: str) -> str:
    """SI unit of a saved vector: `V` for `v(..)`, `A` for `i(..)`, empty where the name does not tell."""
    if name.startswith("v("):
        return "V"
    if name.startswith("i("):
        return "A"
    return ""


@lru_cache(maxsize=64)
def _units(names: tuple[str, ...]) -> tuple[str, ...]:
    """The units of signals; most transients of a process have the same ones."""
    return tuple(unit_of(n) for n in names)


@dataclass(frozen=True, eq=False)
class Waveforms:
    """Signals of one transient on the simulator's own time points.

    Attributes:
        time: `(n_points,)` [s], strictly increasing.
        values: `(n_points, n_signals)`, in each signal's unit.
        names: name of each signal, for example `v(out)`.
        units: unit of each signal.
        attrs: what else is known: the rung of the ladder, the phase, the network's name.
    """

    time: FloatArray
    values: FloatArray
    names: tuple[str, ...]
    units: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.time), len(self.names)):
            raise ValueError(
                f"values {self.values.shape} do not fit {len(self.time)} times, {len(self.names)} names"
            )
        if not self.units:
            object.__setattr__(self, "units", _units(self.names))

    def __getitem__(self, name: str) -> FloatArray:
        """The signal `name`, `(n_points,)`.

        Raises:
            KeyError: no such signal; the message lists those there are.
        """
        try:
            column: FloatArray = self.values[:, self.names.index(name)]
            return column
        except ValueError:
            raise KeyError(f"no signal {name!r}; there are: {', '.join(self.names)}") from None

    def __len__(self) -> int:
        return len(self.time)

    @property
    def final(self) -> FloatArray:
        """All signals at the last time point, `(n_signals,)`."""
        last: FloatArray = self.values[-1]
        return last

    def at(self, times: FloatArray) -> FloatArray:
        """All signals at given times by linear interpolation, `(len(times), n_signals)`.

        Raises:
            ValueError: a time outside the simulated interval.
        """
        t = np.asarray(times, dtype=float)
        slack = 1e-9 * (self.time[-1] - self.time[0])
        if t.size and (t.min() < self.time[0] - slack or t.max() > self.time[-1] + slack):
            raise ValueError(f"times outside the simulated [{self.time[0]:g}, {self.time[-1]:g}] s")
        return np.stack([np.interp(t, self.time, column) for column in self.values.T], axis=-1)

    def to_pandas(self) -> pd.DataFrame:
        """A frame with the time in seconds as index and one column a signal; units in `attrs`."""
        import pandas as pd  # half a second, which workers do not need

        frame = pd.DataFrame(
            self.values, index=pd.Index(self.time, name="time [s]"), columns=list(self.names)
        )
        frame.attrs = dict(self.attrs.items())
        frame.attrs["units"] = dict(zip(self.names, self.units, strict=True))
        return frame

    @classmethod
    def from_pandas(cls, frame: pd.DataFrame) -> Waveforms:
        """The inverse of `to_pandas`."""
        attrs: dict[str, Any] = {str(k): v for k, v in frame.attrs.items()}
        units = attrs.pop("units", {})
        names = tuple(str(c) for c in frame.columns)
        return cls(
            frame.index.to_numpy(dtype=float),
            frame.to_numpy(dtype=float),
            names,
            tuple(units.get(n, unit_of(n)) for n in names),
            attrs,
        )

    def to_parquet(self, path: str | Path) -> None:
        """Write to a parquet file, with units and attributes in its metadata."""
        self.to_pandas().to_parquet(path)

    @classmethod
    def from_parquet(cls, path: str | Path) -> Waveforms:
        """Read what `to_parquet` wrote."""
        import pandas as pd

        return cls.from_pandas(pd.read_parquet(path))

    def figure(self) -> Any:
        """A matplotlib figure: one panel a unit, time axis in engineering units."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import EngFormatter

        groups = list(dict.fromkeys(self.units))
        figure = Figure(figsize=(7, 2.4 * max(1, len(groups))), layout="constrained")
        axes = figure.subplots(max(1, len(groups)), 1, sharex=True, squeeze=False)[:, 0]
        for axis, unit in zip(axes, groups, strict=True):
            for name, of, column in zip(self.names, self.units, self.values.T, strict=True):
                if of == unit:
                    axis.plot(self.time, column, label=name, linewidth=1.2)
            axis.yaxis.set_major_formatter(EngFormatter(unit=unit))
            axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
            axis.grid(alpha=0.3)
        axes[-1].xaxis.set_major_formatter(EngFormatter(unit="s"))
        return figure

    def _repr_html_(self) -> str:
        """A plot of up to 12 signals, for notebooks."""
        import io

        shown = Waveforms(self.time, self.values[:, :12], self.names[:12], self.units[:12])
        buffer = io.StringIO()
        shown.figure().savefig(buffer, format="svg")
        note = "" if len(self.names) <= 12 else f"<p>{len(self.names) - 12} more signals</p>"
        svg = buffer.getvalue()
        return f"<div>{svg[svg.index('<svg') :]}{note}</div>"
