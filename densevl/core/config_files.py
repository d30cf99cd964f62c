"""MMEngine config files: finding and reading them, and changing them from the command line.

Configs are code and are executed: use the ones that come with densevl or your own. The user command line takes none.
"""

import ast
import inspect
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from densevl.core.errors import UsageError, suggestion

__all__ = ["find_config", "load_config", "parse_options", "start_distributed"]


def config_folders() -> list[Path]:
    """Folders of the shipped configs: in the installed package, or beside it in a checkout."""
    package = Path(str(resources.files("densevl")))
    return [folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir()]


def find_config(name: str | Path) -> Path:
    """The file of a config: a path that exists, else the shipped config of that name (``maskclip_ade``).

    Raises:
        UsageError: where there is none; the message lists the shipped ones.
    """
    path = Path(name)
    if path.is_file():
        return path
    folders = config_folders()
    for folder in folders:
        shipped = folder / f"{path.name.removesuffix('.py')}.py"
        if shipped.is_file():
            return shipped
    known = sorted({file.stem for folder in folders for file in folder.glob("*.py") if file.stem[0] != "_"})
    raise UsageError(f"config {str(name)!r} is neither a file nor one of {', '.join(known) or 'the shipped ones'}")


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Values of ``KEY=VALUE`` pairs: a Python literal where it is one, else the text as it stands.

    Raises:
        UsageError: where a pair has no ``=``.
    """
    words = {"true": True, "false": False}  # "none" is the name of a background mode and of templates
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"a config option is written KEY=VALUE; got {pair!r}")
        try:
            options[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            options[key] = words.get(text.lower(), text)
    return options


def load_config(
    name: str | Path,
    options: Mapping[str, Any] | None = None,
    short_names: Mapping[str, str] | None = None,
    keys: Iterable[str] | None = None,
) -> Config:
    """Read a config and change it.

    Args:
        name: the path of a config, or the name of a shipped one.
        options: dotted keys and their new values.
        short_names: keys that stand for longer ones, such as ``data_root``.
        keys: first words of the dotted keys that have an effect; None for those of the config and the arguments of
            MMEngine's runner.

    Raises:
        UsageError: where the file is not found, fails, or has no place for an option.
    """
    path = find_config(name)
    try:
        config = Config.fromfile(path)
        _import_all(config)
    except Exception as error:  # a config is code: anything can go wrong in it
        raise UsageError(f"config {path} cannot be read: {type(error).__name__}: {error}") from error
    short_names = short_names or {}
    full = {short_names.get(key, key): value for key, value in (options or {}).items()}
    known = {*config, *inspect.signature(Runner).parameters} if keys is None else set(keys)
    for key in full:
        if key.partition(".")[0] not in known:
            raise UsageError(
                f"config {path} takes no option {key!r}; {suggestion(key, [*short_names, *sorted(known)])}"
            )
    try:
        config.merge_from_dict(full)
    except (KeyError, IndexError, TypeError, AssertionError) as error:
        raise UsageError(f"config {path} does not take the options {', '.join(full)}: {error}") from error
    return config


def _import_all(value: Any) -> None:
    """Look at every value of a config: MMEngine imports what a value names when it is first looked at."""
    if isinstance(value, Config | Mapping):
        for _, item in value.items():
            _import_all(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _import_all(item)


def start_distributed(config: Config, launcher: str) -> None:
    """Set up the processes that ``torchrun`` started; MMEngine's own set-up needs a GPU.

    Raises:
        UsageError: where the launcher is ``pytorch`` and ``torchrun`` was not used.
    """
    config.launcher = launcher
    if launcher != "pytorch" or torch.cuda.is_available():
        return
    if "RANK" not in os.environ:
        raise UsageError(
            "--launcher pytorch needs torchrun: torchrun --nproc-per-node 2 TOOL CONFIG --launcher pytorch"
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
