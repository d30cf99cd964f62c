"""Text towers: open_clip's, modules of densevl with a tokenizer, and large language models."""

from typing import TYPE_CHECKING, Any

from densevl.core.registry import Registry

if TYPE_CHECKING:
    from densevl.encoders.contracts import TextTower

__all__ = ["TEXT_TOWERS", "text_tower"]

TEXT_TOWERS = Registry(
    "text tower",
    {
        "dinotxt": "densevl.encoders.texts.dinotxt:build_dinotxt_text",
        "free": "densevl.encoders.towers.free:build_free_text",
        "hugging-face": "densevl.encoders.texts.hugging_face:build_hugging_face_text",
        "llm": "densevl.encoders.texts.llm:build_llm_texts",
        "moe": "densevl.encoders.towers.moe:build_moe_text",
        "talk2dino": "densevl.encoders.texts.talk2dino:build_talk2dino_text",
        "tips": "densevl.encoders.texts.tips:build_tips_text",
    },
)
"""Builders of towers by the name that an architecture gives as ``tower`` in its ``text_cfg``: of the rest of it, the
width of the joint space, the tensors that the tower will be filled with, and whether its activation is QuickGELU."""


def text_tower(model: Any, tokenizer: Any = None) -> "TextTower":
    """The text tower of a model.

    Args:
        model: of open_clip, or a pair of towers with its text tower as ``text``. Where that module meets the contract
            :class:`densevl.encoders.contracts.TextTower` it is taken as it is.
        tokenizer: see :class:`densevl.encoders.texts.open_clip.OpenClipTexts`; not needed by a module that meets the
            contract, since it holds its own.

    Raises:
        UsageError: where the module needs a tokenizer and there is none, or one with more ids than it embeds.
    """
    from densevl.encoders.contracts import TextTower

    own = getattr(model, "text", None)
    if isinstance(own, TextTower):
        return own
    from densevl.encoders.texts.open_clip import OpenClipTexts

    return OpenClipTexts(model, tokenizer)
