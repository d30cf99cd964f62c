"""The option of commands about what a model does not know: images of another kind, and things of no taught class."""

import argparse
from typing import Any

from densevl.core.errors import UsageError

__all__ = ["add_unknown_option", "check_unknown", "known_share", "show_known"]


def add_unknown_option(parser: argparse.ArgumentParser, taught: bool = False) -> None:
    """Add the option; it takes a value or none, and so stands after what the command is about.

    Args:
        parser: of the command.
        taught: whether the command takes taught classes, of which a number says how much may be called unknown.
    """
    share = (
        "; a number P, such as 0.05, with taught --classes: call things unknown that look like none of the classes, at "
        "most about the share P of those that do"
    )
    parser.add_argument(
        "--unknown",
        nargs="?",
        const="",
        metavar="P|FOLDER|FILE" if taught else "FOLDER|FILE",
        help="mark images that are unlike those of a folder, 20 or more that the model is to be used on; alone, those "
        "that are unlike what the model ships with, as is done anyway where it ships something" + share * taught,
    )


def known_share(options: argparse.Namespace) -> float | None:
    """The share of known things that may be called unknown; None where the option says something else.

    Raises:
        UsageError: where the number is no such share.
    """
    try:
        share = float(options.unknown or "none")
    except ValueError:
        return None
    from densevl.classifiers.evidence import check_share

    check_share(share)
    return share


def check_unknown(options: argparse.Namespace) -> None:
    """Say what cannot be meant, before a model is loaded or its weights are fetched.

    Raises:
        UsageError: where there are too few images, none are given for a model that says nothing of its own, or a
            share is given and no taught classes.
    """
    if options.unknown is None:
        return
    if known_share(options) is not None:
        from densevl.core.tensor_header import is_tensor_file

        if getattr(options, "classes", None) is None or not is_tensor_file(options.classes):
            raise UsageError(
                f"--unknown {options.unknown} is a share of what classes were taught by, and none were; give --classes "
                "FILE of `densevl teach`, or a folder of known images"
            )
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
    if known_share(options) is not None:
        return model
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
