"""What is done to class probabilities on the patch grid."""

__all__: list[str] = []
