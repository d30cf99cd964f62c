"""``densevl train``: train a model from a config."""

from typing import Any

from densevl.cli.config_commands import add_config_command

__all__ = ["add"]

EXAMPLES = """\
  densevl train dinoiser_train_scenes
  densevl train dinoiser_train_scenes --resume --cfg-options train_cfg.max_iters=2000
  torchrun --nproc-per-node 8 -m densevl train cloc_train_shards --launcher pytorch --amp
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_config_command(commands, "train", _train, "train a model from a config", EXAMPLES)
    parser.add_argument(
        "--resume", nargs="?", const=True, default=False, metavar="CHECKPOINT", help="continue (default: the last one)"
    )
    parser.add_argument("--amp", action="store_true", help="compute in bfloat16 where that is safe")


def _train(**arguments: Any) -> int:
    from densevl.training.train import train

    train(**arguments)
    return 0
