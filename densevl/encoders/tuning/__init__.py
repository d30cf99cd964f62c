"""What can be tuned inside an encoder whose own weights stay as they are; one file a kind."""

from densevl.core.registry import Registry

__all__ = ["TUNABLES"]

TUNABLES = Registry(
    "tunable",
    {
        "norms": "densevl.encoders.tuning.norms:Norms",
        "singular-values": "densevl.encoders.tuning.singular_values:SingularValues",
        "weights": "densevl.encoders.tuning.weights:Weights",
        "conditional-context": "densevl.encoders.tuning.conditional_context:ConditionalContext",
        "context": "densevl.encoders.tuning.context:Context",
        "deep-prompts": "densevl.encoders.tuning.deep_prompts:DeepPrompts",
        "visual-tokens": "densevl.encoders.tuning.visual_tokens:VisualTokens",
    },
)
