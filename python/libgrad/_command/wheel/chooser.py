"""Takes the place of a module that was built for several torches: loads the one for this torch.

``python -m libgrad wheel`` puts this file, as it is, beside folders named ``_torch_MAJOR_MINOR``.
"""

import importlib.machinery
import importlib.util
import os
import sys


def _load() -> None:
    folder, name = os.path.dirname(__file__), __name__.rpartition(".")[2]
    start = "_torch_" if __package__ else f"_{name}_torch_"
    folders = {  # by the minor version of torch
        tuple(map(int, entry.removeprefix(start).split("_"))): entry
        for entry in os.listdir(folder)
        if entry.startswith(start)
    }
    inside = [".".join(map(str, minor)) for minor in sorted(folders)]
    listed = " and ".join(filter(None, [", ".join(inside[:-1]), *inside[-1:]]))
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            f"{__name__} needs torch {listed}, and none is installed. Run\n"
            f"    pip install 'torch=={inside[-1]}.*'"
        ) from error

    found = ".".join(torch.__version__.split("+")[0].split(".")[:2])
    if found in inside:
        chosen = os.path.join(folder, folders[tuple(map(int, found.split(".")))], name)
        for suffix in [*importlib.machinery.EXTENSION_SUFFIXES, ".py"]:
            spec = importlib.util.spec_from_file_location(__name__, chosen + suffix)
            if os.path.isfile(chosen + suffix) and spec and spec.loader:
                module = importlib.util.module_from_spec(spec)
                sys.modules[__name__] = module  # which the import returns, in place of this one
                spec.loader.exec_module(module)
                return
    raise ImportError(
        f"{__name__} was built for torch {listed}, but torch {torch.__version__} is installed "
        f"({os.path.dirname(torch.__file__)}). Run\n"
        f"    pip install 'torch=={inside[-1]}.*'\n"
        f"or, in the sources of {__name__.partition('.')[0]}, build it for the torch you have:\n"
        "    pip install --no-build-isolation .\n"
        "or a wheel for several:\n"
        f"    python -m libgrad wheel . --torch {','.join([*inside, found])}"
    )


_load()
