"""Enhancement of whole corpora: manifests, folders and tar shards, here or on the machines of an engine such as Ray."""

from gtcrn_frontend.corpus.items import Corpus, Item, Outcome, Problem, Runner
from gtcrn_frontend.corpus.local import local_runner
from gtcrn_frontend.corpus.run import CorpusReport, enhance_corpus

__all__ = ["Corpus", "CorpusReport", "Item", "Outcome", "Problem", "Runner", "enhance_corpus", "local_runner"]
