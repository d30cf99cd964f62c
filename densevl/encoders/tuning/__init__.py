"""What can be tuned inside an encoder whose own weights stay as they are; one file a kind."""

from densevl.core.registry import Registry

__all__ = ["TUNABLES"]

TUNABLES = Registry(
    "tunable",
    {
        "class-vectors": "densevl.encoders.tuning.class_vectors:ClassVectors",
        "conditional-context": "densevl.encoders.tuning.conditional_context:ConditionalContext",
        "context": "densevl.encoders.tuning.context:Context",
        "deep-prompts": "densevl.encoders.tuning.deep_prompts:DeepPrompts",
        "experts": "densevl.encoders.tuning.experts:Experts",
        "norms": "densevl.encoders.tuning.norms:Norms",
        "singular-values": "densevl.encoders.tuning.singular_values:SingularValues",
        "style-context": "densevl.encoders.tuning.style_context:StyleContext",
        "visual-tokens": "densevl.encoders.tuning.visual_tokens:VisualTokens",
        "weights": "densevl.encoders.tuning.weights:Weights",
    },
)
