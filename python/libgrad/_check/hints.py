"""What to do about errors of torch that do not say it."""

from __future__ import annotations

import re

__all__ = ["hint"]

_HINTS = (
    (
        r"_scaled_dot_product_|_efficient_attention|_flash_attention",
        "this attention has a first derivative in reverse mode alone: run it under "
        "torch.nn.attention.sdpa_kernel(SDPBackend.MATH), which has all of them",
    ),
    (
        r"PendingUnbackedSymbolNotFound|DynamicOutputShape|DataDependent|data-dependent|[Uu]nbacked",
        "the shape of a result depends on data, which no tracer has: give the operator its "
        "output size, if it takes one, or leave these rows out by skip=['tracing', 'compile']",
    ),
)


def hint(error: BaseException) -> str:
    """Return a sentence about `error` and the errors behind it; empty when none is known."""
    said, seen = "", set[int]()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        said += f"{type(step).__name__}: {step}\n"
        step = step.__cause__ or step.__context__
    return next((text for pattern, text in _HINTS if re.search(pattern, said)), "")
