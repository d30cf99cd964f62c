"""The front door: load a model by name, segment images by words, find what an expression refers to, embed regions.

For example::

    model = densevl.load("maskclip")
    result = model.segment("photo.jpg", ["cat", ["sofa", "couch"]], background="literal")
    result.areas()  # {"cat": 0.31, ...}
    result.save("labels.png")

    encoded = model.encode("photo.jpg")  # once
    model.segment(encoded, "cat, dog")  # as often as you like

    found = densevl.load("fgvp").refer("photo.jpg", "the left dog", proposals=[[10, 20, 200, 180], [220, 30, 400, 190]])
    found.box, found.mask, found.ranking
    print(found.explain())

    regions = model.propose("photo.jpg")  # or boxes, masks, a file of boxes
    vectors = model.embed("photo.jpg", regions)  # (n, d), unit vectors
    vectors.cosines(model.embed_texts(["a striped sponge"]))  # (n, 1)
"""

__all__: list[str] = []
