"""``python -m libgrad demo``: a gradient by hand, a network on real data, the cost of a call."""

from __future__ import annotations

import copy
import sys
import time
from typing import Any

import torch
from torch import Tensor, nn

from .. import _C, backward, grad, no_grad, print_graph
from . import overhead

__all__ = ["demo"]

swish = _C._demo.swish  # a C++ Function, bound by libgrad::def_function<Swish>


def demo(device: str = "cpu") -> int:
    """Run the three parts on `device`; return 0 when every number is right."""
    problem = _device_problem(device) or _missing_packages()
    if problem:
        print(f"libgrad demo: {problem}", file=sys.stderr)
        return 1
    start = time.perf_counter()
    print(f"libgrad demo on {device}, torch {torch.__version__}\n")
    good = [_by_hand(device), _train(device)]
    _table(device)
    print(f"\n{time.perf_counter() - start:.0f} s in all")
    return 0 if all(good) else 1


def _device_problem(device: str) -> str | None:
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        return f"--device {device}: {str(error).splitlines()[0]}"
    if kind not in ("cpu", "cuda"):
        return f"--device must be cpu or cuda, but is {device}"
    if kind == "cuda" and not torch.cuda.is_available():
        return f"--device {device}: torch {torch.__version__} sees no CUDA device; use --device cpu"
    try:
        torch.empty(0, device=device)
    except RuntimeError as error:
        return f"--device {device}: {str(error).splitlines()[0]}"
    return None


def _missing_packages() -> str | None:
    missing = []
    for module, package in (("sklearn", "scikit-learn"), ("tqdm", "tqdm")):
        try:
            __import__(module)
        except ModuleNotFoundError:
            missing.append(package)
    if not missing:
        return None
    return f"needs {' and '.join(missing)}; run\n    pip install {' '.join(missing)}"


def _by_hand(device: str) -> bool:
    print("1. f(x, y) = (x + y)(y + 1) at x = 2, y = 3\n")
    x = torch.tensor(2.0, device=device, requires_grad=True)
    y = torch.tensor(3.0, device=device, requires_grad=True)
    f = (x + y) * (y + 1)
    print_graph(f, {"x": x, "y": y})
    print("\n  tensor  is_leaf  requires_grad  grad_fn")
    for name, t in (("x", x), ("y", y), ("f", f)):
        made_by = t.grad_fn.name() if t.grad_fn else "None"
        print(f"  {name:<6}  {t.is_leaf!s:<7}  {t.requires_grad!s:<13}  {made_by}")

    backward(f, retain_graph=True)
    returned = grad(f, {"x": x, "y": y})
    by_hand = {"x": ("y + 1", y + 1), "y": ("x + 2y + 1", x + 2 * y + 1)}
    print("\n          by hand             backward    grad")
    good = True
    for name, leaf in (("x", x), ("y", y)):
        formula, value = by_hand[name]
        accumulated = leaf.grad
        assert accumulated is not None
        hand, back, ret = value.item(), accumulated.item(), returned[name].item()
        print(f"  df/d{name}   {formula:<10} = {hand:<4g}   {back:<8g}    {ret:g}")
        good &= hand == back == ret
    return good


class _Net(nn.Module):
    """A network from 64 pixels to 10 digits, with the C++ Function between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 128)
        self.out = nn.Linear(128, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        digits: Tensor = self.out(swish(self.hidden(pixels), beta=1.5))
        return digits


def _larger(a: float, b: float) -> float:
    return a if a >= b else b  # a NaN as `b` is returned: it counts as larger than any number


def _largest_difference(model: nn.Module, twin: nn.Module) -> float:
    largest = 0.0
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        largest = _larger(largest, (p.grad - q.grad).abs().max().item())
    return largest


def _train(device: str) -> bool:
    from sklearn.datasets import load_digits
    from tqdm import tqdm

    print("\n2. Handwritten digits (1,797 images of 8 x 8), a C++ Function as the activation")
    print("   Each step: libgrad.backward here, torch.autograd.backward on a copy.\n")
    torch.manual_seed(0)
    data: Any = load_digits()
    pixels = torch.tensor(data.data / 16, dtype=torch.float32, device=device)
    digits = torch.tensor(data.target, device=device)
    order = torch.randperm(len(digits)).to(device)
    test, train = order[:360], order[360:]
    model = _Net().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    largest, steps = 0.0, 0
    epochs = tqdm(range(20), desc="   training", unit="epoch", file=sys.stdout, ncols=78)
    for _ in epochs:
        for batch in train[torch.randperm(len(train), device=device)].split(64):
            twin = copy.deepcopy(model)
            loss, same = (
                nn.functional.cross_entropy(m(pixels[batch]), digits[batch]) for m in (model, twin)
            )
            optimizer.zero_grad()
            twin.zero_grad()
            backward(loss)
            torch.autograd.backward(same)
            largest = _larger(largest, _largest_difference(model, twin))
            optimizer.step()
            steps += 1
        epochs.set_postfix(loss=f"{loss.item():.4f}")
    with no_grad():
        accuracy = (model(pixels[test]).argmax(1) == digits[test]).float().mean().item()
    print(f"\n   largest difference of a gradient in {steps} steps: {largest:g}")
    print(f"   accuracy on {len(test)} images it has not seen: {accuracy:.1%}")
    return largest == 0 and accuracy > 0.95


def _table(device: str) -> None:
    print("\n3. What a call costs: medians, one thread, the three taking turns\n")
    width = max(map(len, overhead.CASES))
    sizes = [width, 8, 14, 9, 9, 15, 13]
    print("  " + "  ".join(f"{h:<{n}}" for h, n in zip(overhead.HEADER, sizes, strict=True)))
    for graph in overhead.CASES:
        for call in ("grad", "backward"):
            cells = overhead.measure(graph, call, device).cells()
            print("  " + "  ".join(f"{c:<{n}}" for c, n in zip(cells, sizes, strict=True)))
