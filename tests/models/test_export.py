"""A finished run as a folder that the transformers library loads."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

import ablab
from ablab.arch.composition.registry import load_registry
from ablab.cli import app
from ablab.data.portable import portable
from ablab.data.spec import ByteTokenizer, TextData
from ablab.data.store import open_store, prepare
from ablab.execute.session import Request, planned
from ablab.files import file_sha256
from ablab.models import export as exporting
from ablab.models.load import trained_model
from ablab.plan.run_key import rebuild
from ablab.records.home import Home
from ablab.records.run_record import Record
from ablab.sealed import read_sealed, write_sealed
from ablab.train.job import Job
from ablab.train.recorder import Hooks
from ablab.train.run import train
from tests.conftest import STUDY

transformers = pytest.importorskip("transformers")

ARMS = {
    "gpt1": "OpenAIGPTLMHeadModel",
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "llama - untied_embeddings + swiglu(factor=3)": "LlamaForCausalLM",
}
WITHOUT = {
    "gpt2 + swiglu": "gpt2 is the nearest, and has no place for swiglu (mlp)",
    "llama - rope": "llama is the nearest, and has no place for the lack of rope "
    "(position, mixer.rotate)",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, corpus):
    """A home with a finished run of each arm, by expression."""
    folder = tmp_path_factory.mktemp("export")
    arms = json.dumps({str(i): text for i, text in enumerate([*ARMS, *WITHOUT])})
    text = (
        STUDY.format(corpus=corpus)
        .replace("from: gpt2\nto: llama\n", f"arms: {arms}\n")
        .replace("leave_one_out", "compare")
    )
    (folder / "x.yaml").write_text(text.replace("seeds: 2", "seeds: 1"))
    asked = planned(Request(folder / "x.yaml", None, (), ()))
    home = Home(folder / "home", folder / "home" / "mlflow")
    store = prepare(asked.study.data, home.tokens)
    for spec in asked.plan.unique.values():
        finish(spec, Record(home.root, spec.key), store)
    named = dict(zip(map(str, range(6)), [*ARMS, *WITHOUT], strict=True))
    return home, {named[spec.arm]: spec for spec in asked.plan.unique.values()}


def finish(spec, record, store):
    """What a worker does with a run."""
    record.create(spec)
    value = rebuild(spec, load_registry())
    job = Job(
        value.arch,
        value.recipe,
        store,
        batches=spec.batches,
        seed=spec.seed,
        flops_per_token=spec.flops_per_token,
        folder=record.folder,
    )
    hooks = Hooks(
        log=record.metrics.append,
        stop=lambda: False,
        beat=lambda *_: None,
        resumed=record.metrics.truncate,
    )
    record.finish(train(job, hooks).result)


@pytest.fixture
def cli(capsys, monkeypatch):
    """The command in this process: status, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["ablab", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        shown = capsys.readouterr()
        return ended.value.code or 0, shown.out, shown.err

    return run


def logits_apart(folder, spec, home):
    """Their model and ours with the run's weights, over the whole context."""
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokens = torch.from_numpy(
        open_store(home.tokens / spec.data).tokens("val")[:16].astype("int64")
    )[None]
    ours = ablab.from_hf(theirs)
    weights = load_file(home.root / "runs" / spec.key / "model.safetensors")
    assert {name: w.shape for name, w in weights.items()} == {
        name: p.shape for name, p in ours.named_parameters()
    }
    assert all(torch.equal(weights[name], p) for name, p in ours.named_parameters())
    with torch.no_grad():
        return theirs, (theirs(tokens).logits - ours(tokens)).abs().max().item()


@pytest.mark.parametrize("expression", ARMS)
def test_what_is_exported_loads_with_the_same_logits(trained, cli, tmp_path, expression):
    home, specs = trained
    spec, folder = specs[expression], tmp_path / "new" / "model"
    status, out, err = cli("export", spec.key, folder, "--home", home.root)
    assert (status, err) == (0, "")
    assert out == f"{folder}: {spec.arm} · seed 1 as {ARMS[expression]}, with its tokenizer\n"
    theirs, apart = logits_apart(folder, spec, home)
    assert type(theirs).__name__ == ARMS[expression]
    assert apart < 1e-5
    config = json.loads((folder / "config.json").read_text())
    assert (config["vocab_size"], config["bos_token_id"], config["eos_token_id"]) == (300, 299, 299)
    assert theirs.generation_config.eos_token_id == 299
    assert not [key for key in config if key.endswith("pdrop") and config[key]]
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_its_tokenizer_is_the_runs(trained, cli, tmp_path, corpus):
    home, specs = trained
    spec = specs["llama"]
    cli("export", spec.key, tmp_path / "m", "--home", home.root)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    ours = open_store(home.tokens / spec.data).encoding()
    for file in sorted(corpus.glob("*.txt"))[:3]:
        text = file.read_text()
        assert theirs(text, verbose=False)["input_ids"] == ours.encode_ordinary(text)
        assert theirs.decode(ours.encode_ordinary(text)) == text
    for text in ["", "a  b\t\n\n  c's 12 é 漢字 🙂\x00", "<|endoftext|>x"]:
        assert theirs(text)["input_ids"] == ours.encode(text, allowed_special="all")
    assert (theirs.eos_token_id, theirs.bos_token_id, len(theirs)) == (299, 299, 300)


@pytest.mark.parametrize(("expression", "message"), WITHOUT.items())
def test_an_arm_without_a_form_is_refused_by_its_change(
    trained, cli, tmp_path, expression, message
):
    home, specs = trained
    status, out, err = cli("export", specs[expression].key, tmp_path / "m", "--home", home.root)
    assert (status, out) == (2, "")
    assert err == f"ablab: {specs[expression].arm} has no form in transformers: {message}\n"
    assert not list(tmp_path.iterdir())


def test_a_run_is_named_by_a_prefix_that_tells_it_apart(trained, cli, tmp_path):
    home, specs = trained
    key = specs["llama"].key
    length = next(
        n for n in range(1, 25) if sum(s.key.startswith(key[:n]) for s in specs.values()) == 1
    )
    assert cli("export", key[:length], tmp_path / "m", "--home", home.root)[0] == 0
    for prefix, message in (
        ("zz", "no run's key in"),
        ("", "no run's key in"),
        ("../", "no run's key in"),
    ):
        status, _, err = cli("export", prefix, tmp_path / "n", "--home", home.root)
        assert status == 2
        assert message in err
    (tmp_path / "home" / "runs" / "aa1").mkdir(parents=True)
    (tmp_path / "home" / "runs" / "aa2").mkdir()
    assert (
        "'aa' begins the keys of 2 runs (aa1, aa2)"
        in cli("export", "aa", tmp_path / "n", "--home", tmp_path / "home")[2]
    )
    assert (
        "run aa1 is not finished"
        in cli("export", "aa1", tmp_path / "n", "--home", tmp_path / "home")[2]
    )
    assert not (tmp_path / "n").exists()


def test_a_folder_that_is_not_free_is_left_as_it_is(trained, cli, tmp_path):
    home, specs = trained
    full, file, empty = tmp_path / "full", tmp_path / "file", tmp_path / "empty"
    full.mkdir()
    empty.mkdir()
    (full / "kept.txt").write_text("kept")
    file.write_text("kept")
    for taken, message in (
        (full, "is not an empty folder"),
        (file, "is not an empty folder"),
        (file / "m", "cannot be written"),
    ):
        status, out, err = cli("export", specs["gpt2"].key, taken, "--home", home.root)
        assert (status, out) == (2, "")
        assert message in err
    assert cli("export", specs["gpt2"].key, empty, "--home", home.root)[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "full"]
    assert [p.name for p in full.iterdir()] == ["kept.txt"]
    assert file.read_text() == "kept"


def test_a_failure_in_the_middle_leaves_nothing(trained, tmp_path, monkeypatch):
    home, specs = trained

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_write_tokenizer", full)
    with pytest.raises(exporting.UserError, match="No space left on device"):
        exporting.export(home, specs["gpt2"].key, tmp_path / "a" / "m", load_registry())
    assert not list(tmp_path.iterdir())


@pytest.fixture
def moved(trained, tmp_path):
    """A copy of the home that a test may spoil."""
    home, specs = trained
    shutil.copytree(home.root, tmp_path / "home")
    return Home(tmp_path / "home", tmp_path), specs["gpt2"]


def test_without_its_tokens_the_model_is_written_alone(moved, tmp_path):
    home, spec = moved
    shutil.rmtree(home.tokens)
    done = exporting.export(home, spec.key, tmp_path / "m", load_registry())
    assert "tokens are gone" in done.no_tokenizer
    assert not list((tmp_path / "m").glob("tokenizer*"))
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (None, None)


def test_a_tokenizer_that_the_library_cannot_say_is_left_out(moved, tmp_path):
    """Found by encoding the validation split anew."""
    home, spec = moved
    file = home.tokens / spec.data / "tokenizer.json"
    content = json.loads(file.read_text())
    manifest = file.with_name("manifest.json")
    sizes = read_sealed(manifest, home.root)
    assert sizes is not None

    def write_tokenizer(**changes):
        file.write_text(json.dumps({**content, **changes}))
        write_sealed(manifest, {**sizes, "tokenizer_sha256": file_sha256(file)})

    write_tokenizer(pattern="(?s:.)")
    tokens = open_store(home.tokens / spec.data)
    rows = tokens.encoding().encode_ordinary(
        tokens.encoding().decode(tokens.tokens("val")[1:200].tolist())
    )
    split = home.tokens / spec.data / "val.bin"
    split.write_bytes(torch.tensor([299, *rows]).numpy().astype(tokens.dtype).tobytes())
    sizes["splits"]["val"]["sha256"] = file_sha256(split)
    write_tokenizer(pattern="(?s:.)")
    done = exporting.export(home, spec.key, tmp_path / "m", load_registry())
    assert "other tokens" in done.no_tokenizer
    write_tokenizer(name="ablab-other")
    done = exporting.export(home, spec.key, tmp_path / "n", load_registry())
    assert done.no_tokenizer == "ablab-other has no exact form in the tokenizers library"


def test_a_run_is_exported_where_auto_means_another_precision(moved, tmp_path, monkeypatch):
    home, spec = moved
    monkeypatch.setattr(
        "ablab.plan.run_key.resolve_precision",
        lambda precision: "bf16" if precision == "auto" else precision,
    )
    assert (
        exporting.export(home, spec.key, tmp_path / "m", load_registry()).model == "GPT2LMHeadModel"
    )


def test_a_run_of_other_plugins_is_refused(moved, tmp_path):
    home, spec = moved
    record = Record(home.root, spec.key)
    file = record.folder / "spec.json"
    content = read_sealed(file, home.root)
    assert content is not None
    write_sealed(file, {**content, "plugins": [["pre_norm", {}]]})
    with pytest.raises(exporting.UserError, match="changed since the study was planned"):
        exporting.export(home, spec.key, tmp_path / "m", load_registry())
    write_sealed(file, {**content, "unheard_of": 1})
    with pytest.raises(exporting.UserError, match="another version of ablab"):
        exporting.export(home, spec.key, tmp_path / "m", load_registry())
    assert not (tmp_path / "m").exists()


def test_bytes_are_a_tokenizer_there_too(corpus, tmp_path):
    store = prepare(
        TextData(source="text", files=[str(corpus / "*.txt")], tokenizer=ByteTokenizer()), tmp_path
    )
    tokenizer = portable(store)
    for text in ("a  b\n", "é 漢字 🙂\x00\x7f"):
        assert tokenizer.encode(text).ids == list(text.encode())
        assert tokenizer.decode(list(text.encode())) == text
    assert tokenizer.encode("<|endoftext|>a").ids == [256, 97]


def test_a_run_continues_a_prompt(trained, cli):
    home, specs = trained
    key = specs["llama"].key
    status, out, err = cli(
        "generate", key, "The ", "--tokens", 5, "--temperature", 0, "--home", home.root
    )
    assert (status, err) == (0, "")
    _, model = trained_model(Record(home.root, key), load_registry())
    store = open_store(home.tokens / specs["llama"].data)
    tokens = store.encoding().encode_ordinary("The ")
    for _ in range(5):  # without a cache
        tokens.append(model(torch.tensor([tokens]))[0, -1].argmax().item())
    assert store.end_of_text not in tokens
    assert out == store.encoding().decode(tokens) + "\n"
    drawn = [
        cli("generate", key, "The ", "--seed", seed, "--home", home.root)[1] for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_cannot_be_continued_is_said(trained, cli):
    home, specs = trained
    status, out, err = cli("generate", specs["llama"].key, "word " * 100, "--home", home.root)
    assert (status, out) == (2, "")
    assert "the model's context is 16" in err
    status, out, err = cli("generate", "zzz", "The", "--home", home.root)
    assert (status, out) == (2, "")
