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
RANGES = "quantization.json"
ADAPTER = "adapter.npz"
VECTORIZER = "vectorizer.keras"
TOKENIZER = "tokenizer.json"
COLUMNS = "columns.json"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
REPORT = "report.html"
EXPLANATION = "explain.json"
EXPLANATION_PAGE = "explain.html"
AUDIT = "audit.json"
AUDIT_PAGE = "audit.html"
SIGNATURE = "model.sig"
ENERGY = "energy.json"
CARD = "README.md"
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
PRUNED = "training"
RUNG_ANSWERS = "answers.npz"
RUNG_GATE = "gate.npz"

# In each folder of `tensorboard/`.
EVENTS = "events.out.tfevents.kerascale"

# In the folder of a study.
STUDY = "study.json"
STUDY_DATABASE = "study.db"
STUDY_LOCK = ".study.lock"
STUDY_PAGE = "tune.html"
TRIALS = "trials"
WINNER = "best"

# In the folder of a cross-validation; a run is in `fold-N` for each N.
FOLDS = "folds.json"
FOLD = "fold-"
