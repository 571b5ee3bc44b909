"""The contract kit: what every method, data set and metric has to keep, tested in the same way for ours and yours.

    harness check mymethod                 on the command line
    pytest --harness-plugin mydistribution one test for each promise, beside your own tests
    [case.run() for case in harness.testing.cases(catalog, "mymethod")]

A plugin adds promises with the hook `harness_checks`; a check is a function of one of the subjects below.
"""

from harness.testing.kit import Case, Result, cases, cases_of_plugin
from harness.testing.subjects import Arrays, DatasetSubject, MetricSubject, Run, Subject, broken, require_same

__all__ = [
    "Arrays",
    "Case",
    "DatasetSubject",
    "MetricSubject",
    "Result",
    "Run",
    "Subject",
    "broken",
    "cases",
    "cases_of_plugin",
    "require_same",
]
