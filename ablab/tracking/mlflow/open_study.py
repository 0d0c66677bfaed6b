"""A study in an open MLflow store: its parent run, and what the store is known to hold of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ablab.files import locked
from ablab.records.run_record import Record
from ablab.records.run_spec import RunSpec
from ablab.records.study_record import StudyRecord
from ablab.spec.addresses import fault
from ablab.spec.study import Study
from ablab.spec.yaml_document import to_yaml
from ablab.tracking.mlflow.children import Child, find_children
from ablab.tracking.mlflow.connection import store_folder
from ablab.tracking.mlflow.errors import is_refusal
from ablab.tracking.mlflow.metrics import Point
from ablab.tracking.mlflow.parameters import plugins_off
from ablab.tracking.mlflow.parents import kill_abandoned, open_parent
from ablab.tracking.mlflow.store import Store, end_run, open_store


@dataclass
class OpenStudy:
    """A study in an open store.

    `name` is the study's, `parent` the id of its parent run. By run key: `children`, `points` (the
    metrics of a child, looked up when they are first needed) and `refused` (why the store refuses
    the run). `complete`: ids of children that have all their parameters and inputs.
    """

    store: Store
    uri: str
    name: str
    parent: str
    children: dict[str, Child] = field(default_factory=dict)
    points: dict[str, set[Point]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)

    def forget(self, key: str) -> None:
        """Forget a child, so that it is looked up again."""
        self.children.pop(key, None)
        self.points.pop(key, None)

    def plugins_off(self, names: Iterable[str] = ()) -> dict[str, str]:
        """Return the value "off" for the plugins that a child has a parameter for.

        `names`: names of further parameters, whose plugins are added.
        """
        return plugins_off(set(names).union(*(child.params for child in self.children.values())))

    @contextmanager
    def refusals_noted(self, key: str) -> Iterator[None]:
        """Note in `refused` if the store refuses something of a run, and go on.

        The child is looked up again, since somebody may have deleted it.
        """
        try:
            yield
            if key in self.children:
                self.refused.pop(key, None)
        except Exception as error:  # MLflow's clients raise what their transports raise
            if not is_refusal(error):
                raise
            self.refused[key] = fault(error, self.uri)
            self.forget(key)

    def refusal(self, specs: Mapping[str, RunSpec]) -> str:
        """Say which runs the store refuses, and why it refuses the first."""
        key, reason = next(iter(self.refused.items()))
        name = specs[key].label if key in specs else key
        more = f" and {len(self.refused) - 1} more" if len(self.refused) > 1 else ""
        return f"MLflow refuses {name}{more} ({reason}); the other runs stand there"


def open_study(record: StudyRecord, study: Study, uri: str) -> OpenStudy:
    """Connect to the store at `uri` and open the study's parent run.

    Runs of this home that are RUNNING although no process trains them are ended as KILLED.
    """
    home = record.home
    tags = {
        "ablab.question": study.question,
        "ablab.revision": record.revision,
        "ablab.design": study.design.kind,
        "mlflow.note.content": study.question,
    }
    with locked(home.views_lock):  # MLflow creates its tables when a store is first opened
        store = open_store(uri, store_folder(uri, home.mlflow), home.identity())
        parent = open_parent(store, record.name, tags)
        leases = (home.root / "runs").glob("*/lease.json")
        records = [Record(home.root, path.parent.name) for path in leases]
        kill_abandoned(store, (run.key for run in records if run.lease().held()))
        return OpenStudy(store, uri, record.name, parent, find_children(store, parent))


def close_study(
    opened: OpenStudy, study_file: tuple[str, str], files: Sequence[Path], status: str
) -> None:
    """Attach `files` and the study file (its name and text) to the parent, and end the parent."""
    client = opened.store.client
    for file in files:
        client.log_artifact(opened.parent, str(file))
    name, text = study_file
    client.log_text(opened.parent, text, name)
    end_run(opened.store, opened.parent, status)


def study_file(record: StudyRecord, study: Study) -> tuple[str, str]:
    """Return the name and the text of the study file, as it was resolved."""
    excluded = {"tracking"} if study.budgets is None else {"tracking", "budget"}
    content = study.model_dump(mode="json", by_alias=True, exclude=excluded, exclude_none=True)
    return f"study-{record.revision}.yaml", to_yaml(content)
