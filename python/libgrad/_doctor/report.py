"""The findings of a `doctor` as text and as a table."""

from __future__ import annotations

from collections.abc import Iterable

from .. import _C
from .._C import CallSite, Finding, FindingWrite
from .._results import immutable, refuse_pickle

__all__ = ["Findings", "SilentWriteWarning"]

refuse_pickle(immutable(Finding), "it", "keep its report, str(finding)")
refuse_pickle(immutable(CallSite), "it", "keep its op, file, line and module")
refuse_pickle(immutable(FindingWrite), "it", "keep its op, file, line and module")


class SilentWriteWarning(UserWarning):
    """A tensor that backward needs was changed, but its version was not."""


@immutable
class Findings(tuple[Finding, ...]):
    """The findings of a `doctor`; a report as text, a table in a notebook."""

    __slots__ = ()

    def __str__(self) -> str:
        return _C.findings_text(list(self)) or "nothing that backward needs was written to"

    def _repr_html_(self) -> str:
        head = ("node", "needs", "made at", "saved at", "written by", "versions", "what to do")
        rows = ["".join(f"<th>{name}</th>" for name in head)]
        rows += ["".join(f"<td>{cell}</td>" for cell in _cells(finding)) for finding in self]
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def escape(text: str) -> str:
    """Return `text` escaped for HTML."""
    from html import escape  # few programs need it

    return escape(text)


def _place(call: CallSite | FindingWrite) -> str:
    where = f"{call.file}:{call.line}" if call.file else ""
    return escape(" ".join(filter(None, (call.op, where, call.module and f"in {call.module}"))))


def _cells(finding: Finding) -> Iterable[str]:
    """Return the cells of a finding's row, as HTML."""
    field = finding.field if finding.index is None else f"{finding.field}[{finding.index}]"
    dtype = str(finding.dtype).removeprefix("torch.")
    yield escape(finding.node)
    yield f"<code>{escape(field)}</code> {escape(f'{dtype} {list(finding.shape)}')}"
    yield escape(f"leaf {finding.leaf or ''}") if finding.is_leaf else _place(finding.made_at)
    yield _place(finding.saved_by)
    if finding.writes:
        yield "<br>".join(map(_place, finding.writes))
    elif finding.silent:
        yield f"outside of PyTorch, between {_place(finding.unchanged_at)} and " + _place(
            finding.changed_at
        )
    else:
        yield "not recorded"
    silent = f"{finding.version} (silent)"
    yield silent if finding.silent else f"{finding.saved_version} → {finding.version}"
    yield escape(finding.advice).replace("\n", "<br>")
