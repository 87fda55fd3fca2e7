"""The double itself: one server with both services, and what a test needs to steer and to look into it."""

from __future__ import annotations

import shutil
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from . import seed
from .auth import READERS, WRITERS, Sessions
from .catalog import Catalog
from .ermrest import Ermrest
from .faults import Exchange, Fault, Faults, Log, Plan
from .hatrac import Hatrac
from .http import Fate, HttpServer, Request, Response, text
from .model import SYSTEM_COLUMNS, Document, quote

Row = dict[str, Any]


class DerivaDouble:
    """A Deriva server on 127.0.0.1, from ``start()`` (or entering it) to ``close()``.

    Its users are ``admin`` (owns everything), ``writer`` and ``other`` (in the group that the catalogs' ACLs let insert,
    update, delete and select), ``reader`` (in the group that may select) and ``nobody`` (in none); a password is the
    name.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="deriva-double-"))
        self.sessions = Sessions()
        self.ermrest = Ermrest(self.sessions, seed.bare_document)
        self.hatrac = Hatrac(self.sessions, self._folder)
        self.faults = Faults()
        self.log = Log()
        self.crashes: list[str] = []
        self._http = HttpServer(self._answer)

    # ---------------------------------------------------------------- running

    def __enter__(self) -> DerivaDouble:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> DerivaDouble:
        """Listen, at first on a free port, later on the same one again."""
        self._http.start()
        return self

    def stop(self) -> None:
        """Be down: connections are reset and new ones refused, the state stays."""
        self._http.stop()

    def close(self) -> None:
        """Stop for good.

        Raises:
            RuntimeError: the double itself failed in answering a request.
        """
        self._http.stop()
        for catalog in self.ermrest.catalogs.values():
            catalog.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self.crashes:
            raise RuntimeError("The Deriva double failed to answer:\n" + "\n".join(self.crashes))

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._http.running

    @property
    def host(self) -> str:
        """``localhost:PORT``: by this name, and not by 127.0.0.1, the deriva package sends its cookie to a port."""
        return f"localhost:{self._http.port}"

    @property
    def url(self) -> str:
        """``http://localhost:PORT``."""
        return f"http://{self.host}"

    def credential(self, user: str = "admin") -> dict[str, str]:
        """A new session, as the deriva package takes credentials."""
        return {"cookie": f"webauthn={self.sessions.login(user)}"}

    # ---------------------------------------------------------------- content

    def create_catalog(
        self, generation: str = "head", *, public: bool = False, alias: str | None = None
    ) -> str:
        """A catalog as deriva-ml makes it; its id.

        Args:
            generation: ``head``, ``1.17.10``, or ``bare`` for one without the deriva-ml schema.
            public: let everyone read rows, and the objects that there will be.
            alias: a second name.
        """

        def document(identifier: str) -> Document:
            made = seed.bare_document() if generation == "bare" else seed.document(generation, identifier)
            if "admin" not in made["acls"]["owner"]:
                made["acls"]["owner"].append("admin")
            if public:
                made["acls"]["select"] = ["*"]
                made["schemas"]["public"]["acls"] = {}
            return made

        catalog = self.ermrest.add(document)
        if public:
            self.hatrac.root.acls["subtree-read"] = ["*"]
        if generation != "bare":
            seed.plant(catalog, generation)
            self._allow_assets()
        if alias is not None:
            self.ermrest.aliases[alias] = catalog.id
        return catalog.id

    def _allow_assets(self) -> None:
        """Let the writers of the catalogs write objects, and the readers read them."""
        for acl in ("subtree-create", "subtree-update", "subtree-read", "create"):
            roles = self.hatrac.root.acls.setdefault(acl, [])
            allowed = [WRITERS, READERS] if acl == "subtree-read" else [WRITERS]
            roles += [one for one in allowed if one not in roles]

    def catalog(self, identifier: str) -> Catalog:
        """A catalog's inside."""
        return self.ermrest.catalogs[self.ermrest.aliases.get(identifier, identifier)]

    def rows(self, catalog: str, table: str) -> list[Row]:
        """The rows of ``schema:table`` as a client sees them, by RID; the schema is deriva-ml if not given."""
        schema, _, name = table.rpartition(":")
        inside = self.catalog(catalog)
        with inside.lock:
            found = inside.model.tables[schema or "deriva-ml", name]
            names = ", ".join(map(quote, found.columns))
            values = inside.db.execute(f'SELECT {names} FROM {found.sql} ORDER BY "RID"').fetchall()
        kinds = [(column.name, column.kind) for column in found.columns.values()]
        return [
            {name: kind.python(value) for (name, kind), value in zip(kinds, row, strict=True)}
            for row in values
        ]

    def dump(self, catalog: str, *, system: bool = False) -> dict[str, list[Row]]:
        """All rows of a catalog by ``schema:table``; without system columns beside the RID unless wanted."""
        dumped = {}
        for table in self.catalog(catalog).model:
            hidden = () if system else [name for name in SYSTEM_COLUMNS if name != "RID"]
            rows = self.rows(catalog, f"{table.schema}:{table.name}")
            dumped[f"{table.schema}:{table.name}"] = [
                {name: value for name, value in row.items() if name not in hidden} for row in rows
            ]
        return dumped

    def objects(self) -> dict[str, tuple[str, int]]:
        """The objects' current contents by name: MD5 in hexadecimal and length."""
        return self.hatrac.objects()

    # --------------------------------------------------------------- requests

    def _answer(self, request: Request) -> Response:
        number = self.log.number()
        plan = self.faults.next(number, request)
        response = self._faulty(request, plan)
        lost = response.fate is Fate.RESET
        self.log.append(
            Exchange(
                number,
                request.method,
                request.path,
                request.query,
                0 if lost else response.status,
                request.length,
                0 if lost else response.size,
                plan.fault if plan else None,
            )
        )
        return response

    def _faulty(self, request: Request, plan: Plan | None) -> Response:
        fault = plan.fault if plan else None
        if fault is Fault.ABORTED:
            request.skip()
            return text(503, "The service is temporarily unavailable. Detail: Transaction aborted.\n")
        if fault is Fault.ERROR:
            request.skip()
            return text(500, "Internal Server Error\n")
        if fault is Fault.NAMESPACE_RACE:
            request.skip()
            namespace = request.path.removeprefix("/hatrac").rpartition("/")[0]
            return text(
                500,
                'duplicate key value violates unique constraint "name_name_key"\n'
                f"DETAIL:  Key (name)=({namespace}) already exists.\n\n",
            )
        if fault is Fault.RESET_BEFORE:
            request.skip()
            return Response(500, fate=Fate.RESET)
        if fault is Fault.DOWN:
            self.stop()
            return Response(500, fate=Fate.RESET)
        if fault is Fault.EXPIRED:
            self.sessions.expire()
        try:
            response = self._dispatch(request)
        except OSError:
            raise  # the client went away
        except Exception:
            self.crashes.append(f"{request.method} {request.target}\n{traceback.format_exc()}")
            response = text(501, f"The Deriva double failed:\n{self.crashes[-1]}")
        if fault is Fault.RESET_AFTER:
            response.fate = Fate.RESET
        elif fault is Fault.TRUNCATED:
            response.fate = Fate.TRUNCATED
        elif fault is Fault.SLOW and plan is not None:
            time.sleep(plan.delay)
        return response

    def _dispatch(self, request: Request) -> Response:
        service = request.path.split("/", 2)[1]
        if service == "ermrest":
            return self.ermrest.answer(request)
        if service == "hatrac":
            return self.hatrac.answer(request)
        if service == "authn":
            return self.sessions.answer(request)
        return text(501, f"The Deriva double does not implement {request.path}.\n")
