"""The table of operations as Markdown, for people who want to know what is there.

Owns: the text. Does not own: the facts (`ops`).

    python -m cenote.s3
"""

from __future__ import annotations

from cenote.s3.ops import OPS, Op

__all__ = ["coverage_table", "request_line"]


def request_line(op: Op) -> str:
    """Return how a request for `op` looks: "PUT /bucket/key?partNumber=…&uploadId=…"."""
    path = {"service": "/", "bucket": "/bucket", "object": "/bucket/key"}[op.target]
    query = "&".join(name if value is None else f"{name}={value}" for name, value in op.query)
    line = f"{op.method} {path}?{query}" if query else f"{op.method} {path}"
    return f"{line} with {op.header}" if op.header else line


def coverage_table(*, refused: bool = True) -> str:
    """Return a Markdown table of the operations that work, then of those refused, with reasons.

    Ends with a newline. With `refused` false, only the first table.
    """
    works = [op for op in OPS.values() if op.implemented]
    lines = ["| operation | request |", "|---|---|"]
    lines += [f"| {op.name} | `{request_line(op)}` |" for op in works]
    if refused:
        reasons: dict[str, list[str]] = {}
        for op in OPS.values():
            if op.reason is not None:
                reasons.setdefault(op.reason, []).append(op.name)
        lines += ["", "| refused with 501 NotImplemented | operations |", "|---|---|"]
        lines += [f"| {reason} | {', '.join(names)} |" for reason, names in reasons.items()]
    return "\n".join(lines) + "\n"
