"""Progress of a training run on standard error, and nothing where that is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bars() -> Iterator[Progress | None]:
    """Bars on standard error whose tasks end with a field `remark`; `None` where that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    )
    with Progress(*columns, console=console) as bars:
        yield bars


@contextmanager
def training_progress(name: str) -> Iterator[Callable[[str, int, int, dict[str, float]], None]]:
    """A callback for `run_experiment` that draws bars for epochs and batches.

    Args:
        name: the experiment's name.
    """
    with progress_bars() as bars:
        if bars is None:
            yield lambda *_: None
            return
        epochs = bars.add_task(name, total=None, remark="starting the simulator")
        batches = bars.add_task("batches", total=None, remark="")

        def update(stage: str, done: int, total: int, row: dict[str, float]) -> None:
            if stage == "batch":
                bars.update(batches, completed=done, total=total)
                return
            parts = []
            for key, label in (
                ("train_loss", "loss"),
                ("train_accuracy", "accuracy"),
                ("test_accuracy", "test"),
            ):
                value = row.get(key, float("nan"))
                if value == value:
                    parts.append(f"{label} {value:.4g}")
            bars.update(epochs, completed=done, total=total, remark="  ".join(parts))

        yield update
