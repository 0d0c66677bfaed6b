"""Commands that look: what they print, how fast, and what they say of wrong input."""

import json
import resource
import subprocess
import sys

import pytest

from tests.conftest import ROOT, command, environment


def out(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_inspect_json(ablab):
    content = json.loads(out(ablab("inspect", "gpt2:124M + rope", "--json", "--layers", 2)))
    assert content["expression"] == "gpt2:124M + rope"
    assert content["plugins"] == ["pre_norm", "rope", "scaled_init"]
    assert (
        content["parameters"]["total"]
        == content["parameters"]["embedding"] + content["parameters"]["non_embedding"]
    )
    assert content["parameters"]["embedding"] == 50257 * 768
    assert set(content["flops_per_token"]) == {"forward", "training"}
    assert set(content["memory_bytes"]) == {"weights", "gradients", "optimizer"}
    assert content["kv_cache_bytes_per_token"] == 2 * 2 * 768 * 2
    assert (content["dims"]["layers"], content["dims"]["width"], content["dims"]["head_dim"]) == (
        2,
        768,
        64,
    )


def usage(tmp_path, *arguments):
    """What a command prints, its CPU seconds, and its peak memory in kB. A small process stands
    between, since a child's peak begins with what its parent held when it was started.
    """
    code = (
        "import json, resource, subprocess, sys\ndone = subprocess.run(sys.argv[2:], "
        "stdout=subprocess.PIPE, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "json.dump([done.stdout.decode(), used.ru_utime + used.ru_stime, used.ru_maxrss], "
        "open(sys.argv[1], 'w'))\n"
    )
    file = tmp_path / "usage.json"
    measured = [sys.executable, "-c", code, str(file), *command(*arguments)]
    subprocess.run(measured, cwd=tmp_path, check=True, capture_output=True, env=environment())
    return json.loads(file.read_text())


# Tied table, final gain, and 118 blocks: queries and output, one key and one value head, a gated
# feed-forward, one gain.
PALM = (
    256_000 * 18432
    + 18432
    + 118 * (2 * 18432 * 48 * 256 + 2 * 18432 * 256 + 3 * 18432 * 73728 + 18432)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "parameters", "more"),
    [
        ("palm:540B", PALM, []),
        ("llama:65B", 65_285_660_672, []),
        ("palm:540B", PALM, ["--tensor-parallel", "8"]),
    ],
)
def test_the_largest_models_take_seconds_and_little_memory(tmp_path, model, parameters, more):
    text, seconds, kilobytes = usage(tmp_path, "inspect", model, "--json", *more)
    assert json.loads(text)["parameters"]["total"] == parameters
    # The processor's time: a loaded machine makes the clock's longer, and this one, too.
    assert seconds < 20
    assert kilobytes * 1024 < 1e9


def test_the_head_dimension_is_a_size_of_its_own(ablab):
    plain, wide = (
        json.loads(
            out(
                ablab(
                    "inspect", "gpt2", "--json", "--layers", 2, "--width", 64, "--heads", 4, *more
                )
            )
        )
        for more in ((), ("--head-dim", 24))
    )
    assert (plain["dims"]["head_dim"], wide["dims"]["head_dim"]) == (16, 24)
    # Eight more dimensions for each of four heads: three projections in with their biases, one out.
    assert wide["parameters"]["total"] - plain["parameters"]["total"] == 2 * 32 * (
        3 * (64 + 1) + 64
    )
    text = out(
        ablab(
            "diff",
            "gpt2",
            "gpt2 + no_bias",
            "--layers",
            2,
            "--width",
            64,
            "--heads",
            4,
            "--head-dim",
            24,
        )
    )
    assert f"{wide['parameters']['total']:,}" in text
    assert ablab("inspect", "gpt2", "--head-dim", 0).returncode == 2


def test_inspect_and_diff_for_people(ablab):
    assert "124,439,808" in out(ablab("inspect", "gpt2"))
    text = out(ablab("diff", "gpt2", "llama", "--layers", 2, "--width", 64, "--heads", 4))
    for name in ("rmsnorm", "rope", "swiglu", "no_bias", "untied_embeddings", "- scaled_init"):
        assert name in text
    assert "norm" in text


def test_inspect_says_what_a_tensor_parallel_rank_costs(ablab):
    given = [
        "inspect",
        "palm",
        "--tensor-parallel",
        2,
        "--layers",
        3,
        "--width",
        64,
        "--heads",
        4,
        "--vocab",
        304,
    ]
    text = out(ablab(*given))
    assert "each of 2 tensor-parallel ranks" in text
    assert "block × 3       1 forward + 1 backward, 128 + 128 bytes per token" in text
    assert "1 of weight gradients" in text
    assert "activations in bfloat16" in text
    rank = json.loads(out(ablab(*given, "--json")))["tensor_parallel"]
    assert rank["bytes_per_token"] == 2 * 64 * (1 + 3 * 2 + 1) + 12
    assert set(rank["parts"][1]["said"]) == {"forward", "backward", "weights"}
    assert "tensor_parallel" not in json.loads(out(ablab(*given[:2], *given[4:], "--json")))


def test_plugins_and_families(ablab):
    listed = {p["name"]: p for p in json.loads(out(ablab("plugins", "--json")))}
    assert listed["rope"]["paths"] == ["mixer.rotate", "position"]
    assert listed["rope"]["options"] == {"base": 10000.0, "share": 1.0}
    assert listed["swiglu"]["summary"]
    assert "2104.09864" in out(ablab("plugins", "rope"))
    families = out(ablab("families"))
    assert "llama" in families
    assert "1.5B" in families
    recipes = out(ablab("recipes"))
    assert "small: A long warm-up" in recipes
    assert "llama: The recipe of llama." in recipes
    assert "recipe: lr 0.0003, batch_tokens 4194304, optimizer adamw(beta2=0.95)" in families


def test_schema(ablab):
    assert "budget" in json.loads(out(ablab("schema")))["properties"]


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nsys.argv = ['ablab', '--help']\nfrom ablab.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'lightning', 'mlflow', 'optuna', 'datasets', 'numpy'} & "
        "set(sys.modules)\nassert not heavy, heavy\n"
    )
    subprocess.run([*command()[:1], "-c", code], check=True, capture_output=True)
    # The best of a few: a loaded machine makes one start slow, never fast.
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command("--help"), check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "gpt2 + rop"], "did you mean 'rope'"),
        (["inspect", "gpt2 + rope(base=x)"], "rope(base='x')"),
        (["inspect", "gpt2", "--heads", "7"], "not a multiple of heads 7"),
        (["inspect", "gpt2", "--width", "-3"], "--width"),
        (["inspect", "megatron", "--tensor-parallel", "3"], "a tensor size of 3 does not divide"),
        (["inspect", "megatron", "--tensor-parallel", "0"], "--tensor-parallel"),
        (["diff", "gpt2", "lama"], "did you mean 'llama'"),
        (["plugins", "ropee"], "did you mean 'rope'"),
        (["plan", "nowhere.yaml"], "nowhere.yaml: no such study file"),
        (["run", "nowhere.yaml"], "nowhere.yaml: no such study file"),
        (["report", "nothing"], "no study has been run in .ablab yet"),
        (["ui"], "/mlflow/mlflow.db yet: `ablab run FILE` first"),
        (["inspect", "gpt2", "--plugins", "nofolder"], "no such folder"),
        (["nosuch"], "No such command 'nosuch'"),
    ],
)
def test_bad_input_is_one_message_and_status_2(ablab, tmp_path, arguments, message):
    result = ablab(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_wrong_study_creates_nothing(ablab, tmp_path, study_text):
    (tmp_path / "x.yaml").write_text(study_text.replace("to: llama", "to: llama + rop"))
    for name in ("plan", "run"):
        result = ablab(name, "x.yaml")
        assert result.returncode == 2
        assert (
            "x.yaml:3:1: to: 'llama + rop': no plugin named 'rop' (did you mean 'rope'"
            in result.stderr
        )
    assert [p.name for p in tmp_path.iterdir()] == ["x.yaml"]


def test_plan(ablab, tmp_path, study_text):
    (tmp_path / "x.yaml").write_text(study_text)
    content = json.loads(out(ablab("plan", "x.yaml", "--json")))
    assert content["study"] == "x"
    assert (content["runs"], content["to_train"]) == (16, 16)
    (part,) = content["parts"]
    assert part["arms"][1]["name"] == "llama - no_bias"
    assert part["arms"][1]["plugins"] == [
        "pre_norm",
        "rmsnorm",
        "rope",
        "swiglu",
        "untied_embeddings",
    ]
    assert set(part["arms"][0]) >= {
        "name",
        "plugins",
        "parameters",
        "flops_per_token",
        "tokens",
        "steps",
    }
    assert content["training_flops"] > 0
    text = out(ablab("plan", "x.yaml"))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert [p.name for p in tmp_path.iterdir()] == ["x.yaml"]


def test_the_flagship_plans(ablab):
    file = ROOT / "studies" / "gpt2_vs_llama.yaml"
    content = json.loads(out(ablab("plan", file, "--json")))
    (part,) = content["parts"]
    assert (content["runs"], len(part["arms"])) == (96, 16)
    assert {a["name"] for a in part["arms"]} >= {"llama", "gpt2"}
    generator = "generator: untied_embeddings = no_bias × rmsnorm × rope"
    assert generator in content["notes"]
    text = out(ablab("plan", file))
    assert generator in text.split("training FLOPs in all")[1]  # below the table
    assert all(len(line) <= 80 for line in text.splitlines())
