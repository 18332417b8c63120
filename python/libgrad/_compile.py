"""C++ Functions under torch.compile: each is traced as its operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ._function import Bound


def substitute(bound: Bound) -> None:
    """Have torch._dynamo, which is imported by now, trace `bound`'s operator for its function."""
    from torch._dynamo.decorators import substitute_in_graph

    substitute_in_graph(bound.function, skip_signature_check=True)(_traced(bound))


def _traced(bound: Bound) -> Any:
    operator, single = bound.operator, bound.single
    if operator is None:
        message = (
            f"torch.compile: {bound.name} takes an argument of a type that no operator takes "
            f"({', '.join(n for n, t in zip(bound.names, bound.types, strict=True) if not t)}); "
            "call it outside of the compiled function, or give forward a type of those that "
            "operators take"
        )

        def refused(*args: Any, **kwargs: Any) -> Any:
            raise TypeError(message)

        return refused
    if single:

        def one(*args: Any, **kwargs: Any) -> torch.Tensor:
            return operator(*args, **kwargs)

        return one

    def several(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        return tuple(operator(*args, **kwargs))

    return several
