"""Small encoders that learn from the mini CLIP: their losses, what is trained, and what is written."""

import math

import pytest
import torch
from safetensors.torch import load_file

from densevl.datasets.scenes.training import ScenePairs
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.encoders.loading import build_clip
from densevl.training.distilled import DistilledEncoder, read_patches, sigmoid_loss
from densevl.training.export import export


@pytest.fixture(scope="module")
def batch():
    scenes = ScenePairs(2, size=128)
    samples = [scenes[index] for index in range(2)]
    return [one["images"] for one in samples], [one["texts"] for one in samples]


@pytest.fixture(scope="module")
def locked():
    return DistilledEncoder("mini-tok", autocast=False)


def test_sigmoid_loss_by_hand():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], dtype=torch.float64)
    true = torch.tensor([[True, False], [True, True]])
    signed = [2.0, 1.0, 0.5, 3.0]
    expected = sum(math.log1p(math.exp(-value)) for value in signed) / 2
    assert sigmoid_loss(logits, true).item() == pytest.approx(expected)


def test_patches_are_those_of_the_readout_and_have_gradients(locked, batch):
    images = torch.stack(batch[0]).float() / 255
    patches, pooled = read_patches(locked.student, images)
    expected = locked.student.to_joint(MaskCLIPReadout()(locked.student.last_block(images)).flatten(2).mT).mT.unflatten(
        2, (16, 16)
    )
    torch.testing.assert_close(patches, expected)
    torch.testing.assert_close(pooled, locked.student.forward_images(images)[1])
    assert patches.requires_grad
    assert pooled.requires_grad


def test_a_student_with_the_texts_of_its_teacher_trains_its_image_tower_alone(locked, batch):
    assert locked.locked
    assert {name.split(".")[1] for name, _ in locked.named_parameters()} == {"visual"}
    texts = ["a red circle", "sand"]
    assert torch.equal(locked.student.forward_texts(texts), locked.teacher.forward_texts(texts))
    losses = locked(*batch)
    assert set(losses) == {"loss_patches", "loss_contrast"}
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in locked.parameters())


def test_it_learns_what_its_teacher_sees(locked, batch):
    optimizer = torch.optim.AdamW(locked.parameters(), lr=2e-3)
    losses = []
    for _ in range(4):
        loss = sum(locked(*batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_a_sigmoid_student_has_texts_and_a_bias_of_its_own(batch):
    model = DistilledEncoder("mini-siglip", sigmoid=True, autocast=False)
    losses = model(*batch)
    assert set(losses) == {"loss_patches", "loss_contrast", "loss_texts"}
    sum(losses.values()).backward()
    assert model.encoder.logit_bias.grad is not None
    assert model.encoder.logit_scale.exp().item() == pytest.approx(10)


def test_what_is_written_is_read_with_the_texts_of_the_teacher(locked, tmp_path):
    torch.save({"state_dict": locked.state_dict()}, tmp_path / "iter_1.pth")
    export(tmp_path / "iter_1.pth", tmp_path / "tok.safetensors")
    assert all(name.startswith("visual.") for name in load_file(tmp_path / "tok.safetensors"))
    encoder = build_clip(tmp_path / "tok.safetensors", "mini-tok", layout="image-tower", base="mini-clip")
    image = torch.rand(1, 3, 128, 128)
    torch.testing.assert_close(
        encoder.embed_images(image), locked.eval().student.embed_images(image), rtol=0, atol=1e-2
    )
    assert encoder.model_id.startswith("mini-tok@")
    assert encoder.model_id.endswith("+94691bf68e1f")
