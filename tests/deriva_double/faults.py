"""What can go wrong with a request, when it shall, and the log of what was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from .http import Request


class Fault(Enum):
    """How a request fails."""

    ABORTED = "503 Transaction aborted: nothing was stored"
    ERROR = "500: nothing was stored"
    NAMESPACE_RACE = "500: another request makes the object's namespace at this moment; nothing was stored"
    RESET_BEFORE = "the connection is reset before the request takes effect"
    RESET_AFTER = "the connection is reset after the request took effect"
    SLOW = "the request takes effect, its answer comes late"
    TRUNCATED = "the request takes effect, half of the answer's body comes"
    EXPIRED = "every session ends before the request takes effect"
    DOWN = "the server stops before the request takes effect, until it is started again"


@dataclass(slots=True)
class Plan:
    """One planned fault: for which requests, how many times yet, and for SLOW how late in seconds."""

    fault: Fault
    matches: Callable[[int, Request], bool]
    times: int
    delay: float


@dataclass(frozen=True, slots=True)
class Exchange:
    """One line of the request log; ``status`` is 0 where no answer was sent."""

    number: int
    method: str
    path: str
    query: str
    status: int
    received: int
    sent: int
    fault: Fault | None

    @property
    def is_object_put(self) -> bool:
        """Whether content was put: an object, or a chunk of one."""
        return self.method == "PUT" and self.path.startswith("/hatrac/") and ";acl" not in self.path


class Faults:
    """The faults to come. Requests are numbered from 1, from the start or the log's last ``clear()``."""

    def __init__(self) -> None:
        self._plans: list[Plan] = []
        self._lock = threading.Lock()

    def at(self, number: int, fault: Fault, *, delay: float = 1.0) -> None:
        """Fail the request of that number in the log."""
        self.add(fault, lambda position, request: position == number, delay=delay)

    def on(
        self, fault: Fault, method: str = "", path: str = "", *, times: int = 1, delay: float = 1.0
    ) -> None:
        """Fail the next ``times`` requests of this method whose target contains ``path``."""
        self.add(
            fault,
            lambda position, request: method in ("", request.method) and path in request.target,
            times=times,
            delay=delay,
        )

    def add(
        self,
        fault: Fault,
        matches: Callable[[int, Request], bool],
        *,
        times: int = 1,
        delay: float = 1.0,
    ) -> None:
        """Fail the next ``times`` requests for which ``matches(number, request)`` is true."""
        with self._lock:
            self._plans.append(Plan(fault, matches, times, delay))

    def clear(self) -> None:
        """Let everything succeed again."""
        with self._lock:
            self._plans.clear()

    def next(self, number: int, request: Request) -> Plan | None:
        """The fault that this request meets; the first planned one wins."""
        if not self._plans:
            return None
        with self._lock:
            for plan in self._plans:
                if plan.times > 0 and plan.matches(number, request):
                    plan.times -= 1
                    if not plan.times:
                        self._plans.remove(plan)
                    return plan
        return None


class Log:
    """The requests, in the order in which they came."""

    def __init__(self) -> None:
        self._exchanges: list[Exchange] = []
        self._lock = threading.Lock()
        self._count = 0

    def number(self) -> int:
        """The number of the request that just came."""
        with self._lock:
            self._count += 1
            return self._count

    def append(self, exchange: Exchange) -> None:
        """Note how a request ended."""
        with self._lock:
            self._exchanges.append(exchange)

    def clear(self) -> None:
        """Forget all and count from 1 again."""
        with self._lock:
            self._exchanges.clear()
            self._count = 0

    def __iter__(self) -> Iterator[Exchange]:
        with self._lock:
            return iter(sorted(self._exchanges, key=lambda exchange: exchange.number))

    def __len__(self) -> int:
        return len(self._exchanges)

    def count(self, method: str = "", path: str = "") -> int:
        """How many requests of this method had a path that contains ``path``."""
        return sum(method in ("", one.method) and path in one.path for one in self)

    @property
    def object_puts(self) -> int:
        """How many requests put content into the object store."""
        return sum(one.is_object_put for one in self)

    @property
    def others(self) -> int:
        """How many requests did anything else."""
        return len(self) - self.object_puts
