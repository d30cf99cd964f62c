"""CLOC-style embeddings of given boxes (Chen et al., ICML 2025), compared with texts as they are, without templates.

No weights of CLOC are public: `prompter=FILE`, and `weights=FILE` where the CLIP was trained too, name what a training
of yours left behind (configs/cloc_train_*.py). `weights=mini-clip` runs it all with the mini CLIP, mini CLOC; they
know drawn scenes alone, so that on photos the figures mean nothing.
"""

from densevl.benchmarks.regions.model import RegionChooser

model = dict(
    type=RegionChooser,
    segmentor=dict(
        type="RegionSegmentor",
        encoder=dict(type="clip", weights="clip-vit-b16-laion2b"),
        embedder=dict(type="prompter", prompter=None, hint="box"),
        templates="none",
    ),
)
