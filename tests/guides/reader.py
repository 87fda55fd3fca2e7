"""A reader who types what a page says, and compares what comes back with what the page shows."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pages import Step

ALPHABET = "0-9A-HJKMNP-TV-Z"  # Crockford's base 32
LOCAL = re.compile(rf"(?<![\w.-])[{ALPHABET}]{{2}}(?:-[{ALPHABET}]{{4}}){{2}}(?![\w.-]*\w)")
"""An RID that a project's own catalog gave."""
IDENTIFIER = re.compile(
    rf"(?:[{ALPHABET}]{{1,4}}-)*(?=[{ALPHABET}]*[A-Z])[{ALPHABET}]{{3,4}}|[0-9a-f]{{7,40}}"
)
"""What differs from one catalog or repository to the next: RIDs, and the names of commits."""
WORD = re.compile(r"[\w.+-]+")


@dataclass
class Reader:
    """Someone with a terminal.

    Attributes:
        folder: where the terminal is.
        env: the environment variables of everything that is typed.
        instead: what is typed in place of something that the page names, such as a server.
        shown: what stands on a page where a command prints something of this machine's.
        known: the identifiers that the page has shown, and what they are here.
        newest: the RID of the last execution that was recorded here.
        patience: seconds that a block may take.
    """

    folder: Path
    env: Mapping[str, str]
    instead: Mapping[str, str] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    newest: str = ""
    patience: float = 300

    def follow(self, block: list[Step]) -> None:
        """Type a block of commands, or a session, which leaves the terminal where it was."""
        before = self.folder
        for step in block:
            self._follow(step)
        if block[0].session:
            self.folder = before

    def _follow(self, step: Step) -> None:
        typed = self.as_typed(step.typed)
        status, said = self.type(typed)
        refused = any(line.startswith("error: ") for line in step.shown.splitlines())
        assert (status != 0) == refused, f"exit status {status} of\n{typed}\n{said}"
        sweeps = re.findall(r"^Sweep (\S+): ", said, re.MULTILINE)
        executions = re.findall(r"^Execution (\S+): ", said, re.MULTILINE)
        self.newest = next((rid for rid in reversed(executions) if rid not in sweeps), self.newest)
        for ours, theirs in self.shown.items():
            said = said.replace(ours, theirs)
        self.compare(step.shown, said)

    def as_typed(self, text: str) -> str:
        """A page's command with what it names replaced by what that is here."""
        for theirs, ours in self.instead.items():
            text = text.replace(theirs, ours)
        if (
            self.newest
        ):  # an RID that the page has not shown is an example's: the reader has another one at hand
            for rid in LOCAL.findall(text):
                self.known.setdefault(rid, self.newest)
        return WORD.sub(lambda word: self.known.get(word[0], word[0]), text)

    def type(self, text: str) -> tuple[int, str]:
        """Type some lines, which stop at the first that fails; the exit status, and what the terminal shows."""
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as place:
            at_the_end = shlex.quote(f"pwd > {shlex.quote(place.name)}")
            with subprocess.Popen(
                ["bash", "-c", f"set -e -o pipefail; trap {at_the_end} EXIT\n{text}"],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                start_new_session=True,
            ) as bash:
                try:
                    said, _ = bash.communicate(timeout=self.patience)
                except BaseException:  # a Ctrl-C does not get there by itself
                    os.killpg(bash.pid, signal.SIGKILL)
                    raise
            self.folder = Path(place.read().strip())
        return bash.returncode, said

    def compare(self, shown: str, said: str) -> None:
        """See that each shown line begins one that was said, in that order, apart from numbers, names and times."""
        actual = iter(said.splitlines())
        for line in shown.splitlines():
            if line.strip() == "...":
                continue
            wanted = shape(line.removesuffix("...").removesuffix("…"))
            found = next((one for one in actual if shape(one).startswith(wanted)), None)
            assert found is not None, f"the page shows\n{line}\nbut what comes is\n{said}"
            for theirs, ours in pairs(line, found):
                before = self.known.setdefault(theirs, ours)
                assert before == ours, f"the page shows {theirs} again, but {before} is {ours} now:\n{said}"


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers, identifiers, what stands in brackets, the width of columns."""
    line = re.sub(r"\([^()]*\)", "()", line)
    line = WORD.sub(
        lambda word: "#" if re.search(r"\d", word[0]) or LOCAL.fullmatch(word[0]) else word[0], line
    )
    return re.sub(r"\s+", " ", line).strip()


def pairs(shown: str, said: str) -> Iterator[tuple[str, str]]:
    """The identifiers of a shown line, and those that stand in their places in what was said."""
    for theirs, ours in zip(WORD.findall(shown), WORD.findall(said), strict=False):
        if IDENTIFIER.fullmatch(theirs) and theirs != ours:
            yield theirs, ours
