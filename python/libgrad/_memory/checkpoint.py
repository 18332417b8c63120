"""`checkpoint`: recomputes saved tensors instead of keeping them; by libgrad/checkpoint.h."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar, overload

import torch
import torch.fx._symbolic_trace as fx
import torch.utils.checkpoint as theirs
from torch import nn

from .. import _C
from .selective import routed

__all__ = ["checkpoint", "checkpoint_sequential"]

T = TypeVar("T")
P = ParamSpec("P")
ContextFn = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]

_noop = theirs.noop_context_fn
_torch_checkpoint = theirs.checkpoint
_torchs_options = inspect.signature(_torch_checkpoint).parameters


@overload
def checkpoint(
    function: Callable[..., T],
    *args: Any,
    use_reentrant: bool = False,
    context_fn: ContextFn = _noop,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    respect_saved_tensors_hooks: bool | None = None,
    preserve_rng_state: bool = True,
    save: Sequence[str] = (),
    offload: Sequence[str] = (),
    **kwargs: Any,
) -> T: ...


@overload
def checkpoint(
    function: None = None,
    *,
    use_reentrant: bool = False,
    context_fn: ContextFn = _noop,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    respect_saved_tensors_hooks: bool | None = None,
    preserve_rng_state: bool = True,
    save: Sequence[str] = (),
    offload: Sequence[str] = (),
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...


def checkpoint(
    function: Callable[..., Any] | None = None,
    *args: Any,
    use_reentrant: bool = False,
    context_fn: ContextFn = _noop,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    respect_saved_tensors_hooks: bool | None = None,
    preserve_rng_state: bool = True,
    save: Sequence[str] = (),
    offload: Sequence[str] = (),
    **kwargs: Any,
) -> Any:
    """Return ``function(*args, **kwargs)``, whose graph keeps nothing but its inputs.

    Tensors that `function` saves for backward are not kept: backward runs `function` again to
    recompute them. This works with `grad`, for double backward, for a retained graph that runs
    again, and inside another checkpoint. The rerun has the random numbers, autocast and default
    device of forward; gradients are equal bit for bit to those without checkpoint.

    >>> layer = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Dropout(0.5))
    >>> x = torch.ones(2, 4, requires_grad=True)
    >>> y = libgrad.checkpoint(layer, x)
    >>> y.sum().backward()

    Without `function` it is a decorator, of functions and of methods of all kinds:

    >>> class Block(torch.nn.Linear):
    ...     @libgrad.checkpoint(preserve_rng_state=False)
    ...     def forward(self, x):
    ...         return super().forward(x).tanh()
    >>> Block(4, 4)(x).sum().backward()

    Args:
        function: Must do the same each time, and must not change its inputs. None: a decorator is
            returned, whose function runs as a checkpoint with the other arguments.
        args: The arguments of `function`. Tensors among them are kept like saved tensors: backward
            raises when they were changed in place.
        use_reentrant: True uses torch's reentrant implementation unchanged.
        context_fn: Returns two context managers, for forward and for the rerun.
        determinism_check: ``"default"``: recomputed tensors must have the shapes, dtypes and
            devices of forward; ``"none"``: they need not.
        debug: True uses torch's implementation, whose errors list the operators of both runs.
        early_stop: End the rerun as soon as all tensors that backward needs are recomputed.
        respect_saved_tensors_hooks: True: hooks on saved tensors, such as `save_on_cpu`, that are
            around the call also pack the tensors that the checkpoint keeps: those that the policy
            of a selective checkpoint saves, and those of `save` and `offload`. False: such tensors
            are kept as they are. None: True for `save` and `offload`, False with a FutureWarning
            for a policy, as in torch.
        preserve_rng_state: Draw the random numbers of forward again, of the CPU and of the devices
            of tensors in `args`.
        save: Names of tensors, given by `libgrad.name` in `function`. These tensors are kept, and
            the rerun leaves out the operators that made them. Names that are not used do nothing.
        offload: As `save`, but the tensors are kept in the memory of the host.
        kwargs: The keyword arguments of `function`.

    Raises:
        RuntimeError: torch.utils.checkpoint.CheckpointError, from backward, when the rerun of
            `function` saved other tensors than forward; for tensors of a transform of torch.func,
            such as vmap; when a tensor in `save` or `offload` was changed in place after
            `libgrad.name`.
        TypeError: An argument has another type.
        ValueError: `determinism_check` is another word; a name is in both `save` and `offload`;
            there are names together with a `context_fn` or torch's implementation;
            `respect_saved_tensors_hooks` is given together with ``use_reentrant=True``; there are
            keyword arguments for a function, but no function.

    Source: torch.utils.checkpoint.checkpoint; Chen et al. 2016, Training Deep Nets with Sublinear
    Memory Cost.
    """
    options = (
        use_reentrant,
        context_fn,
        determinism_check,
        debug,
        early_stop,
        respect_saved_tensors_hooks,
        preserve_rng_state,
        save,
        offload,
    )
    if function is None and not args:
        if kwargs:
            raise ValueError(
                f"checkpoint: Unexpected keyword arguments: {', '.join(kwargs)}. Without a "
                f"function there are only options; give the function first, or pass them to what "
                f"is decorated"
            )
        return functools.partial(CheckpointedFunction, options=options)
    return _run(function, args, kwargs, *options)


class CheckpointedFunction:
    """A function that runs as a checkpoint; what the decorator makes.

    It has the name, the documentation, the attributes and the signature of the function, and binds
    as it does.
    """

    def __init__(self, function: Callable[..., Any], options: tuple[Any, ...]) -> None:
        if not callable(function) and not hasattr(function, "__get__"):
            raise TypeError(
                f"checkpoint: what is decorated must be callable, but is {type(function).__name__}"
            )
        if inspect.isfunction(function):
            self.__dict__.update(vars(function))
        self.function = function
        self.options = options
        functools.update_wrapper(self, function, updated=())

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return _run(self.function, args, kwargs, *self.options)

    def __get__(self, instance: object, owner: type | None = None) -> CheckpointedFunction:
        bind = getattr(self.function, "__get__", None)
        bound = self.function if bind is None else bind(instance, owner)
        return self if bound is self.function else type(self)(bound, self.options)

    def __set_name__(self, owner: type, name: str) -> None:
        """Leave a plain method in the class, which torch.compile and torch.export can read."""
        method = _plain(self.function, self.options)
        if method is not None and vars(owner).get(name) is self:
            type.__setattr__(owner, name, method)  # a metaclass may refuse its own

    def __reduce__(self) -> Any:
        """Pickle by name what stands in a module under the name of its function."""
        found: Any = sys.modules.get(getattr(self, "__module__", ""))
        name: str = getattr(self, "__qualname__", "")
        for part in name.split("."):
            found = getattr(found, part, None)
        return name if found is self else (type(self), (self.function, self.options))


def _plain(function: Any, options: tuple[Any, ...]) -> Any:
    """Return `function`, which is of Python, as a checkpoint of the same kind; else None."""
    if isinstance(function, (staticmethod, classmethod)):
        inner = _plain(function.__func__, options)
        return None if inner is None else type(function)(inner)
    if not inspect.isfunction(function):
        return None

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        return _run(function, args, kwargs, *options)

    return functools.update_wrapper(checkpointed, function)


def _run(
    function: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    use_reentrant: bool,
    context_fn: ContextFn,
    determinism_check: str,
    debug: bool,
    early_stop: bool,
    respect: bool | None,
    preserve_rng_state: bool,
    save: Sequence[str],
    offload: Sequence[str],
) -> Any:
    debug = _switch("_checkpoint_debug_enabled", debug)
    if save != () or offload != ():
        save, offload = _names("save", save), _names("offload", offload)
        _check_names(save, offload, context_fn)
    if respect is not None:
        _check_respect(respect, use_reentrant)
    if use_reentrant or debug or torch.compiler.is_compiling():
        if save or offload:
            raise ValueError(
                "checkpoint: save and offload cannot be used with use_reentrant=True, with "
                "debug=True or under torch.compile, where torch's own checkpoint runs"
            )
        options: dict[str, Any] = {} if context_fn is _noop else {"context_fn": context_fn}
        if respect is not None and "respect_saved_tensors_hooks" in _torchs_options:
            options["respect_saved_tensors_hooks"] = respect
        return _torch_checkpoint(
            _without_options(function, kwargs, use_reentrant),
            *args,
            use_reentrant=use_reentrant,
            determinism_check=determinism_check,
            debug=debug,
            early_stop=early_stop,
            preserve_rng_state=preserve_rng_state,
            **options,
            **kwargs,
        )
    if not callable(function):
        raise TypeError(f"checkpoint: function must be callable, but is {type(function).__name__}")
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f'checkpoint: determinism_check must be "default" or "none", but is '
            f"{determinism_check!r}"
        )
    forward: Callable[..., Any] = function
    again: Callable[..., Any] = function
    if context_fn is not _noop:
        first, second = context_fn()
        forward, again = _inside(routed(first, respect), function), _inside(second, function)
    if not torch.is_grad_enabled():
        return function(*args, **kwargs)
    return _C.checkpoint(
        forward,
        _as_now(again),
        args,
        kwargs,
        preserve_rng_state,
        determinism_check == "default",
        _switch("_enable_checkpoint_early_stop", early_stop),
        [*save],
        [*offload],
        respect is not False,
    )


def _check_respect(respect: bool | None, use_reentrant: bool) -> None:
    if not isinstance(respect, bool):
        raise TypeError(
            f"checkpoint: respect_saved_tensors_hooks must be True, False or None, but is "
            f"{type(respect).__name__}"
        )
    if use_reentrant:
        raise ValueError(
            "checkpoint: respect_saved_tensors_hooks is only supported with use_reentrant=False: "
            "the re-entrant checkpoint keeps nothing that hooks could pack. Leave it out"
        )


def _without_options(
    function: Callable[..., T], kwargs: dict[str, Any], use_reentrant: bool
) -> Callable[..., T]:
    """Move arguments of `function` that have the name of an option from `kwargs` into it."""
    names = [name for name in kwargs if name in _torchs_options]
    if not names:
        return function
    if use_reentrant:  # torch refuses other names
        raise ValueError(
            f"checkpoint: Unexpected keyword arguments: {', '.join(names)}. A re-entrant "
            f"checkpoint takes none for its function"
        )
    return functools.partial(function, **{name: kwargs.pop(name) for name in names})


def _check_names(save: Sequence[str], offload: Sequence[str], context_fn: ContextFn) -> None:
    if both := set(save) & set(offload):
        raise ValueError(
            f"checkpoint: {min(both)!r} is in save and in offload; leave it in one of them"
        )
    if context_fn is not _noop:
        raise ValueError(
            "checkpoint: save and offload cannot be used with context_fn: a context that runs "
            "other operators again than in forward, as that of a selective checkpoint does, would "
            "move them against what was kept"
        )


def _names(argument: str, names: Sequence[str]) -> list[str]:
    is_list = isinstance(names, Sequence) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f'checkpoint: {argument} must be a tuple of names, such as ("attn_scores",), but is '
            f"{names!r}"
        )
    return [*names]


def _switch(name: str, argument: bool) -> bool:
    """Return the value of torch's set_checkpoint_... where it is set, else the argument."""
    switch: bool | None = getattr(theirs, name, None)
    return argument if switch is None else switch


def _inside(context: AbstractContextManager[Any], function: Callable[..., T]) -> Callable[..., T]:
    """Return `function`, run inside `context`."""

    def run(*args: Any, **kwargs: Any) -> T:
        with context:
            return function(*args, **kwargs)
        raise RuntimeError(
            "checkpoint: a context of context_fn suppressed an exception of the function, so there "
            "is no result; let it pass"
        )

    return run


# Whether torch.fx traces: None where torch knows it of the process, not of the thread.
_fx_traces: Callable[[], bool] | None = getattr(fx, "_get_is_fx_tracing", None)
_set_fx_traces: Callable[[bool], None] | None = getattr(fx, "_set_is_fx_tracing", None)


def _as_now(function: Callable[..., T]) -> Callable[..., T]:
    """Return `function`, run with the default device of now, and traced by torch.fx as now."""
    if torch._C._len_torch_function_stack():
        function = _inside(torch.get_default_device(), function)
    if _fx_traces is None or _set_fx_traces is None:
        return function
    return _traced(_fx_traces(), function, _fx_traces, _set_fx_traces)


def _traced(
    now: bool, function: Callable[..., T], traces: Callable[[], bool], mark: Callable[[bool], None]
) -> Callable[..., T]:
    def run(*args: Any, **kwargs: Any) -> T:
        before = traces()
        if before is now:
            return function(*args, **kwargs)
        mark(now)
        try:
            return function(*args, **kwargs)
        finally:
            mark(before)

    return run


def checkpoint_sequential(
    functions: nn.Sequential | Sequence[Callable[[Any], Any]],
    segments: int,
    input: Any,
    use_reentrant: bool = False,
    *,
    preserve_rng_state: bool = True,
) -> Any:
    """Run `functions`, one after the other, in `segments` that are checkpoints but for the last.

    >>> model = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(6)])
    >>> y = libgrad.checkpoint_sequential(model, 3, torch.ones(2, 4, requires_grad=True))
    >>> y.sum().backward()

    Args:
        functions: A Sequential, or callables that each take what the one before returns.
        segments: The number of segments, of the same length. The last may be longer; it keeps its
            saved tensors, since backward begins with it.
        input: The input of the first function.
        use_reentrant: As in `checkpoint`.
        preserve_rng_state: As in `checkpoint`.

    Raises:
        TypeError: `functions` are not callables, or `segments` no int.
        ValueError: `segments` is not 1 to the number of functions.

    Source: torch.utils.checkpoint.checkpoint_sequential.
    """
    parts = _functions("checkpoint_sequential", functions)
    if not isinstance(segments, int) or isinstance(segments, bool):
        raise TypeError(
            f"checkpoint_sequential: segments must be int, but is {type(segments).__name__}"
        )
    if not 1 <= segments <= len(parts):
        raise ValueError(
            f"checkpoint_sequential: segments must be 1 to {len(parts)}, the number of functions, "
            f"but is {segments}"
        )
    size = len(parts) // segments
    last = size * (segments - 1)
    for begin in range(0, last, size):
        input = checkpoint(
            _chain(parts[begin : begin + size]),
            input,
            use_reentrant=use_reentrant,
            preserve_rng_state=preserve_rng_state,
        )
    return _chain(parts[last:])(input)


def _functions(caller: str, functions: Iterable[Callable[[Any], Any]]) -> list[Any]:
    """Return the functions as a list; errors name `caller`."""
    if not isinstance(functions, Iterable):
        raise TypeError(
            f"{caller}: functions must be a Sequential or a list of callables, but is "
            f"{type(functions).__name__}"
        )
    found = [*functions]
    for place, function in enumerate(found):
        if not callable(function):
            raise TypeError(
                f"{caller}: functions[{place}] must be callable, but is {type(function).__name__}"
            )
    return found


def _chain(functions: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        for function in functions:
            value = function(value)
        return value

    return run
