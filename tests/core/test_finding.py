"""`harness.find_record`: the one record that the argument TRIAL of a command names."""

from __future__ import annotations

import pytest
from example_records import record

from harness import Budget, UsageError, find_record

RECORDS = [
    record("saf", key="abc1"),
    record("saf[steps=4,variant=final]", options={"steps": 4, "variant": "final"}, key="abd2"),
    record("ottt", seed=3, key="ff00"),
]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("abc1", "abc1"),
        ("abd", "abd2"),
        ("saf/digits/0", "abc1"),
        ("saf[steps=4,variant=final]/digits/0", "abd2"),
        ("saf(variant=final,steps=4)/digits/0", "abd2"),
        ("ottt/digits/*", "ff00"),
    ],
)
def test_a_record_is_named_by_its_key_or_by_what_it_is_of(text, key):
    assert find_record(RECORDS, text).trial.key == key


@pytest.mark.parametrize(
    ("records", "text", "says"),
    [
        (
            RECORDS,
            "",
            "trial '': no such record; the 3 records are saf/digits/0, saf[steps=4,variant=final]/digits/0, o",
        ),
        (RECORDS, "sfa/digits/0", "trial 'sfa/digits/0': no such record; did you mean 'saf/digits/0'"),
        (RECORDS, "saf/digits/7", "no such record"),
        (RECORDS[:1], "zz", "trial 'zz': no such record; the only record is saf/digits/0"),
        ([], "zz", "trial 'zz': no such record; there are no records"),
        (
            RECORDS,
            "ab",
            "trial 'ab' is one of 2; name it by its key:\n  abc1  saf/digits/0, 10 epochs, cpu, fp32, ok\n",
        ),
    ],
)
def test_what_names_none_or_several_is_refused_with_what_there_is(records, text, says):
    with pytest.raises(UsageError) as error:
        find_record(records, text)
    assert says in str(error.value)


def test_of_many_the_first_are_listed():
    many = [record("saf", key=f"a{number}", budget=Budget("updates", number + 1)) for number in range(23)]
    with pytest.raises(UsageError, match=r"is one of 23(.|\n)*20 updates(.|\n)* and 3 more$"):
        find_record(many, "saf/digits/0")
