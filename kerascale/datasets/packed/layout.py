"""The files of a packed data set: every name, and what they hold."""

FORMAT = "kerascale-packed"
VERSION = 1

# Written last: a folder without it is unfinished.
MANIFEST = "packed.json"
# What is done so far, for the same command to go on with; gone when it is finished.
PROGRESS = "progress.json"
LOCK = "pack.lock"
# Labels as the source gave them, until all are known; gone when it is finished.
CODES = "labels.codes"

# Rows of one shape, one after the other in C order, little-endian, without a header.
FEATURES = "features.bin"
# int64 [rows]; empty for a corpus, which is its own label. Of a regression and of
# several labels: float32 [rows, targets].
LABELS = "labels.bin"
# Rows of any size (encoded pictures, texts in UTF-8): `shard` in ArrayRecord, group
# size 1. Row i is record `i - sum(rows of the shards before)` of its shard.
SHARD = "features-{:05d}.array_record"
# A shard that is being written, and the beginning of it that is on the disk for sure.
UNFINISHED = "{shard}.part"
PIECE = "{shard}.piece"
# int64 row numbers of each split, in ascending order: its examples by their index.
# None of a corpus, whose splits are whole: see `Manifest.ranges`.
INDEX = "{split}.index"
# uint32 little-endian, CRC-32C of each block of `BLOCK_BYTES` bytes of a file, the last
# one shorter.
CHECKSUMS = "{file}.crc32c"
BLOCK_BYTES = 2**20
# Paths of the rows' files relative to the source, or nothing: one a line.
FILES = "files.txt"

SPLITS = ("train", "validation", "test")
