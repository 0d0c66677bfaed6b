"""Whether a store can be read, in a bounded time."""

from threading import Thread

from ablab.errors import UserError
from ablab.spec.addresses import redacted
from ablab.tracking.mlflow.connection import connect, import_client
from ablab.tracking.mlflow.errors import NoStore, explained


def probe(uri: str, seconds: float) -> str:
    """Return why the store at `uri` cannot be read, with the remedy; empty if it can.

    An answer is awaited for so many seconds, and nothing is created. Raises NoStore if there is no
    store.
    """
    try:
        import_client()  # takes seconds, which are not the store's
    except UserError as error:
        return str(error)
    answers: list[Exception | None] = []

    def ask() -> None:
        try:
            connect(uri, make=False)
            answers.append(None)
        except Exception as error:  # MLflow's clients raise what their transports raise
            answers.append(error)

    # A daemon, since some clients wait for minutes.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        address = redacted(uri, uri)
        return f"{address} does not answer within {seconds:g} s: is it running, and is it right?"
    (error,) = answers
    if isinstance(error, NoStore):
        raise error
    return "" if error is None else explained(error, uri)
