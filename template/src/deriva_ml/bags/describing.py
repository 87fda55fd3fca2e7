"""How a bag's tables would be joined, and how they refer to each other, as upstream tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from deriva_ml.bags import features
from deriva_ml.bags.denormalize import Ambiguous, begun, named, tables_of
from deriva_ml.bags.relations import Relations
from deriva_ml.bags.rows import Bag


def describe(
    bag: Bag, include: Sequence[str], row_per: str | None = None, via: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return how the tables would be joined, as upstream has it; what keeps them from being joined is in ``warnings``."""
    found: dict[str, Any] = {
        "row_per": None,
        "row_per_source": "auto-inferred" if row_per is None else "explicit",
        "row_per_candidates": [],
        "columns": [],
        "include_tables": list(include),
        "via": list(via or ()),
        "join_path": [],
        "transparent_intermediates": [],
        "ambiguities": [],
        "estimated_row_count": {"in_scope_row_per_rows": None, "orphan_rows": None, "total": None},
        "anchors": {"total": 0, "by_type": {}},
        "source": "local",
        "warnings": [],
    }
    try:
        made = begun(bag, include, via)
        of = made.relations
        counts = {one: len(of.rows[one]) for one in sorted(of.members)}
        found["anchors"] = {"total": sum(counts.values()), "by_type": counts}
        found["columns"] = [(f"{table}.{name}", kind) for table, name, kind in made.columns()]
        try:
            made.find_rows(named(made, row_per))
        finally:
            found["row_per_candidates"] = made.candidates
        found["row_per"] = made.row_per
        made.find_paths()
    except Ambiguous as error:
        found["ambiguities"] = [error.found]
    except Exception as error:  # it says why, whatever it is
        found["warnings"] = [str(error)]
    else:
        steps = [tables_of(path) for path in made.paths.values()]
        joined = list(dict.fromkeys([made.row_per, *(one for path in steps for one in path), *made.attached]))
        found["join_path"] = joined
        found["transparent_intermediates"] = [one for one in joined if one not in made.include]
        rows = Counter(is_orphan for _, is_orphan in made.every({}))
        found["estimated_row_count"] = {
            "in_scope_row_per_rows": rows[False],
            "orphan_rows": rows[True],
            "total": rows.total(),
        }
        if others := made.unrelated():
            found["warnings"] = [f"members of {', '.join(others)} have nothing to do with these tables"]
    return found


def schema_paths(bag: Bag, wanted: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what tables there are and how they refer to each other, as upstream has it.

    Args:
        wanted: only paths from or to these tables.
    """
    of = Relations(bag, wanted)
    chosen = set(map(of.name, wanted)) if wanted else set(of.rows)
    paths: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for start in sorted(of.rows):
        for end in sorted(of.reachable(start)):
            if {start, end} & chosen and start != end:
                paths[start, end] = [
                    {"path": tables_of(path), "direct": len(path) == 1} for path in of.paths(start, end)
                ]
    anchors = sorted(of.members)
    return {
        "member_types": anchors,
        "anchor_types": anchors,
        "reachable_tables": {one: sorted(of.reachable(one)) for one in anchors},
        "association_tables": [],
        "feature_tables": [str(one.feature_table) for one in features.find_features(bag)],
        "schema_paths": paths,
    }
