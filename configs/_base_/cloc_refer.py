"""Referring expressions by CLOC-style embeddings (Chen et al., ICML 2025): cosine of the box's vector with the text's.

No weights of CLOC are public: `prompter=FILE`, and `weights=FILE` where the CLIP was trained too, name what a training
of yours left behind (configs/cloc_train_*.py). `weights=mini-clip` runs it all with the mini CLIP, mini CLOC; they
know drawn scenes alone, so that on photos the figures mean nothing.
There are no masks; `model.grounder.mask_maker` takes one, such as dict(type="sam", weights="sam-vit-b").
"""

from densevl.benchmarks.referring.model import GroundingModel

model = dict(
    type=GroundingModel,
    grounder=dict(
        embedders=[
            dict(type="prompter", encoder=dict(type="clip", weights="clip-vit-b16-laion2b"), prompter=None, hint="box")
        ],
        template="{}",
        negatives=None,
    ),
)
