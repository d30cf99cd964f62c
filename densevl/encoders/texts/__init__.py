"""Text towers: those of open_clip, and densevl's own, which hold their tokenizer."""

from densevl.core.registry import Registry

__all__ = ["TEXT_TOWERS"]

TEXT_TOWERS = Registry("text tower", {})
"""Builders of towers by the name that an architecture gives as ``tower`` in its ``text_cfg``: of the rest of it, the
width of the joint space, the tensors that the tower will be filled with, and whether its activation is QuickGELU."""
