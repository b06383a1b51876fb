"""Cells of a programming file: what is in series with a device, and what a read sees through it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.errors import SpecError
from bridge.ngspice.session import Session
from bridge.updates.programming import Array, ProgrammingError, make_programmer
from bridge.updates.programming.bench import Bench
from bridge.updates.programming.command import counted, program_file
from bridge.updates.programming.readout import hidden, seen_conductance
from bridge.updates.programming.spec import load_program
from circuits.devices.memristors import MEMRISTORS
from circuits.topologies.crossbar import Cell

FILE = """\
name: small
seed: 2
device: {model: yakopcic, published: jo}
array: {rows: 2, columns: 2, cell: selector}
"""


def array(cell: Cell, kind: str = "yakopcic", published: str | None = "jo") -> Array:
    return Array(MEMRISTORS[kind], 1, 1, published=published, cell=cell)


@pytest.mark.parametrize(
    "cell",
    [
        Cell("selector", current=1e-9),
        Cell("selector", current=2e-8, slope=0.03),
        Cell("1t1r", width=1e-9),
        Cell("1t1r", width=2e-8, gate=0.55),
        Cell(),
    ],
)
def test_what_a_read_sees_is_what_the_simulated_bench_reads(session: Session, cell: Cell) -> None:
    one = array(cell)
    bench = Bench(one, session=session)
    bench.states[:] = one.device.bounds[0][1]
    assert seen_conductance(one) == pytest.approx(bench.read(1e-6)[0, 0], rel=5e-3)  # junctions leak


@pytest.mark.parametrize("kind", MEMRISTORS)
def test_the_plain_selector_hides_every_published_device(kind: str) -> None:
    for entry in MEMRISTORS[kind].published:
        one = array(Cell("selector"), kind, entry.name)
        top = np.array([[one.conductance_range[1]]])
        assert "sees at most" in hidden(one, top, 0.01)
        assert hidden(one, 2.0 * top, 0.01) == ""  # out of reach anyhow, with or without a selector


def write(folder: Path) -> Path:
    file = folder / "small.yaml"
    file.write_text(FILE, encoding="utf-8")
    return file


def test_a_file_with_a_selector_is_programmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path)
    built = load_program(file).build()[0]
    assert built.cell.current == pytest.approx(100 * built.conductance_range[1] * 0.1)
    assert seen_conductance(built) == pytest.approx(built.conductance_range[1] / 1.01, rel=1e-3)
    assert program_file(file, out=tmp_path / "run", as_json=False) == 0
    assert "4 of 4 devices" in capsys.readouterr().out


def test_cell_keys_reach_the_cell(tmp_path: Path) -> None:
    def cell(text: str) -> Cell:
        return load_program(write(tmp_path), (f"array.cell={text}",)).build()[0].cell

    assert cell("1r") == Cell()
    assert cell("{kind: selector, current: 1uA, slope: 50mV}") == Cell("selector", current=1e-6, slope=0.05)
    assert cell("{kind: 1t1r, width: 20um, length: 2um, gate: 3V, bulk: -1V}") == Cell(
        "1t1r", width=2e-5, length=2e-6, gate=3.0, bulk=-1.0
    )


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("2t", "array.cell: unknown cell '2t'; choose one of: 1r, 1t1r, selector"),
        ("{kind: selector, gate: 3}", "array.cell.gate: unknown key"),
        ("{kind: selector, current: 3V}", r"array.cell.current: .*volts"),
        ("{kind: selector, current: 0}", "array.cell.current"),
        ("{slope: 1V}", "array.cell.kind: missing"),
    ],
)
def test_wrong_cells_are_one_line(tmp_path: Path, cell: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        load_program(write(tmp_path), (f"array.cell={cell}",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        (Cell("selector"), "current of 2.6e-06 A, now 1e-09 A"),
        (Cell("1t1r", width=1e-10), "greater width"),
    ],
)
def test_devices_hidden_from_the_read_are_refused(cell: Cell, advice: str) -> None:
    one: Any = array(cell)
    low, high = one.conductance_range
    with pytest.raises(ProgrammingError, match="sees at most") as caught:
        make_programmer("write_verify", one).program([[0.5 * (low + high)]], 0.5)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_plurals() -> None:
    assert counted(1, "round") == "1 round"
    assert counted(0, "round") == "0 rounds"
