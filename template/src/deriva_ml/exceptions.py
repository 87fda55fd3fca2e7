"""The runner's errors: each is one line for a person, saying what was wrong, where, and how to mend it."""


class DerivaMLException(Exception):
    """Anything that the runner refuses or fails at; the base of the others (exit status 1)."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in a notebook: the line itself, since the frames below it are the runner's."""
        return [f"{type(self).__name__}: {self}"]


class DerivaMLRequestError(DerivaMLException):
    """The request was wrong and nothing was run: a bad flag, an unknown name, a dirty tree (exit status 2)."""


class NotFound(DerivaMLRequestError):
    """What an RID was to name is not there, or is of another kind: it may still name something else."""


class DerivaMLRunError(DerivaMLException):
    """The run itself failed; what it had computed is recorded (exit status 1).

    Attributes:
        execution_rid: of the execution that failed, if there is one.
        local_rid: its RID in the project's own catalog.
    """

    def __init__(self, message: str, execution_rid: str | None = None, local_rid: str | None = None) -> None:
        super().__init__(message)
        self.execution_rid = execution_rid
        self.local_rid = local_rid or execution_rid
