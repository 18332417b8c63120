"""What each process of test_functional_split.py runs: `torchrun split_program.py DEVICE`."""

from __future__ import annotations

import os
import sys
import warnings

import torch
import torch.distributed as dist
from support.parity import outcome
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from libgrad import functional as ours

CASES = {}


def case(function):
    """Put `function` among those that main() runs."""
    CASES[function.__name__] = function
    return function


def point(device, dtype=torch.float64):
    torch.manual_seed(0)
    return tuple(torch.randn(shape, dtype=dtype).to(device) for shape in [(3,), (2, 2)])


def pair(x, y):
    return torch.outer(x.sin(), y.flatten().exp()), (x.sum() * y).t()


def loss(x, y):
    return (torch.outer(x.sin(), y.flatten()).prod() + (x.sum() * y).pow(3)).sum()


def equal(mine, expected):
    """Assert one structure, and tensors that agree bit for bit or to rounding."""
    torch.testing.assert_close(mine, expected, rtol=1e-12, atol=1e-12)
    for a in torch.utils._pytree.tree_leaves(mine):
        assert not a.requires_grad


def same(name, function, inputs, group, **options):
    """Assert that the ranks compute together what each computes alone."""
    call = getattr(ours, name)
    equal(call(function, inputs, group=group, **options), call(function, inputs, **options))


@case
def matrices(device, group):
    for options in ({}, {"vectorize": False}, {"chunk_size": 2}, {"check": True}):
        same("jacobian", pair, point(device), group, **options)
        same("hessian", loss, point(device), group, **options)


@case
def each_rank_computes_its_rows(device, group):
    taken = []

    class Counts(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            taken.append(grad)
            return grad * 2

    x = torch.randn(7, device=device)
    matrix = ours.jacobian(Counts.apply, x, vectorize=False, group=group)
    equal(matrix, 2 * torch.eye(7, device=device))
    assert len(taken) == (4 if dist.get_rank() == 0 else 3)


@case
def bit_for_bit(device, group):
    x, y = point(device)
    for mine, expected in zip(
        ours.jacobian(pair, (x, y), vectorize=False, group=group)[0],
        ours.jacobian(pair, (x, y), vectorize=False)[0],
        strict=True,
    ):
        assert mine.equal(expected)


@case
def unusual_shapes(device, group):
    x, y = point(device)
    same("jacobian", lambda t: t.sum(), x, group)  # more ranks than rows
    same("jacobian", lambda t: t[:0], x, group)
    same("jacobian", lambda t: t * 2, x[:0], group)
    same("jacobian", lambda a, b: (a * 2, torch.ones_like(b)), (x, y), group)
    same("jacobian", lambda a: torch.ones_like(a), x, group)
    same("hessian", lambda t: t.sum(), x, group)


@case
def dtypes(device, group):
    x, y = point(device)
    same("jacobian", lambda a, b: (a.double() * b.sum(), a * 2), (x.float(), y), group)
    same("jacobian", torch.sin, x.bfloat16(), group)
    same("jacobian", torch.sin, torch.complex(x, x.cos()), group)


@case
def nests(device, group):
    x, y = point(device)
    same(
        "jacobian", lambda p: {"a": p["x"] * 2, "b": (p["l"][0].sin(),)}, {"x": x, "l": [y]}, group
    )
    same("hessian", lambda p: (p["x"].sum() * p["l"][0]).pow(3).sum(), {"x": x, "l": [y]}, group)
    same("jacobian", lambda t: (t.sin(),), (x,), group)


@case
def distributed_tensors(device, group):
    mesh = init_device_mesh(device, (2,))
    plain, _ = point(device)
    for placement in (Replicate(), Shard(0)):
        x = distribute_tensor(plain, mesh, [placement])
        for name, function in (
            ("jacobian", torch.exp),
            ("jacobian", lambda t: t * 3),
            ("jacobian", lambda t: t.detach()),
            ("hessian", lambda t: t.pow(3).sum()),
            ("hessian", lambda t: t.sum()),
        ):
            call = getattr(ours, name)
            for options in ({}, {"vectorize": False}):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the loop, where batching rules are missing
                    mine = call(function, x, **options)
                assert isinstance(mine, DTensor), (name, options)
                equal(mine.full_tensor().detach(), call(function, plain))
        _, error, text = outcome(lambda x=x: ours.jacobian(torch.exp, x, check=True))
        assert error is NotImplementedError
        assert "check=True compares numbers" in text


@case
def columns_and_graphs_are_refused(device, group):
    x, _ = point(device)
    for name, way in (("jacobian", "strategy"), ("hessian", "outer_jacobian_strategy")):
        for options, error, says in (
            ({"create_graph": True}, NotImplementedError, "`create_graph=True` and `group`"),
            ({way: "forward-mode"}, NotImplementedError, "only implemented for"),
            ({way: "double-reverse"}, NotImplementedError, "only implemented for"),
            ({"strict": True}, RuntimeError, "`strict=True` and `group`"),
            ({"chunk_size": 0}, ValueError, "chunk_size is 0"),
        ):
            call = getattr(ours, name)
            _, raised, text = outcome(lambda: call(lambda t: t.sum(), x, group=group, **options))
            assert raised is error, (options, raised, text)
            assert says in text


@case
def a_rank_that_fails_is_named_by_the_others(device, group):
    x, _ = point(device)

    def fails(t):
        if dist.get_rank() == 1:
            raise KeyError("mine")
        return t.sin()

    _, error, text = outcome(lambda: ours.jacobian(fails, x, group=group))
    if dist.get_rank() == 1:
        assert (error, text) == (KeyError, "'mine'")
    else:
        assert error is RuntimeError
        assert "jacobian: rank 1 of the group failed" in text
        assert "KeyError: 'mine'" in text
    same("jacobian", torch.sin, x, group)


@case
def ranks_that_disagree_are_told(device, group):
    x, _ = point(device)
    size = 2 if dist.get_rank() == 0 else 3
    _, error, text = outcome(lambda: ours.jacobian(lambda t: t[:size].exp(), x, group=group))
    assert error is RuntimeError
    assert "on all ranks with the same function and inputs" in text


@case
def a_process_outside_the_group_is_refused(device, group):
    x, _ = point(device)
    alone = dist.new_group([0])
    if dist.get_rank() == 0:
        same("jacobian", torch.sin, x, alone)
    else:
        _, error, text = outcome(lambda: ours.jacobian(torch.sin, x, group=alone))
        assert error is ValueError, text
        assert "jacobian: this process (rank 1) is not in the group" in text
    dist.barrier()


@case
def what_is_no_group_is_refused(device, group):
    _, error, text = outcome(lambda: ours.jacobian(torch.sin, torch.ones(2), group="world"))
    assert error is TypeError
    assert "group must be a process group" in text


def main() -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    device = sys.argv[1]
    dist.init_process_group("gloo" if device == "cpu" else "nccl")
    if device == "cuda":
        torch.cuda.set_device(dist.get_rank() % torch.cuda.device_count())
    group = dist.group.WORLD
    for name, run in CASES.items():
        run(device, group)
        sys.stdout.write(f"rank {dist.get_rank()}: {name}\n")  # in one piece, as two share a pipe
        sys.stdout.flush()
    dist.destroy_process_group()
    _, error, text = outcome(lambda: ours.jacobian(torch.sin, torch.ones(2), group=group))
    assert error is ValueError
    assert "torch.distributed is not initialized" in text
    os._exit(0)  # torch's own threads, under load, can abort a process that Python ends


if __name__ == "__main__":
    main()
