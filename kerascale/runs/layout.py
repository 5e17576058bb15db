"""The name of every file and folder in a run folder, and of no other."""

CONFIG = "config.json"
HISTORY = "history.csv"
METRICS = "metrics.jsonl"
THROUGHPUT = "throughput.json"
TIMELINE = "timeline.jsonl"
LOSSES = "losses.bin"
EVALUATION = "evaluation.json"
EXAMPLES = "examples.npz"
MODEL = "model.keras"
ADAPTER = "adapter.npz"
VECTORIZER = "vectorizer.keras"
TOKENIZER = "tokenizer.json"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
REPORT = "report.html"
COMPRESSED = "compressed"
LOCK = ".lock"

# In `checkpoints/`, and in the folder of each step there.
BEST_WEIGHTS = "best.weights.h5"
LAST_WEIGHTS = "last.weights.h5"
MANIFEST = "manifest.json"
ARRAYS = "state.npz"
STATE = "state.json"

# In `compressed/`, and in the folder of each level and runtime there.
LADDER = "ladder.json"
LADDER_PAGE = "ladder.html"
RUNG = "rung.json"
RUNG_ANSWERS = "answers.npz"
RUNG_GATE = "gate.npz"

# In each folder of `tensorboard/`.
EVENTS = "events.out.tfevents.kerascale"
