"""The command `tellegen`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.errors import SpecError, TellegenError

app = typer.Typer(
    name="tellegen",
    help="A hardware co-simulation bridge to SPICE: analog networks that learn in ngspice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Overrides = Annotated[
    list[str] | None, typer.Option("-s", "--set", help="Set a key of the file, e.g. -s training.epochs=3.")
]
ExperimentFile = Annotated[Path, typer.Argument(help="The experiment file (YAML).", metavar="EXPERIMENT")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of standard output.")]


def _load(path: Path, overrides: list[str] | None) -> Any:
    from bridge.experiment.build import Experiment

    return Experiment.load(path, tuple(overrides or ()))


@app.command()
def run(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Simulator processes.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run folder; a new one below runs/ by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an unfinished run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train an experiment's network and write a run folder with a report."""
    loaded = _load(experiment, overrides)  # before the slower imports: a wrong file is told at once

    from bridge.experiment.outcome import remarks
    from bridge.experiment.progress import training_progress
    from bridge.experiment.training import run_experiment

    try:
        with training_progress(loaded.spec.name) as progress:
            results = run_experiment(loaded, out=out, resume=resume, workers=workers, progress=progress)
    except KeyboardInterrupt:
        print("interrupted; the same command with --resume continues the run", file=sys.stderr)
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps(results, allow_nan=False))
        return
    accuracy = results["test_accuracy"]
    shown = f"loss {results['test_loss']:.4g}" + ("" if accuracy is None else f", accuracy {accuracy:.1%}")
    epochs = f"{results['epochs']} epoch{'s' if results['epochs'] != 1 else ''}"
    print(f"{results['name']}: test {shown} after {epochs}, {results['seconds']:.1f} s")
    for line in remarks(results):
        print(line)
    print(f"report: {Path(results['run']) / 'report.html'}")


@app.command()
def netlist(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    sample: Annotated[int, typer.Option(min=0, help="Test sample whose inputs are applied.")] = 0,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output by default.")] = None,
) -> None:
    """Write the network as a plain deck that `ngspice -b` runs to the same values."""
    from bridge.experiment.record import plain_netlist
    from bridge.experiment.store import write_atomic

    loaded = _load(experiment, overrides)
    split = loaded.data()
    if sample >= len(split.test):
        raise SpecError(f"--sample {sample}: the test split has samples 0 to {len(split.test) - 1}")
    network = loaded.network(split)
    drives = network.drive_values(split.test.inputs[sample])
    times = getattr(split.test, "times", None)
    text = plain_netlist(loaded.plan(network), network, drives if times is None else (times, drives))
    if out is None:
        print(text, end="")
    else:
        try:
            write_atomic(out, text)
        except OSError as error:
            raise SpecError(f"--out {out}: cannot be written: {error.strerror}") from error


@app.command()
def schema(
    sweep_files: Annotated[bool, typer.Option("--sweep", help="Of sweep files instead.")] = False,
) -> None:
    """Print the JSON schema of experiment files or sweep files, for editors."""
    if sweep_files:
        from bridge.sweep.spec import SweepSpec

        content = SweepSpec.model_json_schema()
    else:
        from bridge.experiment.spec import ExperimentSpec

        content = ExperimentSpec.model_json_schema()
    content = {"$schema": "https://json-schema.org/draft/2020-12/schema", **content}
    print(json.dumps(content, indent=2))


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(help="The folder of a run or a sweep.", metavar="FOLDER")],
) -> None:
    """Write the report of a run or a sweep again, also of an unfinished one."""
    from bridge.report import write_report
    from bridge.sweep import Sweep
    from bridge.sweep.results import PLAN

    if (run_folder / PLAN).exists():
        from bridge.sweep.sweeping import write_reports

        print(write_reports(Sweep.load(run_folder)))
        return
    if not (run_folder / "spec.yaml").exists():
        raise SpecError(f"{run_folder}: not the folder of a run (no spec.yaml) or a sweep (no {PLAN})")
    print(write_report(run_folder))


@app.command()
def gradcheck(
    experiment: Annotated[
        Path | None, typer.Argument(help="The experiment file (YAML).", metavar="[EXPERIMENT]")
    ] = None,
    overrides: Overrides = None,
    estimators: Annotated[
        str | None,
        typer.Option(help="Names separated by commas; those that cover the network by default."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Largest relative error of an estimator that claims exactness.")
    ] = 1e-3,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="Check all classes of circuits and write the exactness report.")
    ] = False,
    growth: Annotated[
        int | None,
        typer.Option(min=2, help="Instead: how the gradient grows with the window, in so many windows."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Simulator processes.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the plot or report; the current one by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare gradient estimators with finite differences; exit status 1 when an exact one misses."""
    if gallery == (experiment is not None):
        raise SpecError("gradcheck takes either an experiment file or --gallery")
    if experiment is None:
        from bridge.validation.command import check_gallery

        raise typer.Exit(check_gallery(workers=workers, out=out))
    loaded = _load(experiment, overrides)

    from bridge.validation.command import check_experiment, check_growth

    if growth is not None:
        raise typer.Exit(check_growth(loaded, growth, as_json=as_json, workers=workers))
    status = check_experiment(
        loaded, estimators, as_json=as_json, tolerance=tolerance, workers=workers, out=out
    )
    raise typer.Exit(status)


@app.command()
def program(
    file: Annotated[Path, typer.Argument(help="The programming file (YAML).", metavar="FILE")],
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; a new one below runs/ by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Program the devices of a crossbar array by pulses; exit status 1 when one misses its target."""
    from bridge.updates.programming.command import program_file

    raise typer.Exit(program_file(file, tuple(overrides or ()), out=out, as_json=as_json))


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep file (YAML).", metavar="SWEEP")],
    out: Annotated[
        Path | None, typer.Option(help="The sweep's folder; a new one below sweeps/ by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an unfinished sweep.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: do runs again that failed.")
    ] = False,
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler whose workers do the runs.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs; start and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Do the runs of a sweep file; exit status 1 when some of them failed."""
    from bridge.sweep.command import sweep_command

    status = sweep_command(
        file, out=out, workers=workers, resume=resume, retry_failed=retry_failed, dask=dask, dry_run=dry_run,
        as_json=as_json,
    )  # fmt: skip
    raise typer.Exit(status)


@app.command()
def results(
    folder: Annotated[Path, typer.Argument(help="A sweep's folder.")],
    condition: Annotated[
        str | None, typer.Option("--filter", help="Rows to show, e.g. 'test_loss < 0.1 and seed > 2'.")
    ] = None,
    sort: Annotated[str | None, typer.Option(help="Column to sort by; -COLUMN for falling values.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All columns as a JSON list.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="All columns as CSV.")] = False,
) -> None:
    """Print the table of a sweep, also of an unfinished one."""
    from bridge.sweep.command import results_command

    results_command(folder, condition=condition, sort=sort, as_json=as_json, as_csv=as_csv)


@app.command()
def validate(
    device: Annotated[
        str | None,
        typer.Argument(
            help="A device, for example yakopcic:oblea or diode, or the file of your own one.",
            metavar="[DEVICE]",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Validate every shipped device.")] = False,
    parameters: Annotated[
        Path | None, typer.Option(help="File (YAML) of parameters and specifications that replace the own.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Measured data (CSV: time,voltage,current or voltage,current) to fit and compare."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Simulator processes.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder of the reports; validation/ by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a device with independent references; exit status 1 when a specification fails."""
    from bridge.validation.devices.command import validate_devices

    status = validate_devices(
        device,
        everything=everything,
        parameters=parameters,
        data=data,
        as_json=as_json,
        workers=workers,
        out=out,
    )
    raise typer.Exit(status)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Show what was found: the ngspice library, its features, Python packages, the paths tried."""
    from bridge.doctor import run_doctor

    raise typer.Exit(run_doctor(as_json))


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version as installed

        print(f"tellegen {installed('tellegen')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; a wrong input ends with one clear line and exit status 2."""
    try:
        app(prog_name="tellegen")
    except SpecError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except TellegenError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.strerror is None:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"{where}{error.strerror}", file=sys.stderr)
        sys.exit(1)
