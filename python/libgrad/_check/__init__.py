"""`check`: one function through every mode, each compared with what it must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what runs is imported when it runs
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

    Every row of the report is run: backward to the third order against finite differences, forward
    mode against reverse mode, the transforms of torch.func against eager backward, vmap against a
    loop, layouts, empty inputs, autocast, checkpoint, threads, torch.export, torch.compile. A row
    is ``"ok"``, ``"wrong"`` (and where, by how much), ``"error"`` (what was raised) or ``"n/a"``
    (why). The report prints as a table and is true when no row is wrong or an error.

    `check` asks where in PyTorch a function works; `gradcheck`, which is one of its rows, asks only
    whether the derivatives are right, with all of torch's options, and raises an error if not.

    >>> x = torch.randn(3, 4, dtype=torch.double)
    >>> report = libgrad.check(torch.sigmoid, x, only=["autograd", "func"])
    >>> report.ok, report["hessian"].status
    (True, 'ok')

    The inputs are copied and never modified; random numbers and every mode of torch are as they
    were, afterwards. Each row has its seconds; those of torch.compile take by far the most and
    run last: ``skip="compile"`` leaves them out.

    Args:
        fn: What to check: of tensors, of lists, tuples and dicts of them, and of anything else. It
            returns a tensor, or such a structure.
        inputs: What to call it with. All floating-point and complex tensors are differentiated,
            whether or not they require grad. Take few entries, and double precision where `fn`
            knows it: gradcheck needs it.
        kwargs: Its keyword arguments; tensors in it are differentiated too.
        reference: The same function in operators of torch, to compare values and derivatives with.
        exact: False when the gradient is what backward says, not the derivative of the values, as
            in a straight-through estimator: rows that would compare with numbers are n/a, those
            that compare modes with each other stay.
        mutates: Which of `inputs` (by position) `fn` modifies in place, on purpose.
        only: Names of rows or groups to run, instead of all.
        skip: Names of rows or groups to leave out.
        backends: Backends of torch.compile, as it takes them.
        rtol: Relative tolerance between modes, in place of one that suits the dtype.
        atol: Absolute tolerance between modes.
        seed: Of the directions and weights that check draws, from a generator of its own.

    Raises:
        IndexError: `mutates` names an input that is not there.
        TypeError: `fn` or `reference` cannot be called.
        ValueError: `only` or `skip` names what is no row and no group; the text lists them all.

    KeyboardInterrupt ends the report; any other exception is its row's.
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
