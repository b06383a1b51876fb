"""Keys of the experiment file that say how static networks are loaded and run; chunks of a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bridge.errors import SpecError
from bridge.experiment.build import Experiment
from bridge.experiment.data import DataError, load_data
from bridge.plans import Settling, StaticPlan
from circuits.topologies.layered import layered

XOR = Path(__file__).resolve().parents[2] / "experiments" / "xor.yaml"
NETWORK = layered(4, [3], 2)


def plan(*overrides: str) -> StaticPlan:
    experiment = Experiment.load(XOR, overrides)
    made = experiment.plan(experiment.network(experiment.data()))
    assert isinstance(made, StaticPlan)
    return made


def test_networks_are_reduced_and_run_in_sequence_by_default() -> None:
    made = plan()
    assert made.reduce
    assert made.stream is None
    assert made.streams
    assert made.reduction() is not None


@pytest.mark.parametrize(("text", "value"), [("auto", None), ("true", True), ("false", False)])
def test_the_key_stream(text: str, value: bool | None) -> None:
    made = plan("analysis.kind=operating_point", f"analysis.stream={text}")
    assert made.stream is value
    assert made.streams is (value is not False)


def test_the_key_reduce() -> None:
    made = plan("circuit.reduce=false")
    assert not made.reduce
    assert made.reduction() is None
    assert Experiment.load(XOR, ("circuit.reduce=false",)).hash != Experiment.load(XOR).hash


def test_wrong_values_are_refused_with_the_key() -> None:
    with pytest.raises(SpecError, match=r"analysis\.stream"):
        Experiment.load(XOR, ("analysis.kind=operating_point", "analysis.stream=sometimes"))
    with pytest.raises(SpecError, match=r"circuit\.reduce"):
        Experiment.load(XOR, ("circuit.reduce=maybe",))


def test_a_transient_that_settles_is_not_run_in_sequence() -> None:
    assert not StaticPlan(NETWORK, Settling(1e-6, 1e-8, 1e-12), stream=True).streams


@pytest.mark.parametrize("samples", [1, 2, 5, 16, 33, 64, 100, 500, 1437])
def test_a_batch_is_cut_alike_whatever_the_workers(samples: int) -> None:
    size = StaticPlan(NETWORK).task_size(samples)
    assert 1 <= size <= 64
    pieces = -(-samples // size)
    assert pieces >= 2 or samples == 1
    assert size >= 8 or samples < 16


def test_images_are_enlarged() -> None:
    small, large = load_data("digits"), load_data("digits", side=28)
    assert large.train.inputs.shape == (len(small.train), 784)
    assert large.train.feature_names[29] == "pixel_1_1"
    raw, enlarged = (load_data("digits", scaling=None, side=s).train.inputs for s in (None, 8))
    assert np.allclose(raw, enlarged)  # the same side: the same image
    with pytest.raises(DataError, match=r"side 28 is for square images, the rows have 2 features"):
        load_data("xor", side=28)
