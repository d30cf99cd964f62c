import numpy as np
import torch
from toys.pretend_device import pretended_device, waits

from densevl.core.transfers import download, upload

VALUES = [
    torch.tensor([[1, 2], [3, -4]]),
    torch.tensor([0.1, -torch.inf, 3e-39]),
    torch.tensor([7, 8], dtype=torch.uint8),
    torch.empty(0),
]


def test_values_come_back_in_one_copy_as_they_were():
    here = download(VALUES)
    with pretended_device() as device:
        there = [upload(one, device) for one in VALUES]
        with waits() as found:
            back = download(there)
    assert found == ["copy of (9,) to the CPU"]
    for one, value, same in zip(back, VALUES, here, strict=True):
        assert isinstance(one, np.ndarray)
        assert one.dtype == value.numpy().dtype == same.dtype
        np.testing.assert_array_equal(one, value.numpy())
    assert download([]) == []


def test_nothing_is_copied_to_where_it_is():
    assert upload(VALUES[0], torch.device("cpu")) is VALUES[0]
    with pretended_device() as device, waits() as found:
        there = upload(VALUES[0], device)
        assert upload(there, device) is there
    assert found == []
