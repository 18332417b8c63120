import cubes
import torch


def test_derivatives_are_right():
    x = torch.randn(3, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(cubes.cube, x)
    assert torch.autograd.gradgradcheck(cubes.cube, x)


def test_keyword():
    assert cubes.cube(x=torch.tensor(2.0)).item() == 8
