"""Label maps painted region by region: SAM proposes, CLOC-style embeddings (Chen et al., ICML 2025) name the boxes.

No weights of CLOC are public: `prompter=FILE`, and `weights=FILE` where the CLIP was trained too, name what a training
of yours left behind (configs/cloc_train_*.py). `weights=mini-clip` runs it all with the mini CLIP, mini CLOC and mini
SAM; they know drawn scenes alone, so that on photos the figures mean nothing.
"""

from densevl.benchmarks.segmentation.model import OpenVocabularyModel

model = dict(
    type=OpenVocabularyModel,
    segmentor=dict(
        type="RegionSegmentor",
        encoder=dict(type="clip", weights="clip-vit-b16-laion2b"),
        embedder=dict(type="prompter", prompter=None, hint="box"),
        mask_maker=dict(type="cached", maker=dict(type="sam", weights="sam-vit-h")),
        templates="plain",
    ),
)
