"""A model, taught classes and scenes that lenses ask about."""

import pytest

import densevl
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.overlay import write_image
from densevl.datasets.examples import Example
from densevl.datasets.scenes import render


@pytest.fixture(scope="session")
def mini() -> Subject:
    """The mini model, asked by names, at a size that takes little time."""
    return Subject(densevl.load("mini", device="cpu", lazy=True, short_side=96))


@pytest.fixture
def scenes() -> Source:
    """A few scenes."""
    return Source(scenes=3, seed=3)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> tuple[Example, ...]:
    """Drawn shapes as examples with masks in files, some of them of new shapes."""
    folder, found = tmp_path_factory.mktemp("shapes"), []
    for index in range(8):
        scene = render(5, index, (64, 72), "val", (2, 3), new_shapes=True)
        write_image(folder / f"{index}.png", scene.image)
        for number, item in enumerate(scene.objects):
            write_image(
                folder / f"{index}-{number}.mask.png", (255 * item.mask[..., None]).repeat(3, 2).astype("uint8")
            )
            name = item.shape if item.shape in ("arrow", "bolt") else "shape"
            mask = folder / f"{index}-{number}.mask.png"
            found.append(Example(folder / f"{index}.png", name, f"{index}, {number}", item.box, mask))
    return tuple(found)


@pytest.fixture(scope="session")
def taught(mini, shapes) -> Subject:
    """The mini model, taught the new shapes by regions."""
    own = [one for one in shapes if one.name != "shape"]
    return Subject(mini.model, mini.model.teach(own, heads="regions", views=1))
