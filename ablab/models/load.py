"""A finished run's model, with the weights it ended with, and what it says."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from safetensors.torch import load_file

from ablab.arch.composition.registry import Registry
from ablab.arch.decoder.decoder import Decoder
from ablab.arch.decoder.generate import generate
from ablab.data.store import TokenStore, open_store
from ablab.errors import UserError
from ablab.plan.plan import rebuild
from ablab.records.home import Home
from ablab.records.run_record import Record, find_record
from ablab.records.run_spec import RunSpec

_CUT = "\ufffd"


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn: how many at most, at which temperature (0: the most likely), from which
    seed.
    """

    tokens: int
    temperature: float
    seed: int


def trained_model(record: Record, registry: Registry) -> tuple[RunSpec, Decoder]:
    """The run's specification and its model with the weights it ended with. Raises UserError if it
    is not finished.
    """
    spec = record.spec
    result = record.result
    weights = record.folder / "model.safetensors"
    if result is None or not weights.is_file():
        raise UserError(f"run {record.key} is not finished: `ablab run` its study first")
    if spec is None:
        raise UserError(f"run {record.key} was written by another version of ablab")
    # As it was trained, on whatever machine: `auto` means another format elsewhere.
    value = rebuild(replace(spec, recipe={**spec.recipe, "precision": result.precision}), registry)
    decoder = Decoder(value.arch)
    decoder.load_state_dict(load_file(weights))
    return spec, decoder


def continuation(
    home: Home, asked: tuple[str, str], sampling: Sampling, registry: Registry
) -> Iterator[str]:
    """The text that follows, piece by piece, up to the end of a document. `asked`: the run's key or
    a prefix, the prompt.

    Raises UserError where the run, its tokens or room for a token is missing.
    """
    run, prompt = asked
    spec, model = trained_model(find_record(home.root, run), registry)
    try:
        store = open_store(home.tokens / spec.data)
    except FileNotFoundError:
        raise UserError(
            f"the run's tokenizer is gone from {home.tokens}: `ablab run` its study again"
        ) from None
    encoding, context = store.encoding(), model.arch.dims.context
    # A document begins behind the end of another.
    tokens = encoding.encode_ordinary(prompt) or [store.end_of_text]
    if len(tokens) > context:
        raise UserError(
            f"the prompt is {len(tokens)} tokens long; the model's context is {context}"
        )
    return _decoded(
        generate(model, tokens, sampling.temperature, sampling.seed), store, sampling.tokens
    )


def _decoded(tokens: Iterator[int], store: TokenStore, most: int) -> Iterator[str]:
    """The text of the tokens as it grows. A character may be cut between tokens: it is held back
    until it is whole.
    """
    encoding, read, shown = store.encoding(), list[int](), ""
    for token in islice(tokens, most):
        if token == store.end_of_text:
            break
        read.append(token)
        text = encoding.decode(read)
        if text.startswith(shown) and not text.endswith(_CUT):
            yield text[len(shown) :]
            shown = text
    yield encoding.decode(read)[len(shown) :]
