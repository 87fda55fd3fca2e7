"""A double of a Deriva server (ERMrest, Hatrac, /authn/session) that answers as the real one does.

Start it, make a catalog of either generation, and talk to it with the deriva package or plain HTTP::

    with DerivaDouble() as double:
        catalog = double.create_catalog("head")          # or "1.17.10"; seeded with the usual vocabulary terms
        server = DerivaServer("http", double.host, double.credential("admin"))
        binding = server.connect_ermrest(catalog)
        store = HatracStore("http", double.host, double.credential())

It answers by who asks: ``admin`` owns the catalogs; ``writer`` and ``other`` are in the group that may write, and own
nothing; ``reader`` may select; ``nobody`` is logged in, in no group. Who may read nothing gets an empty answer on head,
a refusal on 1.17.10, unless ``create_catalog(..., public=True)``.

Let requests fail, counted from 1 in the log, or picked by method and a part of their target::

        double.log.clear()
        double.faults.at(3, Fault.ABORTED)                              # the third request from here
        double.faults.on(Fault.RESET_AFTER, "POST", "Execution_Asset")  # the next such insert, once
        double.faults.on(Fault.SLOW, "PUT", "/hatrac/", times=2, delay=3.0)
        double.stop(); double.start()                                   # down, and back on the same port
        double.sessions.expire()                                        # from here on 401
        double.catalog(catalog).refuse_concurrent_writes = True         # 503 where two writes meet

Look at what was asked, and at what stands::

        [(one.number, one.method, one.path, one.status) for one in double.log]
        double.log.object_puts, double.log.others
        double.rows(catalog, "Execution_Asset"), double.dump(catalog), double.objects()

For a benchmark, ``python -m deriva_double --catalog head`` runs it in a process of its own.

What the double has not been taught it refuses with 501, so that no test passes by accident.
"""

from __future__ import annotations

from .auth import CURATORS, READERS, WRITERS
from .faults import Exchange, Fault
from .server import DerivaDouble

__all__ = ["CURATORS", "READERS", "WRITERS", "DerivaDouble", "Exchange", "Fault"]
