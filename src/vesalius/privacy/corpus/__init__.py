"""Synthetic studies with planted identifiers, and the score of what a de-identifier leaves of them."""

from __future__ import annotations

from vesalius.privacy.corpus.generate import generate
from vesalius.privacy.corpus.people import LANGUAGES, Person, people
from vesalius.privacy.corpus.scoring import Score, score
from vesalius.privacy.corpus.truth import Corpus, Item, Leak, Plant

__all__ = ["LANGUAGES", "Corpus", "Item", "Leak", "Person", "Plant", "Score", "generate", "people", "score"]
