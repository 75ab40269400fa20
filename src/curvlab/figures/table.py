"""Tables as notebook output, drawn wherever Markdown is."""

from collections.abc import Sequence


class Table:
    """Rows under named columns with a caption; the first `texts` columns read from the left, the
    others are numbers.

    >>> Table("Two squares.", ["n", "square"], [["one", "1"], ["two", "4"]])
    Two squares.
    n    square
    one       1
    two       4
    """

    def __init__(
        self,
        caption: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        texts: int = 1,
    ):
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"requires {len(columns)} entries a row. Found {list(row)}.")
        self.caption, self.columns, self.rows = caption, list(columns), [list(r) for r in rows]
        self.texts = texts

    def _repr_markdown_(self) -> str:
        rule = ["---" if i < self.texts else "---:" for i in range(len(self.columns))]
        body = ["| " + " | ".join(row) + " |" for row in [self.columns, rule, *self.rows]]
        return f"**Table.** {self.caption}\n\n" + "\n".join(body)

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = [
            "  ".join(
                entry.ljust(width) if i < self.texts else entry.rjust(width)
                for i, (entry, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [self.columns, *self.rows]
        ]
        return "\n".join([self.caption, *lines])
