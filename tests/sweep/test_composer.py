"""What a sweep's jobs have in common is composed once, and what comes out is what composing each would give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hydra_zen import builds, store

from deriva_ml.config.compose import Composer, Composition, compose
from deriva_ml.exceptions import DerivaMLRequestError


@dataclass
class Inner:
    """A part with values of several kinds."""

    l2: float = 1.0
    layers: list[int] = field(default_factory=lambda: [1])
    more: dict[str, Any] = field(default_factory=lambda: {"a": 1})
    text: str = "${.l2}"


@dataclass
class Whole:
    """A configuration with a group."""

    composer_part: Any = None
    seed: int = 0
    note: Any = None


store(builds(Inner, populate_full_signature=True), group="composer_part", name="plain")
store(builds(Inner, populate_full_signature=True, l2=9.0), group="composer_part", name="other")
defaults = ["_self_", {"composer_part": "plain"}]
store(builds(Whole, populate_full_signature=True, hydra_defaults=defaults), name="composer_whole")


def told(make: Any, overrides: list[str]) -> tuple[str, dict[str, str]] | str:
    """What composing gives, or the words in which it is refused."""
    try:
        composed: Composition = make(overrides)
        return composed.yaml, composed.choices
    except DerivaMLRequestError as error:
        return str(error)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["seed=3"],
        ["composer_part.l2=0.5", "seed=3"],
        ["composer_part=other", "composer_part.l2=0.5"],
        ["composer_part.l2=0.5", "composer_part=other"],
        ["composer_part.l2=1", "composer_part.l2=2"],
        ["composer_part.layers=[1,2,3]"],
        ["composer_part.more={b:2}"],
        ["composer_part.text='a, b'", "note=null"],
        ["composer_part.text='${seed}'", "seed=5"],
        ["+note2=1"],
        ["+composer_part.extra=1", "composer_part.extra=2"],
        ["composer_part.extra=2", "+composer_part.extra=1"],
        ["~note"],
        ["++seed=4", "seed=5"],
        ["~composer_part"],
        # refused, in the same words
        ["composer_part=nope"],
        ["seed=many"],
        ["sed=1"],
        ["seed=1,2"],
        ["seed=[1"],
        ["composer_part.l2"],
        ["hydra.job.name=x"],
    ],
)
def test_a_composer_gives_what_composing_gives(overrides: list[str]) -> None:
    composer = Composer("composer_whole")
    for before in (["seed=7"], ["composer_part=other", "composer_part.l2=7"], []):
        composer.compose(before)  # which leaves nothing behind
    expected = told(lambda words: compose("composer_whole", words), overrides)
    assert told(composer.compose, overrides) == expected
    assert told(composer.compose, overrides) == expected
