"""The book's Markdown in plain Markdown and HTML, for front ends that do not know MyST.

`Plain` turns one cell's text into what Colab shows as it is meant: statements become quotations
with their numbers, solutions fold, references and citations become words, macros are written out.
Anything it does not know raises: raw directives never reach a reader.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

OPEN = re.compile(r"^(:{3,})\{([\w:-]+)\}\s*(.*)$")
OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")
CODE = re.compile(r"^(?:```|~~~)")
ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
EXPLICIT = re.compile(r"^(.*\S)\s*<([^<>]+)>$", re.DOTALL)
EQUATION = re.compile(r"(\$\$(?:(?!\$\$).)+?)\s*\$\$[ \t]*\(([\w:-]+)\)", re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) +(.*)$")
TARGET = re.compile(r"^\(([\w:-]+)\)=\s*$")
NUMBERED = ("theorem", "proposition", "lemma", "corollary", "definition", "assumption", "algorithm")
NUMBERED += ("remark", "example", "property", "observation", "conjecture", "criterion", "axiom")
NOTES = ("note", "tip", "hint", "important", "warning", "caution", "attention", "danger", "seealso")


class UnknownMarkupError(ValueError):
    """A directive or a role that the export has no plain form for."""


@dataclass
class Block:
    """A directive: its name, first line, options and inner lines."""

    name: str
    argument: str
    options: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


@dataclass
class Plain:
    """Translates text with what the site knows: `say` answers a role, `number` a label."""

    say: Callable[[str, str, str | None], str]
    number: Callable[[str, str], str]
    macros: dict[str, str]

    def translate(self, text: str) -> str:
        """Return a cell's text without any MyST."""
        out: list[str] = []
        lines = iter(text.split("\n"))
        for line in lines:
            if CODE.match(line):
                out.append(line)
                for inner in lines:
                    out.append(inner)
                    if CODE.match(inner):
                        break
            elif match := OPEN.match(line):
                out += ["", *self.directive(self.read(match, lines)).split("\n"), ""]
            elif match := TARGET.match(line):
                out.append(f'<a id="{match[1]}"></a>\n')
            else:
                out.append(line)
        return self.inline("\n".join(out)).strip("\n")

    def read(self, match: re.Match[str], lines) -> Block:
        """Read a directive up to the fence that closes it."""
        fence, name, argument = match.groups()
        block = Block(name, argument.strip())
        for line in lines:
            if line.rstrip() == fence:
                break
            option = OPTION.match(line)
            if option and not block.lines:
                block.options[option[1]] = option[2].strip()
            else:
                block.lines.append(line)
        else:
            raise UnknownMarkupError(f"{name!r} is never closed")
        return block

    def directive(self, block: Block) -> str:
        """Return a directive's plain form."""
        body = self.translate("\n".join(block.lines))
        label = block.options.get("label", "")
        anchor = f'<a id="{label}"></a>' if label else ""
        title = f" ({self.inline(block.argument)})" if block.argument else ""
        kind = block.name.removeprefix("prf:")
        if block.name == "prf:proof":
            return f"*Proof.* {body}"
        if block.name.startswith("prf:") and kind in NUMBERED:
            return quote(f"{anchor}**{self.number(kind, label)}{title}.**\n\n{body}")
        if block.name in ("exercise", "exercise-start"):
            return quote(f"{anchor}**{self.number('exercise', label)}{title}.**\n\n{body}")
        if block.name == "exercise-end" or block.name == "solution-end":
            return ""
        if block.name == "solution":
            return folded(f"Solution to {self.number('exercise', block.argument)}", body)
        if block.name == "solution-start":
            name = self.number("exercise", block.argument)
            return f"**Solution to {name}**: show the cells below, and run them.\n\n{body}"
        if block.name in NOTES or block.name == "admonition":
            name = self.inline(block.argument) if block.argument else block.name.capitalize()
            if "dropdown" in block.options.get("class", ""):
                return folded(name, body)
            return quote(f"**{name}.** {body}")
        raise UnknownMarkupError(f"directive {block.name!r} has no plain form")

    def inline(self, text: str) -> str:
        """Return text with roles, equation labels and macros written out, except inside code."""
        parts = re.split(r"(^```.*?^```|``[^`]+``)", text, flags=re.DOTALL | re.MULTILINE)
        return "".join(part if index % 2 else self.words(part) for index, part in enumerate(parts))

    def words(self, text: str) -> str:
        """Write out what stands between pieces of code."""
        text = EQUATION.sub(lambda m: rf"{m[1]} \tag{{{self.number('equation', m[2])}}} $$", text)
        text = ROLE.sub(self.role, text)
        return re.sub(
            r"\$\$.+?\$\$|\$[^$\n]+\$",
            lambda m: write_out(m[0], self.macros),
            text,
            flags=re.DOTALL,
        )

    def role(self, match: re.Match[str]) -> str:
        """Return what a role says."""
        name, content = match.groups()
        explicit = EXPLICIT.match(content)
        title, target = (explicit[1], explicit[2]) if explicit else (None, content)
        return self.say(name, target.strip(), title)


def quote(text: str) -> str:
    """Return a block quotation."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def folded(title: str, body: str) -> str:
    """Return a block that stays closed until the reader opens it."""
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"


def argument(text: str, start: int) -> tuple[str, int]:
    """Return the TeX argument at `start` (a group in braces or one token) and where it ends."""
    while text[start] == " ":
        start += 1
    if text[start] != "{":
        token = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL).match(text, start)
        assert token
        return token[0], token.end()
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[start + 1 : place], place + 1
    raise UnknownMarkupError(f"unbalanced braces in {text!r}")


def write_out(tex: str, macros: dict[str, str]) -> str:
    """Return a formula with the book's own macros replaced by what they stand for."""
    for name, meaning in macros.items():
        count = max((int(n) for n in re.findall(r"#(\d)", meaning)), default=0)
        pattern = re.compile(re.escape(name) + r"(?![A-Za-z])")
        while match := pattern.search(tex):
            end, given = match.end(), []
            for _ in range(count):
                value, end = argument(tex, end)
                given.append(value)
            written = re.sub(r"#(\d)", lambda m, given=given: given[int(m[1]) - 1], meaning)
            # A command that ends in a letter must not run into a letter that follows.
            gap = (
                " " if re.search(r"\\[A-Za-z]+$", written) and tex[end : end + 1].isalpha() else ""
            )
            tex = tex[: match.start()] + written + gap + tex[end:]
    return tex
