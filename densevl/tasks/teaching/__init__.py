"""Teaching: from examples to classes that segmentation, grounding and search take where they take names."""
