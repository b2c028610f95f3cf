"""Strict YAML: the part of YAML 1.2 that policies and leases are written in, with everything refused that two readers
could take differently: anchors, aliases, tags, directives, merge keys, duplicate keys, more than one document.

A mapping becomes a dict, a sequence a list, a scalar a Scalar that knows whether it stood in quotes.
"""
import re

from keys import hidden
from objects import Bad

DEPTH = 16


class Scalar:
    """One value as it is written; what type it has is for whoever asks."""

    def __init__(self, text, quoted):
        self.text, self.quoted = text, quoted

    def is_null(self):
        return not self.quoted and self.text == "null"


def bad(why):
    raise Bad("malformed", why)


def read(data):
    """The value of a file's bytes."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        bad("not UTF-8")
    if any(c != "\n" and hidden(c) for c in text):
        bad("a character that is invisible or changes how text is shown")
    lines = text.split("\n")
    if any(line.startswith("%") for line in lines[:1]):
        bad("a directive")
    return Reader(lines).document()


class Reader:
    """Reads lines from the top; `row` and `col` say where it is."""

    def __init__(self, lines):
        self.lines, self.row, self.col = lines, 0, 0

    # -- where we are

    def rest(self):
        return self.lines[self.row][self.col:]

    def ended(self):
        return self.row >= len(self.lines)

    def skip_blank(self):
        """Goes to the next line with something on it; the column of its first character, or -1 at the end."""
        while self.row < len(self.lines):
            line = self.lines[self.row]
            bare = line.lstrip(" ")
            if bare.strip(" \t") and not bare.lstrip("\t").startswith("#"):
                if bare.startswith("\t"):
                    bad("a tab in the indentation")
                self.col = len(line) - len(bare)
                return self.col
            self.row += 1
        return -1

    def finish_line(self):
        """Nothing but blanks and a comment may follow."""
        rest = self.rest()
        if rest.strip(" \t") and not re.match(r"[ \t]+#", rest):
            bad(f"line {self.row + 1}: something follows")
        self.row, self.col = self.row + 1, 0

    # -- documents and blocks

    def document(self):
        while self.skip_blank() == 0 and re.match(r"\.\.\.[ \t]*$", self.lines[self.row]):
            self.row += 1
        if self.skip_blank() == 0 and re.match(r"---([ \t]|$)", self.lines[self.row]):
            self.col = 3
            if self.rest().strip(" \t") and not re.match(r"[ \t]+#", self.rest()):
                bad("something stands on the document's marker")
            self.row, self.col = self.row + 1, 0
        if self.skip_blank() < 0:
            bad("nothing is there")
        value = self.block(self.col, 1)
        while self.skip_blank() == 0 and re.match(r"\.\.\.([ \t]|$)", self.lines[self.row]):
            self.col = 3
            self.finish_line()
        if self.skip_blank() >= 0:
            bad(f"line {self.row + 1}: more follows")
        return value

    def marker(self):
        return self.col == 0 and re.match(r"(---|\.\.\.)([ \t]|$)", self.lines[self.row])

    def block(self, indent, depth):
        """A block value whose first character is where we are."""
        if depth > DEPTH:
            bad("too deep")
        if re.match(r"-([ \t]|$)", self.rest()):
            return self.sequence(indent, depth)
        if self.explicit() or self.rest()[0] not in "[{" and self.key_here():
            return self.mapping(indent, depth)
        return self.inline(indent - 1, depth)

    def explicit(self):
        """Whether a key stands here behind a question mark."""
        return re.match(r"\?([ \t]|$)", self.rest())

    def key_here(self):
        """Whether a key stands here: some scalar on one line, then a colon and a blank or the line's end."""
        rest = self.rest()
        if rest[0] == '"':
            return re.match(r'"(?:[^"\\]|\\.)*"[ \t]*:([ \t]|$)', rest)
        if rest[0] == "'":
            return re.match(r"'(?:[^']|'')*'[ \t]*:([ \t]|$)", rest)
        return re.match(r"(?:[^:#]|:(?=[^ \t])|(?<=[^ \t])#)+?[ \t]*:([ \t]|$)", rest)

    def mapping(self, indent, depth):
        found = {}
        while True:
            if self.marker():
                return found
            if self.explicit():
                key, value = self.explicit_pair(indent, depth)
            elif self.key_here():
                key, value = self.key(flow=False), None
            else:
                bad(f"line {self.row + 1}: no key")
            if key in found:
                bad(f"line {self.row + 1}: `{key}` stands twice")
            found[key] = self.value(indent, depth) if value is None else value
            column = self.skip_blank()
            if column < indent:
                return found
            if column > indent:
                bad(f"line {self.row + 1}: the indentation does not fit")

    def explicit_pair(self, indent, depth):
        """A key behind a question mark, and what follows the colon on a line of its own."""
        key = self.entry(indent, depth)
        if not isinstance(key, Scalar) or key.is_null():
            bad("a key that is no text")
        if key.text == "<<":
            bad("a merge key")
        if self.skip_blank() != indent or not re.match(r":([ \t]|$)", self.rest()):
            missing()
        return key.text, self.entry(indent, depth)

    def entry(self, indent, depth):
        """What follows a dash, a question mark or a colon at the indentation: on the line, or as a block below it."""
        self.col += 1
        gap = re.match(r"[ \t]*", self.rest()).end()
        rest = self.rest()[gap:]
        if rest and not rest.startswith("#"):
            if "\t" in self.rest()[:gap]:
                bad("a tab in the indentation")
            self.col += gap
            return self.literal(indent) if rest[0] in "|>" else self.block(self.col, depth + 1)
        self.row, self.col = self.row + 1, 0
        column = self.skip_blank()
        return self.block(column, depth + 1) if column > indent else missing()

    def value(self, indent, depth):
        """What follows a key's colon: on the line, or as a block below it."""
        gap = re.match(r"[ \t]*", self.rest()).end()
        rest = self.rest()[gap:]
        if rest and not (rest.startswith("#") and gap):
            self.col += gap
            if rest[0] in "|>":
                return self.literal(indent)
            return self.inline(indent, depth + 1)
        self.row, self.col = self.row + 1, 0
        column = self.skip_blank()
        if column > indent and not self.marker():
            return self.block(column, depth + 1)
        if column == indent and re.match(r"-([ \t]|$)", self.rest()):
            return self.sequence(column, depth + 1)
        return missing()

    def sequence(self, indent, depth):
        if depth > DEPTH:
            bad("too deep")
        found = []
        while True:
            found.append(self.entry(indent, depth))
            column = self.skip_blank()
            if column != indent or not re.match(r"-([ \t]|$)", self.rest()):
                if column > indent:
                    bad(f"line {self.row + 1}: the indentation does not fit")
                return found

    def literal(self, indent):
        """A block scalar: `|` or `>`, with `-` or `+`."""
        head = re.match(r"([|>])([-+]?)[ \t]*(?:(?<=[ \t])#.*)?$", self.rest())
        if not head:
            bad("a block scalar with an indentation of its own")
        self.row, self.col = self.row + 1, 0
        own, lines = None, []
        while self.row < len(self.lines):
            line = self.lines[self.row]
            depth = len(line) - len(line.lstrip(" "))
            if line.strip(" ") == "":
                lines.append("")
            else:
                own = depth if own is None else own
                if depth <= indent or depth < own:
                    break
                lines.append(line[own:])
            self.row += 1
        while lines and lines[-1] == "":
            lines.pop()
        text = "\n".join(lines)
        if head.group(1) == ">":
            text = folded(lines)
        return Scalar(text + ("" if head.group(2) == "-" or not lines else "\n"), True)

    # -- what stands on a line

    def inline(self, indent, depth):
        """A flow collection or a scalar, which ends its line; both may go on over lines that are indented further."""
        if depth > DEPTH:
            bad("too deep")
        first = self.rest()[0]
        if first in "[{":
            value = self.flow(depth)
            self.finish_line()
        elif first in "\"'":
            value = self.quoted(first)
            self.finish_line()
        else:
            value = self.plain_line(indent)
        return value

    def plain_line(self, indent):
        """A scalar without quotes, which ends on its line."""
        value = plain_scalar(self.plain(flow=False))
        comment = re.match(r"[ \t]+#", self.rest())
        self.finish_line()
        if not comment and self.skip_blank() > indent and not self.marker():
            bad(f"line {self.row + 1}: a text without quotes goes over several lines")
        return value

    def plain(self, flow, first=True):
        """A scalar without quotes, to the end of what it can hold on this line."""
        rest = self.rest()
        if first and (rest[0] in ",[]{}#&*!|>'\"%@`" or re.match(r"[-?:]([ \t,\[\]{}]|$)" if flow else r"[-?:]([ \t]|$)", rest)):
            bad(f"line {self.row + 1}: `{rest[0]}` begins no value")
        ends = r"(?=[ \t]*(?:[,\[\]{}]|:(?:[ \t,\[\]{}]|$)|[ \t]#|$))" if flow else r"(?=[ \t]*(?:[ \t]#|$))"
        found = re.match(r".+?" + ends, rest)
        text = found.group(0)
        if not flow and re.search(r":([ \t]|$)", text):
            bad(f"line {self.row + 1}: a key within a value")
        self.col += found.end()
        return text.rstrip(" \t")

    def quoted(self, quote):
        """A scalar in quotes; over several lines it is folded."""
        self.col += 1
        parts, lines = [], []
        while True:
            rest = self.rest()
            if quote == "'":
                found = re.match(r"(?:[^']|'')*", rest)
                text = found.group(0).replace("''", "'")
            else:
                found = re.match(r'(?:[^"\\]|\\.)*', rest)
                text = found.group(0)
            self.col += found.end()
            escaped = quote == '"' and self.rest() == "\\"
            lines.append((text, escaped))
            if self.rest() and not escaped:
                if self.rest()[0] != quote:
                    bad(f"line {self.row + 1}: a text that does not end")
                self.col += 1
                break
            self.row, self.col = self.row + 1, 0
            if self.ended() or self.marker():
                bad("a text that does not end")
            self.col = re.match(r"[ \t]*", self.lines[self.row]).end()
        text = joined(lines)
        return Scalar(escapes(text) if quote == '"' else text, True)

    def key(self, flow):
        if flow and self.explicit():
            self.col += 1
            self.flow_gap()
        first = self.rest()[0]
        if first in "\"'":
            row = self.row
            name = self.quoted(first).text
            if self.row != row and not flow:
                bad("a key over several lines")
        else:
            name = plain_scalar(self.key_plain(flow))
            if name.is_null():
                bad("a key that is null")
            name = name.text
        self.col += re.match(r"[ \t]*", self.rest()).end()
        if not self.rest().startswith(":"):
            bad(f"line {self.row + 1}: no colon")
        self.col += 1
        if name == "<<":
            bad("a merge key")
        return name

    def key_plain(self, flow):
        rest = self.rest()
        if rest[0] in ",[]{}#&*!|>'\"%@`" or re.match(r"[-?]([ \t]|$)", rest):
            bad(f"line {self.row + 1}: `{rest[0]}` begins no key")
        found = re.match((r"[^,\[\]{}]+?" if flow else ".+?") + r"(?=[ \t]*:(?:[ \t,\[\]{}]|$))", rest)
        if not found or re.search(r"[ \t]#", found.group(0)):
            bad(f"line {self.row + 1}: no key")
        self.col += found.end()
        return found.group(0).rstrip(" \t")

    # -- flow collections

    def flow_gap(self):
        """Blanks, comments and line ends between the parts of a flow collection."""
        while True:
            self.col += re.match(r"[ \t]*", self.rest()).end()
            rest = self.rest()
            if rest and not (rest.startswith("#") and (self.col == 0 or self.lines[self.row][self.col - 1] in " \t")):
                return rest[0]
            self.row, self.col = self.row + 1, 0
            if self.ended() or self.marker():
                bad("a list or mapping that does not end")

    def flow(self, depth):
        if depth > DEPTH:
            bad("too deep")
        close = "]" if self.rest()[0] == "[" else "}"
        found = [] if close == "]" else {}
        self.col += 1
        while True:
            if self.flow_gap() == close:
                self.col += 1
                return found
            if close == "]":
                found.append(self.flow_value(depth))
                if self.flow_gap() == ":":
                    bad("a pair within a list")
            else:
                key = self.key(flow=True)
                if key in found:
                    bad(f"line {self.row + 1}: `{key}` stands twice")
                found[key] = missing() if self.flow_gap() in ",}" else self.flow_value(depth)
            c = self.flow_gap()
            if c == ",":
                self.col += 1
            elif c != close:
                bad(f"line {self.row + 1}: no comma")

    def flow_value(self, depth):
        first = self.flow_gap()
        if first in "[{":
            return self.flow(depth + 1)
        if depth + 1 > DEPTH:
            bad("too deep")
        if first in "\"'":
            return self.quoted(first)
        return plain_scalar(self.plain(flow=True))


def missing():
    bad("a value is missing")


BINARY = re.compile(r"0[xX][0-9a-fA-F_]+|0[oO][0-9_]+|0[bB][01_]+|\+[0-9.][0-9_.:]*|[-+]?\.(inf|Inf|INF|iNf|inF|InF|INf|iNF)")
GROUPED = re.compile(r"[-+]?[0-9][0-9_.:]*[_:][0-9_.:]*")


def plain_scalar(text):
    """A scalar without quotes; what some readers take for a boolean, null or number, and others do not, is refused."""
    lower = text.lower()
    if lower in ("yes", "no", "on", "off", "~", "=", ".nan") or (lower in ("null", "true", "false") and text != lower):
        bad(f"`{text}` is something else to some readers: put it in quotes")
    if BINARY.fullmatch(text) or GROUPED.fullmatch(text):
        bad(f"`{text}` is a number to some readers only: put it in quotes")
    return Scalar(text, False)


def joined(lines):
    """Lines of a text in quotes, each with whether its end is escaped: other line ends are a blank, empty lines line ends."""
    text, gap = "", ""
    for number, (line, escaped) in enumerate(lines):
        is_last = number == len(lines) - 1
        if not is_last and not escaped:
            line = line.rstrip(" \t")
        if number and line == "" and not is_last:
            gap = gap.strip(" ") + "\n"
            continue
        text, gap = text + gap + line, "" if escaped else " "
    return text


def folded(lines):
    """Lines of one text: a line end is a blank, empty lines are line ends."""
    text, empty = (lines or [""])[0], 0
    for line in lines[1:]:
        if line == "":
            empty += 1
            continue
        text += "\n" * empty if empty else " "
        text, empty = text + line, 0
    return text + "\n" * empty


SIMPLE = {"0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b", '"': '"',
          "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029", " ": " ", "\t": "\t"}


def escapes(text):
    """A double-quoted text without its escapes; what is hidden stays refused when it was escaped."""
    def one(found):
        hexadecimal, letter = found.group(1), found.group(2)
        if hexadecimal:
            number = int(hexadecimal[1:], 16)
            if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                bad("an escape of no character")
            c = chr(number)
        elif letter in SIMPLE:
            c = SIMPLE[letter]
        else:
            bad("an escape that YAML does not know")
        if hidden(c) and c != "\n":
            bad("an escaped control or bidirectional character")
        return c
    return re.sub(r"\\(?:(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|(.))", one, text)
