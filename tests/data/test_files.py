"""The files of a corpus: which ones they are, and that what is read is what was fingerprinted."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablab.data import sources
from ablab.data.files import shown
from ablab.data.spec import ByteTokenizer, HubData, TextData
from ablab.data.store import prepare, store_fingerprint
from ablab.errors import UserError
from ablab.execute.session import Request, Session, planned
from ablab.records.home import Home, make_home
from tests.data.texts import prose
from tests.standin import Silent

LATIN = b"caf\xe9.txt"


def text_data(folder, pattern="*.txt", **options):
    return TextData(source="text", files=[f"{folder}/{pattern}"], **options)


def rows_of(data):
    return [row["text"] for row in sources.documents(data)]


def test_a_name_that_is_not_utf8_is_read_and_shown_escaped(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.txt").write_text(prose(9000, i))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + LATIN)).write_text(prose(9000, 2))
    data = text_data(tmp_path, tokenizer=ByteTokenizer())
    store = prepare(data, tmp_path / "tokens")
    text = (store.folder / "manifest.json").read_text("utf-8")
    names = [name for split in json.loads(text)["documents"].values() for name in split]
    assert any(name.startswith(f"{tmp_path}/caf\\xe9.txt") for name in names)


def test_a_name_that_is_not_utf8_is_escaped_in_errors(tmp_path, monkeypatch):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9\n"))
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"\xff")
    with pytest.raises(UserError) as error:
        rows_of(text_data(tmp_path, "*/*.txt"))
    assert f"{tmp_path}/\\xe9\\n/a.txt is not UTF-8 text" in str(error.value)
    monkeypatch.chdir(folder)
    with pytest.raises(UserError) as error:
        rows_of(TextData(source="text", files=["*.md"]))
    assert str(error.value).endswith(rf"matches no file (looked from {tmp_path}/\xe9\n)")


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"a b.txt", "a b.txt"), ("é☃".encode(), "é☃"), (LATIN, r"caf\xe9.txt"), (b"\x1b", r"\x1b")],
)
def test_what_is_shown_of_a_name(name, text):
    assert shown(os.fsdecode(name)) == text
    assert shown(os.fsdecode(name)).isprintable()


NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: not {*b"/\0"} & {*name})
MARKED = b"\xef\xbb\xbfmarked\r\n"  # by a byte-order mark
CONTENTS = st.one_of(
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore")),
    st.sampled_from([b"", MARKED, b"\0" * 9, b"a\r\nb\rc\n\n", "\u2028\x85".encode()]),
)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(NAMES, CONTENTS, min_size=1, max_size=25))
def test_files_of_any_name_and_content_are_read_exactly(tmp_path, files):
    folder = tmp_path / "files"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        path = os.fsencode(folder) + b"/" + name + b".txt"
        with open(path, "wb") as file:
            file.write(content)
    data = text_data(folder)
    visible = [content for name, content in files.items() if not name.startswith(b".")]
    if not visible:
        with pytest.raises(UserError, match="matches no file"):
            rows_of(data)
        return
    rows = list(sources.documents(data))
    assert sorted(row["text"].encode() for row in rows) == sorted(filter(None, visible))
    assert all(row["name"].isprintable() for row in rows)
    assert store_fingerprint(data) == store_fingerprint(data)


STUDY = """
from: gpt2
to: gpt2 + rope
design: {{kind: one_in}}
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {data}
budget: {{steps: 2}}
seeds: 2
recipe: {{batch_tokens: 64}}
{tracking}
"""
TEXT = '{source: text, files: ["[!x]*/**"], tokenizer: {kind: byte}}'
HUB = "{source: hub, name: ., tokenizer: {kind: byte}}"


def litter(home: Home, study):
    """Write into every place that a home has, as runs would."""
    for path in home.written(study):
        files = [path, path / "more" / "x.json", path / "x.txt", path / "more" / "x.db"]
        for file in files[:1] if path.suffix else files[1:]:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.is_dir():
                file.write_bytes(b'{"text": "\\u00ff"}\xff')


@pytest.mark.parametrize("root", [None, Path("my home"), Path()], ids=str)
@pytest.mark.parametrize("tracking", ["", "tracking: {uri: sqlite:///track/runs.db}"])
@pytest.mark.parametrize("source", [TEXT, HUB], ids=["text", "hub"])
def test_what_runs_write_is_never_data(tmp_path, monkeypatch, root, tracking, source):
    monkeypatch.chdir(tmp_path)
    Path("corpus").mkdir()
    lines = [json.dumps({"text": prose(500, i)}) for i in range(30)]
    for i, line in enumerate(lines):
        Path("corpus", f"{i}.jsonl").write_text(line + "\n")
    Path("x.yaml").write_text(STUDY.format(data=source, tracking=tracking))
    home = make_home(root)
    request = Request(Path("x.yaml"), None, (), ())
    first = planned(request, home.root)
    litter(home, first.study)
    again = planned(request, home.root)
    assert again.plan.data == first.plan.data
    assert [run.key for run in again.plan.runs] == [run.key for run in first.plan.runs]
    (data,) = again.plan.data.values()
    texts = [row["text"] for row in sources.documents(data, again.excluded)]
    expected = lines if source == TEXT else [json.loads(line)["text"] for line in lines]
    assert sorted(text.strip() for text in texts) == sorted(text.strip() for text in expected)


def test_a_corpus_of_nothing_but_what_runs_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(STUDY.format(data=TEXT, tracking=""))
    Path("mlflow").mkdir()
    Path("mlflow", "a.txt").write_text("x")
    with pytest.raises(UserError, match="matches no file but those that ablab writes"):
        planned(Request(Path("x.yaml"), None, (), ()))


def test_a_corpus_that_changes_after_it_was_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("corpus").mkdir()
    for i in range(3):
        Path("corpus", f"{i}.txt").write_text(prose(9000, i))
    Path("x.yaml").write_text(
        STUDY.format(data=TEXT.replace('"**/*.json*", "**/*.db*"', ""), tracking="")
    )
    home = make_home(None)
    session = Session(planned(Request(Path("x.yaml"), None, (), ()), home.root), home, Silent())
    Path("corpus", "2.txt").write_text(prose(9000, 3))
    with pytest.raises(UserError, match="changed after it was planned: run the command again"):
        session.prepare()


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_of_a_folder_are_those_that_were_fingerprinted(tmp_path, monkeypatch, streaming):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    file = tmp_path / "set" / "train.jsonl"
    file.write_text(json.dumps({"text": "old!"}) + "\n")
    os.utime(file, (1e9, 1e9))
    data = HubData(source="hub", name=str(tmp_path / "set"), streaming=streaming)
    before = store_fingerprint(data)
    assert rows_of(data) == ["old!"]
    file.write_text(json.dumps({"text": "new!"}) + "\n")
    os.utime(file, (1e9, 1e9))
    assert store_fingerprint(data) != before
    assert rows_of(data) == ["new!"]
    assert not any((tmp_path / "cache").glob("ablab-*"))


def test_the_name_of_a_datasets_file_counts(tmp_path):
    """The library reads the split from it."""
    data = HubData(source="hub", name=str(tmp_path))
    (tmp_path / "train.jsonl").write_text("{}")
    before = store_fingerprint(data)
    (tmp_path / "train.jsonl").rename(tmp_path / "test.jsonl")
    assert store_fingerprint(data) != before


def test_hidden_folders_of_a_dataset_are_not_data(tmp_path):
    data = HubData(source="hub", name=str(tmp_path))
    (tmp_path / "train.jsonl").write_text("{}")
    before = store_fingerprint(data)
    for folder in (".git", ".venv", "__pycache__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jsonl").write_text("{}")
    assert store_fingerprint(data) == before
