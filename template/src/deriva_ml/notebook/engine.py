"""Papermill's engine as the runner has it: every save in one step, all output waited for. Imports Papermill."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
from nbclient.exceptions import CellExecutionComplete, DeadKernelError
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines

from deriva_ml.project import replacing
from deriva_ml.terminal import print

NAME = "deriva-ml"

QUIET = 5.0
"""Seconds without output after which a kernel that is not the project's, and has ended a cell, has lost the rest."""

LOST = "the kernel lost some of what this cell printed, because it was faster than could be read"

JOINED = 1 << 16
"""Characters up to which what a stream prints is put together to one output."""


class Saving(NotebookExecutionManager):  # type: ignore[misc]
    """Papermill's account of an execution; a save that is cut off leaves the one before it."""

    def save(self, **_: Any) -> None:
        write_notebook(self.nb, Path(self.output_path))
        self.last_save_time = self.now()


def write_notebook(notebook: Any, path: Path, split_lines: bool = False) -> None:
    """Write a notebook in one step; with every line by itself, as git likes it, or in less time and memory."""
    text = nbformat.writes(notebook, split_lines=split_lines)
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(text)


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
        if of in self._begun:
            with suppress(CellExecutionComplete):
                self.process_message(message, *self._begun[of])
        state = message["content"].get("execution_state") if message["msg_type"] == "status" else None
        return state == "idle" and of == request

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
        print(f"warning: cell [{cell.execution_count}]: {LOST}", file=sys.stderr)

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


class Engine(NBClientEngine):  # type: ignore[misc]
    """What Papermill executes a notebook with; ``executed`` is the notebook then, whatever happened.

    Args:
        output: where it is saved.
        own: whether the kernel is the project's.
    """

    def __init__(self, output: Path, own: bool) -> None:
        self._output, self._own = output, own
        papermill_engines.register(NAME, self)

    def execute_notebook(
        self, nb: Any, kernel_name: str, *, progress_bar: bool, log_output: bool, **options: Any
    ) -> Any:
        del options["output_path"], options["input_path"]
        saving = Saving(nb, str(self._output), log_output, progress_bar)
        self.executed = saving.nb
        saving.notebook_start()
        try:
            self.execute_managed_notebook(saving, kernel_name, log_output=log_output, **options)
        finally:
            saving.cleanup_pbar()
            saving.notebook_complete()
        return saving.nb

    def execute_managed_notebook(
        self,
        nb_man: Saving,
        kernel_name: str,
        *,
        start_timeout: int,
        execution_timeout: int | None,
        log_output: bool,
        km: Any,
        **_: Any,
    ) -> Any:
        return Client(
            nb_man,
            self._own,
            km=km,
            timeout=execution_timeout,
            startup_timeout=start_timeout,
            kernel_name=kernel_name,
            log_output=log_output,
        ).execute()
