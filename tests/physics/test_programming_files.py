"""What a programming file says is wrong with its devices, and which keys and tables it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge.errors import SpecError
from bridge.updates.programming import make_programmer
from bridge.updates.programming.command import program_file
from bridge.updates.programming.spec import LARGEST_TABLE, load_program, read_table

FILE = """
name: deviating
seed: 3
device: {model: yakopcic, published: jo}
array: {rows: 40, columns: 50}
devices:
  spread:
    - {parameters: [a1, a2], relative: 0.1}
    - {parameters: [vp], relative: 0.05, distribution: lognormal}
  cycle_noise: 0.05
  read_noise: 0.002
  stuck: {on: 0.1, off: 0.05}
"""
SMALL = ("array={rows: 3, columns: 2}", "devices.stuck={on: 0.2}", "seed=1")


def write(folder: Path) -> Path:
    file = folder / "deviating.yaml"
    file.write_text(FILE, encoding="utf-8")
    return file


def test_deviations_have_their_size_and_follow_the_seed(tmp_path: Path) -> None:
    array = load_program(write(tmp_path)).build()[0]
    known = array.device.values("jo")
    own: dict[str, Any] = {k: array.own[k] / known[k] for k in ("a1", "a2", "vp")}
    np.testing.assert_allclose(own["a1"], own["a2"], rtol=1e-14)  # one factor
    n = array.rows * array.columns
    for name, sigma in (("a1", 0.1), ("vp", 0.05)):
        assert np.std(own[name]) == pytest.approx(sigma, rel=4 / np.sqrt(2 * n))
        assert np.mean(own[name]) == pytest.approx(1.0, abs=4 * sigma / np.sqrt(n))
    assert abs(np.corrcoef(own["a1"].ravel(), own["vp"].ravel())[0, 1]) < 4 / np.sqrt(n)
    assert array.believed == known
    stuck = array.stuck_at
    high = array.conductance_range[1]
    for share, value in ((0.1, high), (0.05, 1e-6 * high)):
        assert (stuck == value).mean() == pytest.approx(share, abs=4 * np.sqrt(share / n))
    again, other = (load_program(write(tmp_path), (f"seed={s}",)).build()[0] for s in (3, 4))
    np.testing.assert_array_equal(again.own["a1"], array.own["a1"])
    np.testing.assert_array_equal(again.stuck_at, stuck)
    assert (other.own["a1"] != array.own["a1"]).all()


def test_deviating_devices_are_verified_and_stuck_ones_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path), tmp_path / "run"
    status = program_file(file, (*SMALL, "programmer.tolerance=0.02"), out=out, as_json=True)
    told = json.loads(capsys.readouterr().out)
    table = pd.read_csv(out / "cells.csv")
    assert told["stuck"] == table.stuck.sum() == 1
    assert status == 0
    free = table[~table.stuck]
    assert free.converged.all()
    assert free.error.abs().max() < 0.03
    # Read noise stands between what was read and what is there.
    off = (table.measured / table.conductance - 1.0).abs()
    assert 1e-4 < off.max() < 0.01
    assert (table[table.stuck].pulses > 0).all()  # nobody knows before it is tried


def test_open_loop_is_off_by_the_spread_that_the_file_names(tmp_path: Path) -> None:
    flags = ("array={rows: 4, columns: 4}", "devices={spread: [{parameters: [a1, a2], relative: 0.1}]}")
    spec = load_program(write(tmp_path), (*flags, "programmer={kind: open_loop}"))
    array, settings = spec.build()
    wanted = spec.targets(array)
    found = make_programmer("open_loop", array, settings).program(wanted, 0.5)
    np.testing.assert_allclose(found.conductances / wanted, array.own["a1"] / array.believed["a1"], rtol=0.02)


@pytest.mark.parametrize(
    ("flag", "key", "message"),
    [
        ("device.parameters={x0: 0.2}", "device.parameters.x0", "`initial` is the state"),
        ("target={file: bom.csv, high: 0.9}", "target.high", "has no effect beside file"),
        ("programmer={kind: ideal, longest: 1s}", "programmer.longest", "has no effect with kind ideal"),
        ("programmer={kind: ideal, raise_voltage: 3V}", "programmer.raise_voltage", "has no effect"),
        ("programmer={kind: open_loop, patience: 3}", "programmer.patience", "verifies nothing"),
        ("programmer={kind: open_loop, max_rounds: 3}", "programmer.max_rounds", "verifies nothing"),
        ("programmer={pulses: number}", "programmer.pulses", "computes widths"),
        ("programmer={kind: ideal}", "devices.cycle_noise", "use open_loop or write_verify"),
        ("devices.spread=[{parameters: [conductance], relative: 0.1}]", "devices.spread.0.parameters",
         "no parameter 'conductance'"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_refused(tmp_path: Path, flag: str, key: str, message: str) -> None:
    (tmp_path / "bom.csv").write_text("1e-7\n", encoding="utf-8")
    with pytest.raises(SpecError, match=message) as caught:
        load_program(write(tmp_path), (flag,))
    assert f": {key}: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_may_begin_with_a_byte_order_mark_and_have_a_greatest_size(tmp_path: Path) -> None:
    file = tmp_path / "bom.csv"
    file.write_text("1e-7,2e-7\r\n3e-7,4e-7\r\n", encoding="utf-8-sig")
    np.testing.assert_array_equal(read_table(file, (2, 2)), [[1e-7, 2e-7], [3e-7, 4e-7]])
    file.write_bytes(b"1" * (LARGEST_TABLE + 1))
    with pytest.raises(SpecError, match=r"bom.csv: has 8.0 MiB; give a table of at most 8 MiB"):
        read_table(file, (2, 2))


def test_numbers_of_equal_pulses_end_within_half_a_step(tmp_path: Path) -> None:
    """Each device gets the whole number of pulses that ends nearest; one more or one less is farther away."""
    flags = ("array={rows: 2, columns: 2}", "devices={}", "programmer={kind: open_loop, pulses: number}")
    array, settings = load_program(write(tmp_path), flags).build()
    states = np.array([[0.55, 0.3], [0.42, 0.6]])  # two up, two down
    wanted = array.conductances(states[..., None])
    found = make_programmer("open_loop", array, settings).program(wanted, 0.5)
    assert found.rounds == found.pulses.max() > 2
    assert found.pulses.min() >= 1
    step = np.abs(found.states - 0.5) / found.pulses  # of the state, on the average
    assert (np.abs(found.states - states) < 0.75 * step).all()
    assert (np.abs(found.states - states) > 1e-6).any()
