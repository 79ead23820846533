"""In a process that imports this, by `--import opening_counts`, each opening is a line in the file `$OPENINGS`.

A line says which process, what was opened, and what for: the function of `generate.job` that did it, and who called it.
"""

import os
import sys
from pathlib import Path

from albu_diffusemix import backends, regular_files, store

JOB = Path("albu_diffusemix/generate/job.py")


def record(what):
    line = f"{os.getpid()}\t{what}\t{reason()}\n"
    with open(os.environ["OPENINGS"], "a") as file:  # noqa: PTH123  Path.open may be what is counted
        file.write(line)


def reason():
    """Name the outermost public function of `generate.job` under way, and its caller."""
    frame, found = sys._getframe(), "somebody else"
    while frame.f_back is not None:
        here, caller = frame.f_code, frame.f_back.f_code
        if here.co_filename.endswith(str(JOB)) and not caller.co_filename.endswith(str(JOB)):
            found = f"{here.co_name} for {caller.co_name}"
        frame = frame.f_back
    return found


def count(function, what, matters=lambda *_: True):
    """Put a counting function in the place of this one, wherever the package has imported it."""

    def counting(*arguments, **options):
        if matters(*arguments):
            record(what)
        return function(*arguments, **options)

    for name, module in list(sys.modules.items()):
        if name.startswith("albu_diffusemix"):
            for attribute in [attribute for attribute, value in vars(module).items() if value is function]:
                setattr(module, attribute, counting)


count(backends.shared_backend, "backend asked for")
count(backends.create_backend, "backend built")
count(regular_files.open_regular, "store.json read", lambda path, *_: Path(path).name == "store.json")
whole = store._Snapshot.of
store._Snapshot.of = lambda *arguments: (record("store opened"), whole(*arguments))[1]
