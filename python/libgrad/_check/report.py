"""The report that `check` returns: rows, printed as a table or read as data."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from .._results import immutable

__all__ = ["Report", "Row"]

STATUSES = ("ok", "wrong", "error", "n/a")
WIDTH = 100


@immutable
@dataclass(frozen=True)
class Row:
    """One mode that a function was run through.

    Attributes:
        name: The name of the mode, such as ``"vmap"``.
        status: ``"ok"``, ``"wrong"`` (it ran and the result is wrong), ``"error"`` (it raised) or
            ``"n/a"`` (there is nothing to run, for the reason in `detail`).
        detail: What is worth knowing about the row, in a line; may be empty.
        seconds: The time that the row took.
        error: The exception of a row that is ``"error"``, else None.
        group: The group of the row, such as ``"func"``.
    """

    name: str
    status: str
    detail: str = ""
    seconds: float = 0.0
    error: BaseException | None = field(default=None, compare=False)
    group: str = ""

    def __repr__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"<{self.name}: {self.status}{detail} ({self.seconds:.2f} s)>"


def _shortened(row: Row, said: dict[str, str]) -> list[str]:
    """Return the lines of a row's detail; a long line already `said` only names the other row."""
    lines = []
    for line in row.detail.splitlines():
        first = said.setdefault(line, row.name)
        repeated = first != row.name and len(line) > 60
        lines.append(f"as in {first!r}" if repeated else line)
    return list(dict.fromkeys(lines))


@immutable
@dataclass(frozen=True)
class Report:
    """The rows of one call of `check`, in the order in which they ran.

    ``str(report)`` is a table; `rows` and ``report["vmap"]`` are the data; a report is true when
    `ok` is, so that ``assert libgrad.check(f, x)`` is a test.

    Attributes:
        title: The function and its arguments.
        rows: All rows.
        notes: Notes about the whole report.
        torch_version: The version of torch that ran it.
    """

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    torch_version: str = ""

    @property
    def ok(self) -> bool:
        """Whether no row is wrong and none is an error; rows that are n/a do not matter."""
        return not self.failed

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows that are wrong or an error."""
        return tuple(row for row in self.rows if row.status in ("wrong", "error"))

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        names = ", ".join(row.name for row in self.rows)
        raise KeyError(f"Report: no row is called {name!r}; there are {names}")

    def summary(self) -> str:
        """Return the number of rows of each status, and the seconds of all rows."""
        count = {s: sum(row.status == s for row in self.rows) for s in STATUSES}
        counts = ", ".join(f"{n} {s}" for s, n in count.items() if n)
        return f"{counts or 'no rows'} in {sum(row.seconds for row in self.rows):.1f} s"

    def __str__(self) -> str:
        told = [row for row in self.rows if row.status != "n/a"]
        size = max((len(row.name) for row in told), default=0)
        lines = [*textwrap.wrap(self.title, WIDTH)]
        said: dict[str, str] = {}
        for group in dict.fromkeys(row.group for row in self.rows):
            lines += ["", f"{group} ".ljust(WIDTH, "─")]
            for row in told:
                if row.group != group:
                    continue
                start = f"{row.name:<{size}}  {row.status:<5}  {row.seconds:6.2f} s"
                for text in _shortened(row, said) or [""]:
                    for line in textwrap.wrap(text, WIDTH - len(start) - 2) or [""]:
                        lines.append(f"{start}  {line}".rstrip())
                        start = " " * len(start)
            lines += self._not_applicable(group)
        lines += ["", *(line for n in self.notes for line in textwrap.wrap(n, WIDTH))]
        return "\n".join([*lines, self.summary()])

    def _not_applicable(self, group: str) -> list[str]:
        """Return the rows of a group that are n/a: those with the same reason in one entry."""
        names: dict[str, list[str]] = {}
        for row in self.rows:
            if row.group == group and row.status == "n/a":
                names.setdefault(" ".join(row.detail.split()), []).append(row.name)
        entries = (f"n/a: {', '.join(rows)}: {why}" for why, rows in names.items())
        return [
            line
            for entry in entries
            for line in textwrap.wrap(entry.removesuffix(": "), WIDTH, subsequent_indent="     ")
        ]

    def __repr__(self) -> str:
        failed = ", ".join(f"{row.name}: {row.status}" for row in self.failed)
        return f"<Report of {self.title}: {self.summary()}{f' ({failed})' if failed else ''}>"

    def to_json(self, indent: int | None = 2) -> str:
        """Return the report as JSON: an object with the title, `ok`, the notes and the rows."""
        rows = [
            {
                "name": row.name,
                "group": row.group,
                "status": row.status,
                "detail": row.detail,
                "seconds": round(row.seconds, 3),
                "error": type(row.error).__name__ if row.error is not None else None,
            }
            for row in self.rows
        ]
        report = {
            "title": self.title,
            "torch": self.torch_version,
            "ok": self.ok,
            "notes": list(self.notes),
            "rows": rows,
        }
        return json.dumps(report, indent=indent, ensure_ascii=False)

    def to_markdown(self) -> str:
        """Return the rows as a table of Markdown, without the seconds, which differ in each run."""
        lines = ["| group | mode | status | |", "|---|---|---|---|"]
        for row in self.rows:
            detail = row.detail.replace("|", "\\|").replace("\n", "<br>")
            name = row.name.replace("|", "\\|")
            lines.append(f"| {row.group} | {name} | {row.status} | {detail} |")
        return "\n".join(lines) + "\n"

    def _repr_html_(self) -> str:
        color = {"wrong": "#c62828", "error": "#c62828", "ok": "#2e7d32"}
        lines = [f"<p><b>{html.escape(self.title)}</b></p>", "<table>"]
        lines.append("<tr><th>group</th><th>mode</th><th>status</th><th>s</th><th></th></tr>")
        for row in self.rows:
            detail = html.escape(row.detail).replace("\n", "<br>")
            style = f' style="color:{color[row.status]}"' if row.status in color else ""
            lines.append(
                f"<tr><td>{html.escape(row.group)}</td><td>{html.escape(row.name)}</td>"
                f"<td{style}>{row.status}</td><td>{row.seconds:.2f}</td>"
                f'<td style="text-align:left">{detail}</td></tr>'
            )
        lines += ["</table>", *(f"<p>{html.escape(note)}</p>" for note in self.notes)]
        return "\n".join([*lines, f"<p>{html.escape(self.summary())}</p>"])


Report.__module__ = Row.__module__ = "libgrad.types"
