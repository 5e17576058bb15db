"""Faults of run folders and checkpoints."""

from ..fault import Fault

FAULTS = (
    Fault(
        "a-mirror-loses-a-file-that-it-names",
        "runs/mirror/upload.py",
        "for _, sha256 in kept.files.values()}",
        "for _, sha256 in list(kept.files.values())[1:]}",
        ("test_mirror.py",),
    ),
    Fault(
        "what-is-fetched-is-not-compared",
        "runs/mirror/download.py",
        'if source.fetch(f"{OBJECTS}/{sha256}", path) != sha256:',
        'if source.fetch(f"{OBJECTS}/{sha256}", path) == "":',
        ("test_mirror.py",),
    ),
    Fault(
        "the-old-checkpoint-goes-before-the-new-one-is-there",
        "runs/checkpoint/names.py",
        "        os.rename(visible, replaced)\n        try:",
        "        shutil.rmtree(visible)\n        try:",
        ("checkpoint/test_store_killed.py::test_killed_at_a_point_of_a_save",),
    ),
    Fault(
        "checksums-are-not-compared",
        "runs/checkpoint/manifest.py",
        "durable_files.check_bytes(file, name, record.size, record.sha256)",
        "durable_files.check_size(file, name, record.size)",
        ("checkpoint/test_store_damaged.py::test_eight_bytes_overwritten",),
    ),
    Fault(
        "a-changed-manifest-is-believed",
        "runs/checkpoint/manifest.py",
        "    if not whole:\n        raise",
        "    if whole is None:\n        raise",
        ("checkpoint/test_store_damaged.py::test_damaged_folder",),
    ),
    Fault(
        "parts-are-committed-that-no-process-has-written",
        "runs/checkpoint/part_table.py",
        "return len({e.start for e in entries}) == len(entries) == cells",
        "return len({e.start for e in entries}) == len(entries) <= cells",
        (
            "checkpoint/test_parts.py::test_parts_that_make_up_nothing_are_not_committed",
        ),
    ),
    Fault(
        "a-block-is-read-from-the-beginning-of-its-part",
        "runs/checkpoint/mapped.py",
        "self._mapped(block)[_slices(first, last, block.start)]",
        "self._mapped(block)[_slices(first, last, first)]",
        ("checkpoint/test_parts.py::test_any_block_is_read_by_its_own_bytes",),
    ),
    Fault(
        "one-checkpoint-too-few-is-kept",
        "runs/checkpoint/store.py",
        "for step in older[: -self.keep]:",
        "for step in older[: 1 - self.keep or None]:",
        ("checkpoint/test_store.py::test_pruning",),
    ),
    Fault(
        "a-save-that-fails-is-passed-over",
        "runs/checkpoint/writer.py",
        "                self._fail(error)\n",
        "                del error\n",
        ("checkpoint/test_writer.py::test_a_failure_is_raised_by_wait_once",),
    ),
    Fault(
        "nested-layers-are-not-looked-at",
        "runs/checkpoint/keras_config.py",
        "            stack.extend(item)\n",
        "            stack.extend(item[:1])\n",
        ("checkpoint/test_safety.py::test_configuration",),
    ),
    Fault(
        "losses-are-written-behind-each-other",
        "runs/step_losses.py",
        "file.seek(min(first, known) * _TYPE.itemsize)",
        "file.seek(known * _TYPE.itemsize)",
        ("test_step_losses.py",),
    ),
    Fault(
        "what-comes-after-a-checkpoint-stays",
        "runs/checkpoint/store.py",
        "newer = [other for other in self.steps() if other > step]",
        "newer = [other for other in self.steps() if other > step + 1]",
        ("checkpoint/test_neighbours.py",),
    ),
)
