"""The option of commands that tells images of the kind that a model knows from others."""

import argparse
from typing import Any

from densevl.core.errors import UsageError

__all__ = ["add_unknown_option", "check_unknown", "show_known"]


def add_unknown_option(parser: argparse.ArgumentParser) -> None:
    """Add the option; it takes a value or none, and so stands after what the command is about."""
    parser.add_argument(
        "--unknown",
        nargs="?",
        const="",
        metavar="FOLDER|FILE",
        help="mark images that are unlike those of a folder, 20 or more that the model is to be used on; alone, those "
        "that are unlike what the model ships with, as is done anyway where it ships something",
    )


def check_unknown(options: argparse.Namespace) -> None:
    """Say what cannot be meant, before a model is loaded or its weights are fetched.

    Raises:
        UsageError: where there are too few images, or none are given for a model that says nothing of its own.
    """
    if options.unknown is None:
        return
    if options.unknown:
        from densevl.api.jobs.familiarity import reference_images

        reference_images(options.unknown)
        return
    from densevl.api.models import default_model, models

    name = (options.model or default_model(options.offline, options.component)[0]).partition("@")[0]
    if name in models() and not models()[name].known:
        raise _nothing_known(name)


def show_known(model: Any, options: argparse.Namespace) -> Any:
    """The model, which has been shown the images that the option names.

    Raises:
        UsageError: where the images cannot be used, or none are given and the model says nothing of its own.
    """
    if options.unknown:
        from densevl.api.jobs.familiarity import known_by

        model.known = known_by(model, options.unknown)
    elif options.unknown is not None and model.known is None:
        raise _nothing_known(model.name)
    return model


def _nothing_known(name: str) -> UsageError:
    return UsageError(
        f"model {name!r} ships nothing that says which images it knows; show it some that it is to be used on: "
        "--unknown FOLDER"
    )
