"""All benchmarks, one after the other, each in a process of its own.

    python -m benchmarks.suite [--full] [--rounds 3] [--json FILE] [--write] [NAME ...]

Without `--full` every benchmark takes its smaller sizes, within three minutes in total. With it, the largest
networks (`scale`), arrays (`array`) and their programming (`crossbar`) are measured too. `benchmarks.results`
(accuracies of the shipped experiments) and `benchmarks.peer` (another solver, which is not a dependency) are
commands of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import Settings, Table, finish, parser

NAMES = ("yardstick", "gradient", "overhead", "workers", "solvers", "sizes")
LARGE = ("scale", "array", "crossbar")


def run(name: str, settings: Settings) -> list[Table]:
    """The tables of one benchmark, measured in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tables.json"
        code = (
            "import json, sys; from benchmarks.common import Settings, defaults, plain; "
            f"import benchmarks.{name} as m; own = defaults(m.extend) if hasattr(m, 'extend') else {{}}; "
            f"found = m.tables(Settings({settings.full}, {settings.rounds}, own)); "
            "json.dump([plain(t) for t in found], open(sys.argv[1], 'w'))"
        )
        subprocess.run([sys.executable, "-c", code, str(target)], check=True)
        return [Table(**t) for t in json.loads(target.read_text(encoding="utf-8"))]


def main() -> None:
    """Run them and print the tables."""
    made = parser(__doc__)
    every = (*NAMES, *LARGE)
    made.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(every)}")
    made.set_defaults(rounds=3)
    given = made.parse_args()
    if unknown := sorted({*given.names} - {*every}):
        made.error(f"no benchmark {unknown[0]!r}; choose from {', '.join(every)}")
    settings = Settings(given.full, given.rounds)
    found: list[Table] = []
    for name in given.names or (every if given.full else NAMES):
        print(f"{name} ...", file=sys.stderr, flush=True)
        found += run(name, settings)
    finish(found, settings, given.json, given.write)


if __name__ == "__main__":
    main()
