#!/usr/bin/env python3
"""
Refuse words that make docstrings, comments, messages and pages hard to read.

Usage: check_prose.py [PATH ...]

The paths are files or folders; the default is every file with prose. The script prints one
line per finding (``file:line: rule: words``) and exits with status 1 if there is any. Text in
quotes, in backticks and in code blocks is not checked. CONTRIBUTING.md lists the rules.
"""

import ast
import re
import sys
import tokenize
from itertools import pairwise
from pathlib import Path

DEFAULT = ("subpixal", "tests", "benchmarks", "docs", ".ci", "README.md", "CONTRIBUTING.md")
PACKAGE = Path(__file__).resolve().parents[1] / "subpixal"
SKIPPED_FOLDERS = {"_build", "api"}  # docs/_build and docs/api are made by sphinx

RULES = {
    "name the subject": r"who|whom|whoever|nobody|somebody|someone|anybody|anyone|everybody",
    "use a noun for 'what'": r"whatever\s+(is|was|has|would|can|could)|what\s+("
    r"is|are|was|were|has|have|had|does|do|did|can|cannot|could|would|will|may|must|"
    r"the|an?|it|its|they|their|there|this|that|only|not|no|others?)",
    "code has no voice": r"says?|said|saying|told|tells?",
    "code has no mind": r"knows?|knew|sees|seen|images?\s+(may\s+)?see|wants?|wish(es)?",
    "American spelling": r"catalogue[sd]?|(off-?|re)?cent(re[sd]?|ring)|"
    r"colou\w+|behaviou\w+|neighbour\w*|favour\w*|honour\w*|flavours?|grey\w*|(kilo|milli)?metres?|"
    r"labell\w+|modell\w+|cancelled|travell\w+|licence\w*|artefacts?|whilst|amongst|analys(e|ed|ing)|"
    r"(authori|capitali|categori|characteri|customi|digiti|discreti|emphasi|equali|factori|finali|"
    r"generali|initiali|lineari|locali|maximi|memori|minimi|normali|optimi|organi|parametri|"
    r"quanti|randomi|reali|recogni|regulari|seriali|speciali|stabili|standardi|summari|symmetri|"
    r"synchroni|tokeni|utili|vectori|visuali)s(e[srd]?|ers|ing|ations?)",
}
PATTERNS = {rule: re.compile(rf"\b({words})\b", re.IGNORECASE) for rule, words in RULES.items()}
SUMMARY = re.compile(r"\s*(what|who|which|where|how|whether)\b", re.IGNORECASE)

# Words that a file needs, with the reason: (end of the path, words, reason).
ALLOWED = ()

CODE_DIRECTIVE = r"\.\. (code|code-block|doctest|image|figure|math|plot|testcode|toctree)::.*"
LITERAL = re.compile(r"``.+?``|`[^`]+`|(?<!\w)'[^'\n]*'(?!\w)|\"[^\"\n]*\"|https?://\S+", re.DOTALL)


def prose(text):
    """Return `text` with blank lines for code blocks and spaces for quoted words."""
    lines = []
    block = None  # the indentation of the line that opens a block of code
    fenced = False
    for line in text.splitlines():
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if block is not None and stripped and indent <= block:
            block = None
        if stripped.startswith("```"):
            fenced = not fenced
        code = fenced or block is not None or stripped.startswith((">>>", "```"))
        lines.append("" if code else line)
        if block is None and re.fullmatch(rf"(?!\.\. ).*::|{CODE_DIRECTIVE}", stripped):
            block = indent
    return LITERAL.sub(lambda match: re.sub(r"\S", "_", match[0]), "\n".join(lines))


def read_strings(tree, with_messages):
    """Yield line, text and `True` for a docstring of each docstring and message of a module."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            docstrings.add(node.body[0].value)
    fstrings = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {part for fstring in fstrings for part in fstring.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            is_message = with_messages and " " in node.value  # a single word is a name or a value
            if node in docstrings or is_message:
                yield node.lineno, node.value, node in docstrings
        elif isinstance(node, ast.JoinedStr) and with_messages:
            values = [part.value if isinstance(part, ast.Constant) else "_" for part in node.values]
            yield node.lineno, "".join(values), False


def read_comments(path):
    """Yield line and text of each block of comments."""
    with tokenize.open(path) as file:
        comments = [
            t for t in tokenize.generate_tokens(file.readline) if t.type == tokenize.COMMENT
        ]
    block = []
    for token, following in pairwise([*comments, None]):
        block.append(token.string.lstrip("#:! "))
        if following is None or following.start != (token.start[0] + 1, token.start[1]):
            yield token.start[0] - len(block) + 1, "\n".join(block)
            block = []


def find_in_text(text, first_line, *, docstring=False):
    """Yield line, rule and words of each finding in a text."""
    text = prose(text)
    if docstring and SUMMARY.match(text):
        line = first_line + text[: SUMMARY.match(text).start(1)].count("\n")
        yield line, "no question word at the start", SUMMARY.match(text)[1]
    for rule, pattern in PATTERNS.items():
        for match in pattern.finditer(text):
            yield first_line + text[: match.start()].count("\n"), rule, " ".join(match[0].split())


def find_in_file(path):
    """Yield line, rule and words of each finding in a file."""
    if path.suffix != ".py":
        yield from find_in_text(path.read_text("utf-8"), 1)
        return
    tree = ast.parse(path.read_text("utf-8"), path)
    for line, text, docstring in read_strings(tree, PACKAGE in path.resolve().parents):
        yield from find_in_text(text, line, docstring=docstring)
    for line, text in read_comments(path):
        yield from find_in_text(text, line)


def find_files(arguments):
    """Yield the files with prose among files and folders."""
    for path in map(Path, arguments):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.suffix in {".py", ".rst", ".md", ".yaml"} and not SKIPPED_FOLDERS & set(
                file.parts
            ):
                yield file


def main():
    """Check the files that the arguments name."""
    count = 0
    for path in find_files(sys.argv[1:] or [path for path in DEFAULT if Path(path).exists()]):
        for line, rule, words in sorted(set(find_in_file(path))):
            if not any(str(path).endswith(end) and words == word for end, word, _ in ALLOWED):
                print(f"{path}:{line}: {rule}: {words}")
                count += 1
    sys.exit(count > 0)


if __name__ == "__main__":
    main()
