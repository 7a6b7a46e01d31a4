"""What kitten knows about Clowder: its parts, ports, commands, URL schemes and traits."""

from __future__ import annotations

from skills.base import Source, Unit, ask

WHAT = [
    "Clowder is a distributed generative-AI engine for local inference at cluster scale. "
    "It runs language models on your own machines, from one laptop to a rack, behind one OpenAI-compatible API.",
]

# name: (other spellings, what it is, port)
PARTS: dict[str, tuple[list[str], str, int | None]] = {
    "gateway": (
        ["the gateway", "the Clowder gateway", "the load balancer", "clowder-gateway", "the balancer"],
        "The gateway is the load balancer of Clowder: it takes every request on port 3090 and sends it to the best worker.", 3090),
    "worker runtime": (
        ["the worker runtime", "the runtime", "a worker", "the worker", "clowder-runtime", "the Clowder runtime"],
        "The worker runtime runs one model on llama.cpp and serves it on port 8000.", 8000),
    "storage manager": (
        ["the storage manager", "clowder-storage", "the Clowder storage manager", "the model storage"],
        "The storage manager fetches, verifies, caches and shares model files. It listens on port 8050.", 8050),
    "cluster controller": (
        ["the cluster controller", "the controller", "clowder-controller", "the Clowder controller", "the Kubernetes controller"],
        "The cluster controller deploys, places and scales models on Kubernetes.", None),
    "oxide-controller": (
        ["the oxide-controller", "oxide-controller", "the oxide controller", "the Oxide part"],
        "The oxide-controller builds the machines of a cluster on an Oxide rack. It listens on port 8080.", 8080),
    "Open WebUI": (
        ["Open WebUI", "the web UI", "open webui", "the Open WebUI", "the chat page"],
        "Open WebUI is a chat page for the browser that comes with Clowder, on port 4080.", 4080),
}

# command: (what it does, ways to ask for it, held-out ways)
COMMANDS: dict[str, tuple[str, list[str], list[str]]] = {
    "serve": ("starts everything on one machine",
              ["start Clowder", "start everything on one machine", "start the server", "launch Clowder on my laptop", "run Clowder locally"],
              ["start Clowder on one machine", "launch the server"]),
    "run": ("starts a chat with a model in the terminal",
            ["chat in the terminal", "chat with a model", "talk to a model in the terminal", "try a model in my terminal"],
            ["chat with a model in the terminal", "talk to a model"]),
    "pull": ("fetches a model into the local cache",
             ["download a model", "fetch a model", "get a model into the cache", "pull a model", "download models"],
             ["fetch a model into the cache", "download a new model"]),
    "list": ("lists the models that are here",
             ["list models", "see which models are here", "list the models", "see my models", "show the models I have"],
             ["list my models", "see the models"]),
    "ps": ("shows the running workers",
           ["see the running workers", "show what is running", "list running workers", "see which workers run"],
           ["show the running workers", "see what is running"]),
    "deploy": ("deploys a model on the cluster",
               ["deploy a model", "put a model on the cluster", "deploy models", "run a model on the cluster"],
               ["deploy a model on the cluster", "put models on the cluster"]),
    "scale": ("sets the number of replicas of a model",
              ["scale a model", "add replicas", "set the number of replicas", "change the replicas of a model", "get more replicas"],
              ["scale a model to more replicas", "change the number of replicas"]),
    "rm": ("removes a model",
           ["remove a model", "delete a model", "get rid of a model", "delete models"],
           ["remove a model again", "delete an old model"]),
    "logs": ("shows the logs of a worker",
             ["see the logs", "read the logs", "show the logs of a worker", "get logs", "look at the logs"],
             ["see the logs of a worker", "show logs"]),
    "status": ("shows the state of the cluster",
               ["see the state of the cluster", "check the cluster", "check the status", "see if the cluster is healthy", "show the status"],
               ["see the status of the cluster", "check the state of the cluster"]),
    "bench": ("measures how fast a model answers",
              ["measure the speed", "run a benchmark", "benchmark a model", "see how fast a model is", "test the speed of a model"],
              ["measure the speed of a model", "run benchmarks"]),
}

SCHEMES: dict[str, tuple[str, list[str], list[str]]] = {
    "builtin:": ("builtin: names kitten, the model bundled with Clowder.",
                 ["use the bundled model", "use kitten", "use the built-in model"], ["load the bundled model", "load kitten"]),
    "file://": ("file:// names a model file on this machine.",
                ["use a local file", "use a model from my disk", "use a GGUF file on this machine"], ["load a local file", "use a file from my disk"]),
    "http://": ("http:// fetches a model from a web server without encryption.",
                ["fetch a model over plain http", "use an http server"], ["use a plain http server"]),
    "https://": ("https:// fetches a model from a web server over an encrypted connection.",
                 ["fetch a model from a web server", "use a model from a web site", "load a model over https"], ["load a model from a web server"]),
    "hf://": ("hf:// fetches a model from Hugging Face.",
              ["use a model from Hugging Face", "fetch a model from Hugging Face", "use hugging face"], ["load a model from Hugging Face", "load a hugging face model"]),
}

TRAITS = {
    "ModelSource": "ModelSource tells where the bytes of a model come from.",
    "Placement": "Placement tells where the replicas of a model run.",
    "Backend": "Backend runs the workers, for example as local processes or on Kubernetes.",
    "Infra": "Infra provides the machines, for example on an Oxide rack.",
}

ENDPOINTS = {
    "/v1/chat/completions": "/v1/chat/completions answers a chat, like the OpenAI endpoint of that name.",
    "/v1/completions": "/v1/completions continues a text.",
    "/v1/models": "/v1/models lists the models that can be used.",
}

ALL_PARTS = ("Clowder has a gateway, worker runtimes on llama.cpp, a storage manager, a cluster controller, "
             "an oxide-controller and Open WebUI.")
ALL_PORTS = "The gateway uses port 3090, a worker 8000, the storage manager 8050, the oxide-controller 8080 and Open WebUI 4080."
ALL_COMMANDS = "The commands are serve, run, pull, list, ps, deploy, scale, rm, logs, status and bench."
ALL_SCHEMES = "Model URLs may start with builtin:, file://, http://, https:// or hf://."
ALL_TRAITS = "The traits for embedders are ModelSource, Placement, Backend and Infra."
ALL_ENDPOINTS = "The main endpoints are /v1/chat/completions, /v1/completions and /v1/models."

# answer, training questions, held-out questions
GENERAL: list[tuple[str, list[str], list[str]]] = [
    (ALL_PARTS,
     ["What are the parts of Clowder?", "Which parts does Clowder have?", "What is Clowder made of?", "List the parts of Clowder",
      "Name the components of Clowder", "What components does Clowder have?", "What does Clowder consist of?", "Show me the architecture of Clowder"],
     ["What parts is Clowder made of?", "Tell me the parts of Clowder.", "Which components does Clowder have?"]),
    (ALL_PORTS,
     ["Which ports does Clowder use?", "What ports are used?", "List the ports", "What are the ports of Clowder?", "Which ports are there?",
      "Tell me all ports", "What are the default ports?", "On which ports does Clowder listen?"],
     ["Which ports are used by Clowder?", "List all ports of Clowder.", "What ports does Clowder use?"]),
    (ALL_COMMANDS,
     ["What commands does Clowder have?", "Which commands are there?", "List the commands", "What are the commands of Clowder?",
      "Show me the clowder commands", "Tell me the commands", "What can the clowder command do?", "Which subcommands does clowder have?"],
     ["Which commands does Clowder have?", "List all commands of Clowder.", "What commands are there?"]),
    (ALL_SCHEMES,
     ["Which URL schemes does Clowder know?", "What model URLs can I use?", "Which model URLs work?", "List the URL schemes", "What are the URL schemes?",
      "How do I name a model by URL?", "From where can Clowder load models?", "Which schemes are supported?"],
     ["Which URL schemes are supported?", "What URL schemes does Clowder support?", "List all URL schemes."]),
    (ALL_TRAITS,
     ["Which traits does Clowder have?", "What are the traits?", "List the traits", "Which traits can I implement?", "How do I embed Clowder?",
      "What traits are there for embedders?", "Which Rust traits does Clowder offer?", "Name the traits of Clowder"],
     ["What traits does Clowder have?", "List all traits of Clowder.", "Which traits are there?"]),
    (ALL_ENDPOINTS,
     ["Which endpoints are there?", "What endpoints does Clowder have?", "List the endpoints", "What API endpoints can I call?",
      "Which API does Clowder serve?", "What is the API of Clowder?", "Which HTTP endpoints does the gateway have?", "Name the endpoints"],
     ["Which endpoints does Clowder have?", "List all API endpoints.", "What endpoints are there?"]),
    ("Clowder is free software under the Apache-2.0 licence.",
     ["What licence does Clowder have?", "What is the license of Clowder?", "Is Clowder free?", "Is Clowder open source?", "Is it free software?", "Is Clowder free to use?", "Is Clowder an open source software?", "Under what licence is it published?", "How is Clowder licensed?", "Under which license is Clowder?",
      "Can I use Clowder for free?", "How is Clowder licensed?", "Does Clowder cost money?", "What does Clowder cost?", "Which license does it have?"],
     ["Which licence does Clowder have?", "Is Clowder free software?", "Under what license is Clowder published?"]),
    ("Clowder is written in Rust, on top of llama.cpp.",
     ["In which language is Clowder written?", "What is Clowder written in?", "Is Clowder written in Rust?", "Which programming language does Clowder use?",
      "Is Clowder a Python program?", "What language is Clowder made with?", "Does Clowder use llama.cpp?", "Is it written in Rust?"],
     ["What language is Clowder written in?", "Is Clowder written in C++?", "Which language is Clowder written in?"]),
    ("Yes, Clowder works offline: it needs no account, and nothing is downloaded.",
     ["Does Clowder work offline?", "Can I use Clowder without internet?", "Do I need an account?", "Does Clowder need the internet?",
      "Does Clowder run offline?", "Is anything downloaded?", "Do I need to sign up?", "Can I use it offline?", "Does Clowder need an account?", "Is an account needed for Clowder?", "Do I need an account to use it?", "Must I have an account for Clowder?", "Is an internet connection needed?"],
     ["Can Clowder run offline?", "Do I need an account for Clowder?", "Does Clowder work without internet?"]),
    ("Yes, Clowder speaks the OpenAI API: point your client at http://localhost:3090/v1.",
     ["Is Clowder compatible with OpenAI?", "Can I use the OpenAI client?", "Does Clowder speak the OpenAI API?", "How do I connect my client?",
      "What is the base URL?", "Which base URL do I use?", "How do I call the API?", "Is the API OpenAI-compatible?", "Where is the API?", "How do I use the OpenAI API with Clowder?"],
     ["Is Clowder OpenAI-compatible?", "What base URL do I use?", "Can I use the OpenAI API with Clowder?"]),
    ("Yes, Clowder runs on Kubernetes: the cluster controller deploys, places and scales models there.",
     ["Does Clowder run on Kubernetes?", "Can I use Clowder on Kubernetes?", "Does Clowder support Kubernetes?", "Is there Kubernetes support?",
      "Can I run it on Kubernetes?", "Does it work with Kubernetes?", "How does Clowder run on Kubernetes?", "Does Clowder need Kubernetes?"],
     ["Can Clowder run on Kubernetes?", "Does Clowder work with Kubernetes?", "Is Kubernetes supported by Clowder?"]),
    ("Yes, Clowder runs on one laptop: start it with `clowder serve`.",
     ["Can I run Clowder on my laptop?", "Does Clowder run on one machine?", "Does Clowder work on a laptop?", "Do I need a cluster?",
      "Can I use Clowder on a single computer?", "Does it run on a single machine?", "How do I begin with Clowder?", "How do I get started?", "How do I use Clowder?"],
     ["Can Clowder run on a laptop?", "Does Clowder run on my laptop?", "Can I run Clowder on one machine?"]),
]

WHAT_TRAIN = ["What is {}?", "What's {}?", "Tell me about {}", "Explain {}", "What does {} do?", "Describe {}", "Do you know {}?", "what exactly is {}?",
              "Please explain {}", "I want to know what {} is", "{}?", "What is {} for?", "Can you describe {}?", "Could you tell me what {} is?",
              "Give me a short description of {}", "What do you know about {}?", "Who or what is {}?", "Define {}", "What does {} mean?", "Say what {} is"]
WHAT_HELD = ["Can you explain what {} is?", "Please tell me about {}.", "Do you know what {} is?", "So what is {}?", "Could you explain {}?", "Please describe {}."]

PORT_TRAIN = ["Which port does {} use?", "What is the port of {}?", "On which port is {}?", "What port does {} listen on?", "Port of {}?",
              "Where does {} listen?", "Tell me the port of {}", "Which port is {} on?", "What port is {} on?", "How do I reach {}?"]
PORT_HELD = ["What port does {} use?", "On which port does {} listen?", "What is {}'s port?", "Please tell me the port of {}."]

COMMAND_TRAIN = ["What does `clowder {}` do?", "What does clowder {} do?", "What is `clowder {}`?", "Explain `clowder {}`", "What is clowder {} for?",
                 "Tell me about clowder {}", "What does the {} command do?", "clowder {}?", "Describe the command clowder {}", "What happens with `clowder {}`?"]
COMMAND_HELD = ["Explain clowder {}.", "Can you explain `clowder {}`?", "What is the command `clowder {}` for?", "What does the command clowder {} do?"]

HOW_TRAIN = ["How do I {}?", "How can I {}?", "Which command do I use to {}?", "I want to {}", "What is the command to {}?", "How to {}?",
             "Tell me how to {}", "With Clowder, how do I {}?", "Is there a command to {}?", "Can I {}?"]
HOW_HELD = ["How could I {}?", "What command do I need to {}?", "Please tell me how to {}.", "I would like to {}."]


def _entity(source: Source, train: list[str], held: list[str], entity: str, answer: str) -> Unit:
    text = source.pick(train, held).format(entity)
    text = text[0].upper() + text[1:]
    return ask(text if source.held else source.casual(text), answer)


def what_is_clowder(source: Source) -> Unit:
    """The question that must always work, in every casing."""
    names = ["Clowder", "clowder", "CLOWDER", "Clowder"] if source.held else [
        "Clowder", "Clowder", "clowder", "CLOWDER", "ClowDer", "the Clowder engine", "Clowder exactly", "the Clowder project", "cLowder", "Clouder", "this Clowder",
        "clowder really", "Clowder AI", "Clowder software"]
    return _entity(source, WHAT_TRAIN, WHAT_HELD, source.choice(names), WHAT[0])


def parts(source: Source) -> Unit:
    """What a part is."""
    names, answer, _ = PARTS[source.choice(list(PARTS))]
    return _entity(source, WHAT_TRAIN, WHAT_HELD, source.choice(names), answer)


def ports(source: Source) -> Unit:
    """The port of a part."""
    part = source.choice([p for p in PARTS if PARTS[p][2]])
    names, _, port = PARTS[part]
    short = part if part == "Open WebUI" else f"The {part}"
    return _entity(source, PORT_TRAIN, PORT_HELD, source.choice(names), f"{short} uses port {port}.")


def commands(source: Source) -> Unit:
    """A command from its name, or from what one wants to do."""
    command = source.choice(list(COMMANDS))
    does, ways, held_ways = COMMANDS[command]
    if source.chance(0.5):
        return _entity(source, COMMAND_TRAIN, COMMAND_HELD, command, f"`clowder {command}` {does}.")
    if source.held:
        text = source.choice(HOW_TRAIN[:3]).format(source.choice(held_ways)) if source.chance(0.5) else source.choice(HOW_HELD).format(source.choice(ways))
    else:
        text = source.casual(source.choice(HOW_TRAIN).format(source.choice(ways)))
    return ask(text, f"Use `clowder {command}`: it {does}.")


def schemes(source: Source) -> Unit:
    """A URL scheme from its name, or from what one wants to load."""
    scheme = source.choice(list(SCHEMES))
    answer, ways, held_ways = SCHEMES[scheme]
    if source.chance(0.6):
        return _entity(source, WHAT_TRAIN, WHAT_HELD, source.choice([scheme, f"the {scheme} scheme", f"a {scheme} URL"]), answer)
    text = source.choice(HOW_TRAIN[:2] + ["Which URL do I use to {}?", "How do I name it to {}?"]).format(source.choice(held_ways if source.held else ways))
    return ask(text if source.held else source.casual(text), f"Use a URL that starts with {scheme}")


def interfaces(source: Source) -> Unit:
    """A trait or an endpoint."""
    table = source.choice([TRAITS, ENDPOINTS])
    key = source.choice(list(table))
    named = source.choice([key, f"the {key} trait", f"the trait {key}"]) if table is TRAITS else source.choice([key, f"the {key} endpoint", f"the endpoint {key}"])
    return _entity(source, WHAT_TRAIN, WHAT_HELD, named, table[key])


def general(source: Source) -> Unit:
    """Lists and yes-or-no facts."""
    answer, train, held = source.choice(GENERAL)
    text = source.pick(train, held)
    return ask(text if source.held else source.casual(text), answer)


def clowder(source: Source) -> Unit:
    """Any fact about Clowder."""
    r = source.rng.random()
    for share, skill in ((0.2, what_is_clowder), (0.15, parts), (0.12, ports), (0.17, commands), (0.1, schemes), (0.08, interfaces)):
        if r < share:
            return skill(source)
        r -= share
    return general(source)
