"""Our packages never run what a file says: no pickle, no eval, no shell, no code of a model."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("videothinker", "actors", "learner", "cluster")
MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads"}
SAFE_ARGUMENT = {"torch.load": "weights_only"}
SAFE_LOADERS = ("Loader=_Loader", "Loader=yaml.SafeLoader")
NEVER_TRUE = ("trust_remote_code", "shell", "allow_pickle", "allow_dangerous_deserialization")


def offences(source: str) -> Iterator[str]:
    """What of a file must not be there."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            yield from (name for name in names if name.split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            yield from call_offences(node)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant):
                    yield from switched(str(key.value), value)


def call_offences(call: ast.Call) -> Iterator[str]:
    called = ast.unparse(call.func)
    arguments = {keyword.arg or "**": keyword.value for keyword in call.keywords}
    if called in CALLS:
        yield called
    if called.endswith(".from_pretrained") and ast.unparse(arguments.get("**", call)) != "SAFE":
        yield f"{called} without **SAFE"
    needed = SAFE_ARGUMENT.get(called)
    if needed and ast.unparse(arguments.get(needed, ast.Constant(False))) != "True":
        yield f"{called} without {needed}"
    if called in ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"):
        given = [f"{name}={ast.unparse(value)}" for name, value in arguments.items()]
        if not set(given) & set(SAFE_LOADERS):
            yield called
    for name, value in arguments.items():
        yield from switched(name, value)


def switched(name: str, value: ast.expr) -> Iterator[str]:
    """A switch that must stay off: anything but a plain False or None turns it on."""
    off = isinstance(value, ast.Constant) and not value.value
    if name in NEVER_TRUE and not off:
        yield f"{name}={ast.unparse(value)}"
    if name == "VLLM_ALLOW_INSECURE_SERIALIZATION" and ast.unparse(value) != "'0'":
        yield name


@pytest.mark.parametrize(
    "file",
    [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_no_file_runs_what_another_says(file: Path) -> None:
    assert not list(offences(file.read_text()))


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from cloudpickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "eval(text)",
        "AutoConfig.from_pretrained(model)",
        "subprocess.run(command, shell=True)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text)",
        "LLM(model, trust_remote_code=flag)",
        "options = {'trust_remote_code': True}",
        "environment = {'VLLM_ALLOW_INSECURE_SERIALIZATION': '1'}",
    ],
)
def test_each_of_these_would_be_found(line: str) -> None:
    assert list(offences(line))
