"""What every recipe can be told: flat, frozen, documented dataclasses."""

import dataclasses
from typing import Annotated, Literal

from kerascale.config import (
    adversarial_conflicts,
    clipping_conflicts,
    compression_conflicts,
    privacy_conflicts,
    split_conflicts,
)
from kerascale.config.fields import (
    Limits,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    Share,
    check,
)
from kerascale.config.monitor import problems_of
from kerascale.config.tasks import AskedTask
from kerascale.errors import RefusedError

Optimizer = Literal[
    "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"
]
Schedule = Literal["constant", "exponential_decay", "inverse_time", "cosine"]
Execution = Literal["auto", "fixed", "loop", "one_program", "split", "compiled"]
AllReduceDtype = Literal["gradient", "float16", "bfloat16"]
Shuffle = Literal["full", "blocks", "none"]
Initializer = Literal[
    "zeros",
    "random_normal",
    "random_uniform",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What every recipe can be told. A recipe's `Config` adds its own fields.

    Raises:
        RefusedError: On construction, naming every field with a wrong type or an
            impossible value.
    """

    dataset: str = "digits"
    """Data: digits, tfds:NAME, csv:PATH, parquet:PATH, npz:PATH, images:FOLDER,
    tfrecord:PATH, or packed:FOLDER, which kerascale pack made of one of them."""
    label: str | None = None
    """Label column of a csv: or parquet: data set, or of labels.csv in an images:
    folder; several with commas between them: a,b."""
    task: AskedTask = "auto"
    """What is asked for. classification: one of several classes; binary: one of two,
    with AUC and a threshold; ordinal: of classes in an order; multilabel: any of
    several labels; regression: numbers. auto: told by the labels, and said."""
    regression_loss: Literal["squared", "poisson"] = "squared"
    """What a regression makes small. squared: squared errors, in deviations; poisson:
    the deviance of counts and other numbers that are never negative and scatter more
    where they are larger; the model then learns factors, and answers above 0."""
    class_order: tuple[str, ...] = ()
    """The classes in their order. ordinal: from the lowest to the highest; binary: the
    positive class is the last. Default: numbers by size, names by the alphabet."""
    test_data: str | None = None
    """Another table like that of a csv: or parquet: data set, with test examples."""
    columns: tuple[str, ...] = ()
    """Columns of features of a csv: or parquet: data set; or a .toml or .json file that
    says what columns are. Default: all but the label."""
    drop_columns: tuple[str, ...] = ()
    """Columns of a csv: or parquet: data set that are left out."""
    separator: str = ","
    """The character between two cells of a csv: data set, or tab or space."""
    no_header: bool | None = None
    """The first line of a csv: data set is a row of data; its columns are then called
    column_0, column_1 and so on. Default: it has the columns' names; asked about where
    all of them are numbers. False: it has the names, even then."""
    num_classes: PositiveInt | None = None
    """Number of classes; labels must be below it. Default: as the data has."""
    skip_damaged_share: Share = 0.0
    """Largest share of the records of a tfrecord: data set that may be skipped where
    they are damaged, or not as its schema says. 0: every one is refused."""
    validation_fraction: Annotated[float, Limits(above=0, at_most=0.5)] = 0.15
    """Share of the training examples held back for validation, unless the data has
    a split for it. The same for a test split that the data lacks."""
    hold_out_validation: bool = True
    """Whether there are validation examples. False: they are trained on, too; the best
    weights are then those of the smallest training loss."""
    group: str | None = None
    """Column of a csv: or parquet: data set, or array of an npz:, whose rows of one
    value are held out together, such as those of one patient. It is no feature."""
    time: str | None = None
    """Column of the same by which the last rows are held out, and the earlier ones are
    trained on. It is no feature."""
    folds: Annotated[int, Limits(at_least=2, below=2**31)] | None = None
    """Cross-validation: into how many parts the examples are divided that are not for
    the test; each training tests on another part."""
    fold: NonNegativeInt | None = None
    """Which of these parts is tested on, from 0. Default: kerascale train trains once
    for each."""

    pack: Literal["never", "auto", "always"] = "auto"
    """Whether data is packed into the cache folder and read from there, with memory
    that does not grow with it. auto: if it does not fit in memory; always: once, for
    all trainings on it; never: what does not fit is refused."""

    class_weight: tuple[str, ...] = ()
    """How much the loss of a training example counts, by its class: balanced, or
    NAME=WEIGHT for some classes; that of the others is 1."""

    batch_size: PositiveInt = 32
    """Examples in the global batch: what one update of the weights sees."""
    epochs: NonNegativeInt = 30
    """Passes over the training data."""
    max_steps: PositiveInt | None = None
    """Updates of the weights after which training ends, in the middle of an epoch too,
    in place of epochs: as many passes are made as that takes. A run that was
    interrupted goes on to the same number."""
    seed: Seed = 0
    """Decides the weights, the order of the data, dropout and augmentation."""
    shuffle: Shuffle = "full"
    """Order of the training examples. full: a permutation of all in each epoch; blocks:
    of blocks of 256, then within 512 blocks, for hard disks and network shares; none:
    as they are."""

    optimizer: Optimizer = "adam"
    """Optimizer. momentum and nesterov are SGD with momentum."""
    learning_rate: PositiveFloat = 1e-3
    """Learning rate at its highest, before any decay."""
    momentum: Share = 0.9
    """Momentum of the optimizers momentum and nesterov."""
    weight_decay: NonNegativeFloat = 0.01
    """Decoupled weight decay of adamw."""
    schedule: Schedule = "exponential_decay"
    """Decay of the learning rate. exponential_decay: rate * decay_rate^t;
    inverse_time: rate / (1 + decay_rate * t), with t in units of decay_epochs;
    cosine: down to zero at the end of training."""
    decay_rate: PositiveFloat = 0.95
    """Factor of exponential_decay, or b of inverse_time's a / (1 + b t)."""
    decay_epochs: PositiveFloat = 1.0
    """Epochs after which decay_rate has been applied once."""
    warmup_epochs: NonNegativeFloat = 0.0
    """Epochs over which the learning rate rises linearly from zero, before any
    schedule begins."""

    initializer: Initializer = "glorot_uniform"
    """Initial weights: glorot_* is Xavier's method, he_* is He's."""
    l1: NonNegativeFloat = 0.0
    """L1 penalty on the kernels."""
    l2: NonNegativeFloat = 0.0
    """L2 penalty on the kernels."""
    dropout: Share = 0.0
    """Share of activations set to zero in training."""
    max_norm: PositiveFloat | None = None
    """Largest norm of a unit's incoming weights (a constraint on the kernels)."""
    weight_clip: PositiveFloat | None = None
    """Kernels are clipped to [-weight_clip, weight_clip] after each update."""
    clipnorm: PositiveFloat | None = None
    """Each gradient is scaled down to this norm."""
    global_clipnorm: PositiveFloat | None = None
    """All gradients together are scaled down to this norm."""
    clipvalue: PositiveFloat | None = None
    """Each gradient element is clipped to [-clipvalue, clipvalue]."""
    early_stopping_patience: PositiveInt | None = None
    """Epochs without a better validation loss after which training stops."""

    teacher: tuple[str, ...] = ()
    """Distillation: folders of finished runs whose answers the model learns from,
    beside the labels. The answer of several is the mean of their probabilities, or of
    their numbers."""
    distill_temperature: PositiveFloat = 3.0
    """What logits of model and teacher are divided by, before they are compared. Higher
    shows more of what the teacher says of classes that it does not choose."""
    distill_alpha: Annotated[float, Limits(at_least=0, at_most=1)] = 0.7
    """Weight of the teacher's answers in the loss; that of the labels is the rest."""
    distill_features: tuple[str, ...] = ()
    """Layers of the model whose values become those of layers of the teacher, as
    LAYER:LAYER (or LAYER, where both have one name). Where they have not as many
    values, a projection is trained that is no part of the model."""
    distill_features_weight: PositiveFloat = 1.0
    """Weight of their distance, beside the rest of the loss."""
    distill_attention: tuple[str, ...] = ()
    """Layers that learn where the teacher's look, as in distill_features; or auto: all
    attention layers, or the last block of each stage of a cnn."""
    distill_attention_weight: PositiveFloat = 1.0
    """Weight of their distance, beside the rest of the loss."""
    teacher_cache: bool = False
    """Whether the teacher answers for each training example once, into the cache
    folder, and not in each step. Not with augmentation, which changes the examples."""
    teacher_cache_top: PositiveInt | None = None
    """How many of the largest probabilities of each answer are kept; the rest of them
    is spread evenly. Default: all."""

    prune: Annotated[float, Limits(above=0, below=1)] | None = None
    """Share of the weights that training puts to zero, those of the smallest magnitude
    in each kernel; None: none."""
    prune_structure: Literal["unstructured", "2:4", "units", "heads"] = "unstructured"
    """What is pruned. unstructured: single weights; 2:4: two of each four weights in a
    row, for sparse tensor cores; units: whole units or filters of mlp and cnn, and
    hidden units of the blocks of a Transformer; heads: its attention heads. Units and
    heads are then cut out of the model."""
    prune_begin: Share = 0.1
    """Share of the training after which pruning begins."""
    prune_end: Annotated[float, Limits(above=0, at_most=1)] = 0.6
    """Share of the training after which the last weights have gone. The best weights
    are chosen among those of later epochs."""

    quantize_aware: Literal["int8"] | None = None
    """int8: the model is trained to be computed in integers of 8 bits: weights and
    activations are rounded in each step as they will be, and kerascale compress takes
    the ranges that were learned. None: it is not."""
    quantize_begin: Annotated[float, Limits(at_least=0, below=1)] = 0.5
    """Share of the training after which steps are quantized. The best weights are
    chosen among those of later epochs."""
    lora_rank: PositiveInt | None = None
    """Adapters: the weights of --init-from stay as they are, and to each kernel the
    product of two small matrices is added, which train: with that many columns."""
    lora_alpha: PositiveFloat | None = None
    """What the product is multiplied by, times lora_rank. Default: lora_rank."""
    lora_layers: tuple[str, ...] = ()
    """Names of layers, or patterns of their paths such as stack/*/hidden, that get
    adapters. Default: all dense, embedding and recurrent ones."""
    lora_from: str | None = None
    """A run folder whose adapters go on training here, on the same --init-from."""

    adversarial: Literal["pgd", "fgsm"] | None = None
    """Adversarial training on pictures or vectors: each example is changed, within
    epsilon, so that the loss is large. pgd: in adversarial_steps steps; fgsm: in one.
    val_loss is then that of changed examples. None: they are as they are."""
    epsilon: PositiveFloat | None = None
    """How far adversarial training moves an example. Pictures: in pixels from 0 to 1;
    vectors: in standard deviations of each feature. Default: 0.1."""
    adversarial_norm: Literal["inf", "2"] = "inf"
    """What is at most epsilon. inf: the change of each number; 2: the root of the sum
    of their squares."""
    adversarial_steps: PositiveInt = 7
    """Steps of pgd, each of which is a pass forwards and backwards."""
    adversarial_step_size: PositiveFloat | None = None
    """How far a step goes, in units of epsilon's. Default: 2.5 * epsilon /
    adversarial_steps; of fgsm 1.25 * epsilon."""
    adversarial_warmup_epochs: NonNegativeFloat = 0.0
    """Epochs over which epsilon, and a step with it, rises linearly from zero."""
    dp_clip: PositiveFloat | None = None
    """Private training (DP-SGD): the gradient of each example is scaled down to this
    norm, so that none of them moves the weights further. None: it is not private."""
    dp_noise: NonNegativeFloat | None = None
    """Deviation of the noise that is added to the clipped gradients of a batch, in
    units of dp_clip. Default: as much as dp_epsilon needs."""
    dp_epsilon: PositiveFloat | None = None
    """Largest epsilon that training may cost; it ends with the last epoch that fits.
    Without dp_noise, the noise is chosen so that all epochs do."""
    dp_delta: Annotated[float, Limits(above=0, below=1)] | None = None
    """Chance that epsilon does not hold. Default, without dp_epsilon: the largest
    power of ten that is at most one in as many training examples."""
    dp_seed: Seed | None = None
    """Draws noise and batches from a seed, for tests: whoever knows it can take the
    noise away. Default: from the system's entropy, in each process anew."""

    monitor: str | None = None
    """Metric that chooses the best weights and stops early, such as val_accuracy.
    Default: val_loss, or loss where there is no validation."""
    monitor_mode: Literal["auto", "min", "max"] = "auto"
    """Whether small or large values of monitor are better. auto: known for the
    metrics of Keras."""

    gradient_accumulation_steps: PositiveInt = 1
    """Micro-batches whose gradients make one update, of batch_size examples in all.
    Those that are left at an epoch's end count for the next update."""
    steps_per_execution: PositiveInt = 1
    """Batches in one call of the compiled function. More is faster; progress and
    the NaN guard look only between calls."""
    execution: Execution = "auto"
    """How batches are executed. fixed: steps_per_execution in one call; loop: as many
    as take a second; one_program: these as one program of XLA; split: each batch split
    into a program for every core; compiled: a loop in which XLA compiles each replica's
    part of a step; auto: what is fastest here, of these ways, measured
    first. config.json then holds what was chosen."""
    all_reduce_dtype: AllReduceDtype = "gradient"
    """In which dtype gradients travel between hosts. gradient: in their own; float16,
    bfloat16: rounded, in half the bytes. The result then depends, within that rounding,
    on the number of replicas."""

    @property
    def micro_batch_size(self) -> int:
        """Examples in a global micro-batch: what the data comes in."""
        return self.batch_size // self.gradient_accumulation_steps

    def __post_init__(self) -> None:
        problems = check(self)
        if not problems:
            problems = self.conflicts()
        if problems:
            raise RefusedError(problems, heading=type(self).__qualname__)

    def conflicts(self) -> list[str]:
        """Values that are right alone and wrong together. Extend it with super()."""
        problems = clipping_conflicts.of(self)
        problems += compression_conflicts.of(self)
        problems += adversarial_conflicts.of(self)
        problems += privacy_conflicts.of(self)
        problems += split_conflicts.of(self)
        problems += problems_of(
            {"monitor": self.monitor, "monitor_mode": self.monitor_mode}
        )
        if self.batch_size % self.gradient_accumulation_steps:
            problems.append(
                "batch_size: expected a multiple of gradient_accumulation_steps. "
                f"Received: batch_size={self.batch_size}, "
                f"gradient_accumulation_steps={self.gradient_accumulation_steps}"
            )
        return problems


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageConfig(TrainingConfig):
    """`TrainingConfig` for recipes that read images: size and augmentation."""

    image_size: PositiveInt | None = None
    """Height and width in pixels to which images are resized. Default: as they
    are, which must be one size."""
    augment_shift: Share = 0.0
    """Largest random shift of a training image, as a share of its side."""
    augment_rotation: Annotated[float, Limits(at_least=0, at_most=180)] = 0.0
    """Largest random rotation of a training image, in degrees."""
    augment_zoom: Share = 0.0
    """Largest random change of a training image's scale, as a share."""
    augment_contrast: Share = 0.0
    """Largest random change of a training image's contrast, as a share."""
    augment_flip: bool = False
    """Whether half of the training images are mirrored left to right."""
    augment_crop: NonNegativeInt = 0
    """Pixels of 0 that are put around a training image, out of which a window of its
    own size is cut at random."""
    augment_cutout: Share = 0.0
    """Side of a rectangle at a random place of a training image that is set to 0, as a
    share of the image's side."""
    augment_resized_crop: Share = 0.0
    """Smallest share of a training image's area that a random window has, which is then
    resized to the size of the image ("random resized crop"); 0: none. Of packed JPEG
    files no more is decoded than the window."""
