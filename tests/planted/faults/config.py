"""Faults of configurations and of how recipes are found."""

from ..fault import Fault

FAULTS = (
    Fault(
        "infinity-passes-for-a-number",
        "config/fields.py",
        "if too_low or too_high or not finite:",
        "if too_low or too_high:",
        ("test_config.py::test_refused_values",),
    ),
    Fault(
        "only-the-first-problem-is-named",
        "config/fields.py",
        "    return list(_problems(type(config), values))",
        "    return list(_problems(type(config), values))[:1]",
        ("test_config.py::test_all_problems_are_named_at_once",),
    ),
    Fault(
        "two-kinds-of-clipping-pass",
        "config/clipping_conflicts.py",
        "if len(clips) > 1:",
        "if len(clips) > 2:",
        ("test_config.py::test_refused_values",),
    ),
    Fault(
        "a-recipe-that-has-changed-is-not-read-again",
        "config/recipes.py",
        "key = (str(path), stat.st_mtime_ns, stat.st_size)",
        "key = (str(path), stat.st_dev, stat.st_ino)",
        ("test_discovery.py::test_a_file_is_loaded_once_and_again_when_it_changes",),
    ),
    Fault(
        "a-flag-is-told-to-come-from-the-file",
        "config/provenance.py",
        "origins.update({n: value_sources[n] for n in before if n in value_sources})",
        "origins.update({n: FILE for n in before if n in value_sources})",
        ("test_provenance.py",),
    ),
)
