"""Waveforms: plain data that pickles, with names and units that survive a frame and a parquet file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bridge.waveforms import Waveforms, unit_of


def example(n_signals: int = 3) -> Waveforms:
    time = np.array([1e-9, 2e-9, 4e-9, 8e-9])
    names = ("v(out)", "i(vin)", "@m1[gm]", *(f"v(n{k})" for k in range(n_signals - 3)))
    values = np.stack([time * 1e9 * (k + 1) - k for k in range(n_signals)], axis=1)
    return Waveforms(time, values, names, attrs={"rung": "as given", "step": 1e-9})


def assert_same(a: Waveforms, b: Waveforms) -> None:
    assert np.array_equal(a.time, b.time)
    assert np.array_equal(a.values, b.values)
    assert (a.names, a.units, dict(a.attrs)) == (b.names, b.units, dict(b.attrs))


def test_units_follow_the_names_unless_they_are_given() -> None:
    assert example().units == ("V", "A", "")
    assert unit_of("time") == ""
    given = Waveforms(np.zeros(1), np.zeros((1, 1)), ("@m1[gm]",), ("S",))
    assert given.units == ("S",)


def test_a_signal_is_found_by_name_and_an_unknown_one_named_with_those_there_are() -> None:
    w = example()
    np.testing.assert_array_equal(w["i(vin)"], [1.0, 3.0, 7.0, 15.0])
    with pytest.raises(KeyError, match=r"v\(nowhere\).*v\(out\), i\(vin\), @m1\[gm\]"):
        w["v(nowhere)"]
    assert len(w) == 4
    np.testing.assert_array_equal(w.final, [8.0, 15.0, 22.0])


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit 2 times, 1 names"):
        Waveforms(np.zeros(2), np.zeros((1, 2)), ("v(a)",))


def test_at_interpolates_linearly_on_uneven_times() -> None:
    w = example()
    np.testing.assert_allclose(w.at(np.array([1e-9, 3e-9, 7e-9]))[:, 0], [1.0, 3.0, 7.0])
    np.testing.assert_allclose(w.at(np.array([3e-9]))[0], [3.0, 5.0, 7.0])
    assert w.at(np.zeros(0)).shape == (0, 3)


@pytest.mark.parametrize("outside", [0.5e-9, 8.1e-9, -1.0])
def test_at_refuses_times_that_were_not_simulated(outside: float) -> None:
    with pytest.raises(ValueError, match=r"outside the simulated \[1e-09, 8e-09\] s"):
        example().at(np.array([2e-9, outside]))


def test_pickle_gives_the_same_back() -> None:
    assert_same(pickle.loads(pickle.dumps(example())), example())


def test_pandas_has_seconds_as_index_and_the_units() -> None:
    frame = example().to_pandas()
    assert frame.index.name == "time [s]"
    np.testing.assert_array_equal(frame.index, example().time)
    assert list(frame.columns) == ["v(out)", "i(vin)", "@m1[gm]"]
    assert frame.attrs["units"] == {"v(out)": "V", "i(vin)": "A", "@m1[gm]": ""}
    assert frame.attrs["rung"] == "as given"
    assert frame.loc[4e-9, "i(vin)"] == 7.0
    assert_same(Waveforms.from_pandas(frame), example())


def test_parquet_round_trip_keeps_every_bit_units_and_attributes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    time = np.cumsum(rng.uniform(1e-12, 1e-9, 50))
    w = Waveforms(time, rng.normal(size=(50, 2)), ("v(a)", "@m1[gm]"), ("V", "S"), {"rung": "gear, step / 4"})
    file = tmp_path / "w.parquet"
    w.to_parquet(file)
    assert_same(Waveforms.from_parquet(file), w)
    assert list(pd.read_parquet(file).columns) == ["v(a)", "@m1[gm]"]


def test_a_figure_has_a_panel_for_each_unit_with_its_signals() -> None:
    figure = example(5).figure()
    panels = {axis.yaxis.get_major_formatter().unit: axis for axis in figure.axes}
    assert set(panels) == {"V", "A", ""}
    assert [line.get_label() for line in panels["V"].lines] == ["v(out)", "v(n0)", "v(n1)"]
    np.testing.assert_array_equal(panels["A"].lines[0].get_ydata(), example()["i(vin)"])
    assert figure.axes[-1].xaxis.get_major_formatter().unit == "s"


def test_notebooks_see_a_drawing_of_at_most_twelve_signals() -> None:
    few = example()._repr_html_()
    assert few.startswith("<div><svg")
    assert "more signals" not in few
    assert "<p>3 more signals</p>" in example(15)._repr_html_()
