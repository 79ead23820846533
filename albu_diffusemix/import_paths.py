"""Where Python looks for modules: never in the working directory, unless a module there was asked for by its name.

`python -c` and `python -m` put the working directory first on `sys.path`. It may be a data set that somebody else made,
and a file `queue.py` in it would run in place of the standard library's. `-P` would do, but Python 3.10 has no such
option; `-I` would, but drops PYTHONPATH and the packages of the user.
"""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["import_asked_for", "leave_out_working_directory", "module_command", "module_environment"]

_PYTHONPATH = "PYTHONPATH"

_START = """
import sys
module, package, *given = sys.argv[1:]
own = sys.path[:] = [entry for entry in sys.path if entry]
import os
here = os.path.realpath(os.curdir)
sys.path[:] = [entry for entry in given if entry in own or os.path.realpath(entry) != here]
from importlib import import_module, util
spec = util.spec_from_file_location("albu_diffusemix", package)
sys.modules["albu_diffusemix"] = util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["albu_diffusemix"])
from albu_diffusemix.text import make_output_printable
make_output_printable()
del sys.argv[1:]
sys.exit(import_module(module).main())
"""


def import_asked_for(module: str) -> ModuleType:
    """Import a module of the user, also from the working directory: that is looked into after all other places.

    Args:
        module: Its full name.

    Returns:
        The module.

    Raises:
        ValueError: It cannot be imported, whatever its code raises, SystemExit too.

    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        advice = "; check the name and PYTHONPATH" if isinstance(error, ImportError) else ""
        reason = f"{type(error).__name__}: {error}{advice}"
        raise ValueError(f"module {module!r} cannot be imported: {reason}") from error


def leave_out_working_directory() -> None:
    """Take out the entry by which `python -c` and a console mean "wherever the working directory is"."""
    sys.path[:] = [entry for entry in sys.path if entry]


def module_command(module: str) -> list[str]:
    """Return a command that runs the function `main` of one of our modules in a new process, and exits with its status.

    The process looks for modules where this one does, but for the working directory: that stays only where the user
    named it, in PYTHONPATH or a `.pth` file. It runs the same copy of this package, however it was found here.

    Args:
        module: Its full name.

    """
    package = str(Path(__file__).absolute().with_name("__init__.py"))
    return [sys.executable, "-c", _START, module, package, *filter(None, sys.path)]


def module_environment() -> dict[str, str]:
    """Return the environment for `module_command`: this one, without the empty entries in PYTHONPATH.

    To Python an empty entry, as `PYTHONPATH=$PYTHONPATH:/mine` makes it, is the working directory.
    """
    environment = dict(os.environ)
    if _PYTHONPATH in environment:
        environment[_PYTHONPATH] = os.pathsep.join(filter(None, environment[_PYTHONPATH].split(os.pathsep)))
    return environment
