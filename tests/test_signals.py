"""A request to stop is heard, whatever the process is about."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import signal
from collections.abc import Callable

import pytest

from deriva_ml.signals import Terminated, raise_on_signals


def in_a_callback(stop: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_soon(stop)


def in_a_task_that_nobody_waits_for(stop: Callable[[], None]) -> object:
    async def work() -> None:
        stop()

    return asyncio.ensure_future(work())


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
@pytest.mark.parametrize("where", [in_a_callback, in_a_task_that_nobody_waits_for])
def test_an_event_loop_does_not_swallow_a_signal(
    number: signal.Signals, error: type[BaseException], where: Callable[[Callable[[], None]], object]
) -> None:
    """A notebook's messages are taken in callbacks and tasks; a signal may come while one of them runs."""

    async def main() -> None:
        begun = where(lambda: signal.raise_signal(number))  # a loop keeps no task alive
        await asyncio.sleep(10)
        assert begun

    loop = asyncio.new_event_loop()
    try:
        with raise_on_signals(), pytest.raises(error):
            loop.run_until_complete(main())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_a_process_that_ends_by_it_has_failed_and_shows_no_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Such as one that a model started, which has its handlers."""

    def work() -> None:
        with raise_on_signals():
            signal.raise_signal(signal.SIGTERM)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(30)
    assert (process.exitcode, capfd.readouterr().err) == (1, "")
    assert isinstance(pickle.loads(pickle.dumps(Terminated())), Terminated)
