"""CLOC-style region embeddings (Chen et al., ICML 2025) on a CLIP ViT-B/16, compared with texts as they are.

No weights of CLOC are public: `prompter=FILE`, and `weights=FILE` where the CLIP was trained too, name what a training
of yours left behind (configs/cloc_train_*.py). `weights=mini-clip prompter=mini-cloc` takes the mini CLIP and the mini
CLOC, `mask_maker=mini-sam` the mini SAM; they know drawn scenes alone, so that on photos the figures mean nothing.

`cloc` embeds given boxes; with `sam` it proposes them. `cloc_grounder` scores expressions and makes no masks, but for
`mask_maker=sam-vit-b`.
"""

encoder = dict(type="clip", weights="clip-vit-b16-laion2b")
embedder = dict(type="prompter", prompter=None, hint="box")
cloc = dict(segmentor=dict(type="regions", encoder=encoder, embedder=embedder, templates="none"))
cloc_grounder = dict(grounder=dict(embedders=[dict(encoder=encoder, **embedder)], template="{}", negatives=None))
sam = dict(type="cached", maker=dict(type="sam", weights="sam-vit-h"))
