"""`check`: runs a function through every mode of autograd and compares the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the modules that run are imported by the call
    from .report import Report

__all__ = ["check"]


def check(
    fn: Callable[..., Any],
    *inputs: Any,
    kwargs: Mapping[str, Any] | None = None,
    reference: Callable[..., Any] | None = None,
    exact: bool = True,
    mutates: Sequence[int] = (),
    only: str | Sequence[str] | None = None,
    skip: str | Sequence[str] = (),
    backends: Sequence[str | Callable[..., Any]] = ("eager", "aot_eager", "inductor"),
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
) -> Report:
    """Run a function through every mode of autograd and report which of them work.

    The rows of the report are: backward to the third order against finite differences, forward mode
    against reverse mode, the transforms of torch.func against eager backward, vmap against a loop,
    layouts, empty inputs, autocast, checkpoint, threads, torch.export, torch.compile. A row is
    ``"ok"``, ``"wrong"`` (it says where and by how much), ``"error"`` (with the exception) or
    ``"n/a"`` (with the reason). The report prints as a table and is true when no row is wrong or an
    error.

    `check` tests in which modes of PyTorch a function works. `gradcheck`, which is one of its rows,
    tests only whether the derivatives are right, with all of torch's options, and raises an error
    if not.

    >>> x = torch.randn(3, 4, dtype=torch.double)
    >>> report = libgrad.check(torch.sigmoid, x, only=["autograd", "func"])
    >>> report.ok, report["hessian"].status
    (True, 'ok')

    The inputs are copied and never modified. Afterwards random generators and every mode of torch
    are as they were before. Each row reports its seconds. The rows of torch.compile take by far the
    most and run last: ``skip="compile"`` leaves them out.

    Args:
        fn: The function to check. It takes tensors, lists, tuples and dicts of tensors, and
            anything else, and returns a tensor or such a structure.
        inputs: The arguments of `fn`. All floating-point and complex tensors are differentiated,
            whether or not they require grad. Use few entries, and double precision where `fn`
            supports it: gradcheck needs it.
        kwargs: The keyword arguments of `fn`; tensors among them are differentiated, too.
        reference: The same function in operators of torch, to compare values and derivatives with.
        exact: False when backward deliberately differs from the derivative of the values, as in a
            straight-through estimator. Rows that compare with finite differences are then n/a; rows
            that compare modes with each other still run.
        mutates: The positions of the `inputs` that `fn` modifies in place on purpose.
        only: Names of the rows or groups to run, instead of all.
        skip: Names of rows or groups to leave out.
        backends: Backends of torch.compile, as it takes them.
        rtol: Relative tolerance between modes, in place of one that suits the dtype.
        atol: Absolute tolerance between modes.
        seed: The seed of the directions and weights that check draws from its own generator.

    Raises:
        IndexError: `mutates` names an input that does not exist.
        TypeError: `fn` or `reference` cannot be called.
        ValueError: A name in `only` or `skip` is no row and no group; the text lists them all.

    KeyboardInterrupt ends the call; any other exception is reported in its row.
    """
    for name, function in (("fn", fn), ("reference", reference)):
        if not (callable(function) or (name == "reference" and function is None)):
            kind = type(function).__name__
            raise TypeError(f"check: {name} must be a function, but is {kind}")
    for i in mutates:
        if not 0 <= i < len(inputs):
            raise IndexError(f"check: mutates names input {i}, but there are {len(inputs)} inputs")

    from .case import Options
    from .compare import Tolerance
    from .run import run

    options = Options(
        reference, Tolerance(rtol, atol), seed, exact, tuple(mutates), tuple(backends)
    )
    names = [only] if isinstance(only, str) else only
    return run(
        fn,
        inputs,
        dict(kwargs or {}),
        options,
        names,
        [skip] if skip and isinstance(skip, str) else skip,
    )
