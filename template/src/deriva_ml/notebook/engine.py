"""Papermill's execution as the runner has it: saved by time, each save in one step, all output waited for."""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any

import nbformat
import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellExecutionComplete, DeadKernelError
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager
from papermill.execute import ERROR_ANCHOR_MSG, ERROR_MARKER_TAG, ERROR_MESSAGE_TEMPLATE

from deriva_ml.notebook.kernel import IPC, Kernel
from deriva_ml.project import replacing
from deriva_ml.terminal import warn

KERNEL_NAME = "python3"
"""What Papermill is told, whatever the file says: it is this project's Python that executes the notebook."""

START_SECONDS = 60
"""How long a kernel may take to answer at first; as long as Papermill lets it."""

RECONNECT_MILLISECONDS = 10
"""How often it is tried to reach a kernel that does not listen yet; ZeroMQ would try ten times a second."""

QUIET = 5.0
"""Seconds without output after which a kernel that is not the project's, and has ended a cell, has lost the rest."""

LOST = "the kernel lost some of what this cell printed, because it was faster than could be read"

JOINED = 1 << 16
"""Characters up to which what a stream prints is put together to one output."""

MMAP_THRESHOLD = -3
"""The parameter by which mallopt(3) takes the bytes of a block from which on it is given back as soon as it is free."""

LARGE = 1 << 17
"""Bytes of such a block; where the C library begins."""

PIECE = 1 << 14
"""Characters of a text that are written at once."""

SAVE_SECONDS, SAVE_SHARE = 2.0, 20
"""Seconds between two saves, at least, and how many times as long as the last one took: each writes the whole notebook."""


class Saving(NotebookExecutionManager):  # type: ignore[misc]
    """Papermill's account of an execution, saved by time; a save that is cut off leaves the one before it."""

    def __init__(self, notebook: Any, output: Path, log_output: bool, bar: bool) -> None:
        super().__init__(notebook, str(output), log_output, progress_bar=bar and sys.stderr.isatty())
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def save(self, **_: Any) -> None:
        """Save what has changed: now, or as soon as it is time."""
        begun = monotonic()
        if begun < self._due:
            self._timer = self._timer or ensure_event_loop().call_later(self._due - begun, self._save_late)
            return
        self._stop_timer()
        write_notebook(self.nb, Path(self.output_path))
        ended = monotonic()
        self._due = ended + max(SAVE_SECONDS, SAVE_SHARE * (ended - begun))

    def autosave_cell(self) -> None:
        """Do nothing while a message is still in memory beside what was made of it; ``Client`` saves then."""

    def notebook_complete(self, **options: Any) -> None:
        self._due = 0.0
        super().notebook_complete(**options)

    def _save_late(self) -> None:
        self._timer = None
        with suppress(OSError):  # that the disk is full is met again as the next cell begins or ends
            self.save()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def write_notebook(notebook: Any, path: Path, split_lines: bool = False) -> None:
    """Write a notebook in one step; with every line by itself, as git likes it, or in less time and memory."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        if split_lines:
            stream.write(nbformat.writes(notebook))
        else:
            stream.writelines(_json(notebook))


def _json(node: Any) -> Iterator[str]:
    """Yield a notebook as JSON, long texts in pieces.

    Large blocks that are freed between others that stay are seldom used again: the process grows at each save.
    """
    match node:
        case dict():
            yield "{"
            for number, (key, value) in enumerate(node.items()):
                yield f"{',' if number else ''}\n{json.dumps(key, ensure_ascii=False)}: "
                yield from _json(value)
            yield "}"
        case [dict(), *_]:
            yield "["
            for number, one in enumerate(node):
                yield "," if number else ""
                yield from _json(one)
            yield "]"
        case str() if len(node) > PIECE:
            yield '"'
            for at in range(0, len(node), PIECE):
                yield json.dumps(node[at : at + PIECE], ensure_ascii=False)[1:-1]
            yield '"'
        case _:
            yield json.dumps(node, ensure_ascii=False)


class Manager(AsyncKernelManager):
    """What has adopted a kernel's process; connections to it use its context, with what is set there."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(connection_file=str(kernel.connection_file))
        self.load_connection_file()
        if kernel.own:
            self.client_factory = Connection
        else:
            self.context.setsockopt(zmq.RCVHWM, 0)  # what arrives while a notebook is saved waits
        self.context.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MILLISECONDS)
        provisioner = LocalProvisioner(parent=self, kernel_id=kernel.connection_file.stem)
        provisioner.process = kernel.process  # type: ignore[assignment]  # used as one
        provisioner.pid = kernel.process.pid
        provisioner.pgid = kernel.process.pid if IPC else None  # it leads a session
        self.provisioner = provisioner

    def client(self, **options: Any) -> Any:
        """Return a connection to the kernel that uses this manager's context."""
        return super().client(context=self.context, **options)


class Connection(AsyncKernelClient):
    """A connection to the project's kernel, whose first answer comes with all that was sent before it."""

    async def wait_for_ready(self, timeout: float = START_SECONDS) -> None:  # type: ignore[override]
        """Wait until output arrives; jupyter_client then waits for 0.2 s in which none does.

        Raises:
            RuntimeError: the kernel died, or does not answer within ``timeout`` seconds.
        """
        deadline = monotonic() + timeout
        while monotonic() < deadline:
            asked = self.kernel_info()
            with suppress(Empty):
                self._handle_kernel_info_reply(await self.get_shell_msg(timeout=1))
                while True:  # it is not yet connected if this is missed
                    message = await self.get_iopub_msg(timeout=0.2)
                    if message["parent_header"].get("msg_id") == asked and is_idle(message):
                        return
            if not await self.is_alive():
                raise RuntimeError("Kernel died before replying to kernel_info")
        raise RuntimeError(f"Kernel didn't respond in {timeout} seconds")


def is_idle(received: dict[str, Any]) -> bool:
    """Whether a message says that the kernel is done with what it was asked."""
    return bool(received["msg_type"] == "status" and received["content"].get("execution_state") == "idle")


class Client(PapermillNotebookClient):  # type: ignore[misc]
    """Executes cells. No output is late: it belongs to the cell that made it, even if that has ended."""

    def __init__(self, saving: Saving, own: bool, **options: Any) -> None:
        super().__init__(saving, iopub_timeout=10**9, **options)
        self._own = own
        self._begun: dict[str, tuple[Any, int]] = {}
        self._arrived = 0

    async def _async_poll_output_msg(self, parent_msg_id: str, cell: Any, cell_index: int) -> None:
        self._begun[parent_msg_id] = (cell, cell_index)
        while not await self._take(parent_msg_id):
            pass

    async def _take(self, request: str, timeout: float | None = None) -> bool:
        """Give the next message to its cell; whether it says that the kernel is done with ``request``."""
        message = await self.kc.iopub_channel.get_msg(timeout=timeout)
        self._arrived += 1
        of = message["parent_header"].get("msg_id")
        idle = is_idle(message)
        if of in self._begun:
            with suppress(CellExecutionComplete):
                self.process_message(message, *self._begun[of])
            del message  # before it is written
            self.nb_man.save()
        return idle and of == request

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: Any, cell_index: int) -> Any:
        made = super().output(outs, msg, display_id, cell_index)
        if made and len(outs) > 1 and made.output_type == "stream" == outs[-2].output_type:
            before = outs[-2]
            if before.name == made.name and len(before.text) + len(made.text) < JOINED:
                before.text += outs.pop().text
        return made

    async def _async_poll_for_reply(
        self, msg_id: str, cell: Any, timeout: int | None, outputs: asyncio.Task[None], alive: Any
    ) -> Any:
        rest = self._rest(cell, outputs)  # which is begun when the reply is there
        try:
            return await super()._async_poll_for_reply(msg_id, cell, timeout, rest, alive)
        finally:
            rest.close()

    async def _rest(self, cell: Any, outputs: asyncio.Task[None]) -> None:
        """Wait for the output of a cell that has ended, however long that takes to be read.

        The project's kernel loses none. Another one may have lost the end of it.
        """
        arrived = -1
        while not outputs.done() and (self._own or arrived != self._arrived):
            arrived = self._arrived
            await asyncio.wait([outputs], timeout=None if self._own else QUIET)
        if outputs.done():
            outputs.result()
            return
        outputs.cancel()
        cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text=f"{LOST}\n"))
        warn(f"cell [{cell.execution_count}]: {LOST}")

    async def _async_check_alive(self) -> None:
        try:
            await super()._async_check_alive()
        except DeadKernelError:
            arrived = -1
            while arrived != self._arrived:  # it was sent before
                arrived = self._arrived
                await asyncio.sleep(0.2)
            raise

    async def async_wait_for_reply(self, msg_id: str, cell: Any = None) -> Any:
        reply = await super().async_wait_for_reply(msg_id, cell)
        with suppress(Empty):
            while not await self._take(msg_id, QUIET):
                pass
        return reply

    wait_for_reply = run_sync(async_wait_for_reply)


def execute_cells(
    notebook: Any, output: Path, kernel: Kernel, timeout: int | None, log_output: bool, bar: bool = True
) -> None:
    """Execute a notebook's cells and save it, whatever happens."""
    with suppress(AttributeError, TypeError):  # another C library than Linux's usual one
        # Else it keeps large blocks after the first one that is freed, and what stays of the output lies between
        # what each message takes for a moment: half as much memory again is lost in holes.
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE)
    if log_output:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    else:
        logging.getLogger("papermill").setLevel(logging.CRITICAL)
    saving = Saving(notebook, output, log_output, bar)
    saving.notebook_start()
    manager = Manager(kernel)
    client = Client(
        saving,
        kernel.own,
        km=manager,
        timeout=timeout,
        startup_timeout=START_SECONDS,
        kernel_name=KERNEL_NAME,
        log_output=log_output,
    )
    try:
        client.execute()
    finally:
        # Its sockets and threads would stay, for each run of a sweep: nobody else closes what is not nbclient's own.
        if client.kc:
            client.kc.stop_channels()
        manager.context.destroy(linger=0)
        saving.cleanup_pbar()
        saving.notebook_complete()


def mark_error(notebook: Any, number: int) -> None:
    """Put the two cells into a notebook by which Papermill leads its reader to the cell that ended the run."""
    marks = [ERROR_ANCHOR_MSG, ERROR_MESSAGE_TEMPLATE % notebook.cells[number].execution_count]
    for at, text in zip((number, 0), marks, strict=True):
        cell = nbformat.v4.new_markdown_cell(text, metadata={"tags": [ERROR_MARKER_TAG]})
        notebook.cells.insert(at, cell)
