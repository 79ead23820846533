"""Verdicts on the counterparts of small stores, for the tests of choices."""

from store_files import VARIANT, key_of, source_of

from albu_diffusemix.store import Store, Verdict


def reject(path, *numbers, verdict="reject", **fields):
    return Store.open(path).choose([Verdict(key_of(number), VARIANT, verdict, **fields) for number in numbers])


def rejected(path):
    store = path if isinstance(path, Store) else Store.open(path)
    return {record.seed for record in store.records() if store.is_rejected(record)}


def choices_file(path, number=0):
    return sorted((path / "choices").iterdir())[number]


def put_again(path, number, data):
    with Store.open(path).writer() as writer:
        writer.put(key_of(number), VARIANT, data, prompt="snowy", seed=number, source=source_of(number))
