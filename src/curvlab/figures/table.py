"""Tables as notebook output, drawn wherever Markdown is."""

from collections.abc import Sequence


class Table:
    """Rows under named columns with a caption; the first `texts` columns read from the left, the
    others are numbers. What follows a line break in an entry stands small below it: the range of a
    mean, the seeds behind it.

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
        rows = [[two_lines(entry) for entry in row] for row in self.rows]
        body = ["| " + " | ".join(row) + " |" for row in [self.columns, rule, *rows]]
        return f"**Table.** {self.caption}\n\n" + "\n".join(body)

    def __repr__(self) -> str:
        rows = [[one_line(entry) for entry in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *rows, strict=True)]
        lines = [
            "  ".join(
                entry.ljust(width) if i < self.texts else entry.rjust(width)
                for i, (entry, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [self.columns, *rows]
        ]
        return "\n".join([self.caption, *lines])


def two_lines(entry: str) -> str:
    first, line_break, below = entry.partition("\n")
    return f"{first}<br><small>{below}</small>" if line_break else first


def one_line(entry: str) -> str:
    first, line_break, below = entry.partition("\n")
    return f"{first} ({below})" if line_break else first
