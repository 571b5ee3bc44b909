"""The official files of our data sets: where they lie below the data folder, their addresses, sizes and checksums."""

from __future__ import annotations

from collections.abc import Sequence

from harness import File, Folder

_MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)


def _declare_mnist(name: str, size: int, md5: str, sha256: str, content_md5: str) -> File:
    urls = tuple(mirror + name for mirror in _MNIST_MIRRORS)
    also = _list_places(name, "mnist", "MNIST")
    return File(f"mnist/{name}", urls, size, md5, sha256, also=also, content_md5=content_md5)


def _list_places(name: str, folder: str, torchvision: str) -> tuple[str, ...]:
    """List the other places of a file of the MNIST family: as torchvision has it, unpacked, or both.

    Some programs that unpack it write a dot for the hyphen before `idx`.
    """
    plain = name.removesuffix(".gz")
    names = (name, plain, plain.replace("-idx", ".idx"))
    folders = (folder, f"{torchvision}/raw", f"{folder}/{torchvision}/raw", torchvision, f"{folder}/raw")
    return tuple(f"{each}/{what}" for each in folders for what in names if (each, what) != (folder, name))


MNIST = (
    _declare_mnist(
        "train-images-idx3-ubyte.gz",
        9912422,
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "6bbc9ace898e44ae57da46a324031adb",
    ),
    _declare_mnist(
        "train-labels-idx1-ubyte.gz",
        28881,
        "d53e105ee54ea40749a09fcbcd1e9432",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "a25bea736e30d166cdddb491f175f624",
    ),
    _declare_mnist(
        "t10k-images-idx3-ubyte.gz",
        1648877,
        "9fb629c4189551a2d022fa330f9573f3",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "2646ac647ad5339dbf082846283269ea",
    ),
    _declare_mnist(
        "t10k-labels-idx1-ubyte.gz",
        4542,
        "ec29112dd5afa0611ce80d1b7f02629c",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "27ae3e4e09519cfbb04c329615203637",
    ),
)


_FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)


def _declare_fashion(name: str, size: int, md5: str, content_md5: str) -> File:
    urls = tuple(mirror + name for mirror in _FASHION_MIRRORS)
    also = _list_places(name, "fashion-mnist", "FashionMNIST")
    return File(f"fashion-mnist/{name}", urls, size, md5, also=also, content_md5=content_md5)


FASHION_MNIST = (
    _declare_fashion(
        "train-images-idx3-ubyte.gz", 26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"
    ),
    _declare_fashion(
        "train-labels-idx1-ubyte.gz", 29515, "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"
    ),
    _declare_fashion(
        "t10k-images-idx3-ubyte.gz", 4422102, "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"
    ),
    _declare_fashion(
        "t10k-labels-idx1-ubyte.gz", 5148, "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"
    ),
)


# Customary names of the folder that torchvision is given as its root.
_ROOTS = {
    10: ("cifar10", "cifar-10", "CIFAR10", "CIFAR-10", "cifar", "torchvision"),
    100: ("cifar100", "cifar-100", "CIFAR100", "CIFAR-100", "cifar", "torchvision"),
}
FEWER = "or train on those of data_batch_1 to 5 that are sound: the option batches takes their numbers"


def _declare_cifar(number: int, name: str, size: int | None, md5: str, hint: str = "") -> File:
    folder = f"cifar-{number}-batches-py" if number == 10 else f"cifar-{number}-python"
    url = f"https://www.cs.toronto.edu/~kriz/cifar-{number}-python.tar.gz"
    path = f"{folder}/{name}"
    return File(
        path, (url,), size, md5, member=path, hint=hint, also=tuple(f"{root}/{path}" for root in _ROOTS[number])
    )


_CIFAR10_BATCHES = (
    _declare_cifar(10, "data_batch_1", 31035704, "c99cafc152244af753f735de768cd75f", FEWER),
    _declare_cifar(10, "data_batch_2", 31035320, "d4bba439e000b95fd0a9bffe97cbabec", FEWER),
    _declare_cifar(10, "data_batch_3", 31035999, "54ebc095f3ab1f0389bbae665268c751", FEWER),
    _declare_cifar(10, "data_batch_4", 31035696, "634d18415352ddfa80567beed471001a", FEWER),
    _declare_cifar(10, "data_batch_5", 31035623, "482c414d41f54cd18b22e5b47cb7c3cb", FEWER),
)
_CIFAR10_OTHERS = (
    _declare_cifar(10, "test_batch", 31035526, "40351d587109b95175f43aff81a1287e"),
    _declare_cifar(10, "batches.meta", 158, "5ff9c542aee3614f3951f8cda6e48888"),
)


def cifar10(batches: Sequence[int]) -> tuple[File, ...]:
    """The files of CIFAR-10 with these training batches, from 1 to 5."""
    return (*(_CIFAR10_BATCHES[number - 1] for number in sorted(batches)), *_CIFAR10_OTHERS)


CIFAR100 = (
    _declare_cifar(100, "train", 155249918, "16019d7e3df5f24257cddd939b257f8d"),
    _declare_cifar(100, "test", 31049707, "f0ef6b0ae62326f3e7ffdfab6717acfc"),
    _declare_cifar(100, "meta", None, "7973b15100ade9c7d40fb424638fde48"),
)

# --- events -------------------------------------------------------------------------------------------------------

# Where tonic and SpikingJelly put them, and whoever unpacks the archives by hand.
_AUTHORS = ("CIFAR10DVS", "CIFAR10DVS/extract", "CIFAR10DVS/download", "cifar10-dvs", "cifar10dvs")

PARTIAL = "or take the folder as it is: partial=yes, an option of the data set"
_NMNIST_SITE = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"


def _declare_tonic(split: str, count: int) -> tuple[Folder, ...]:
    """Declare the folders into which tonic unpacks N-MNIST."""
    return tuple(Folder(f"{top}/{split}", (), "*/*.bin", count, record=5) for top in ("NMNIST", "nmnist/NMNIST"))


NMNIST = (
    Folder(
        "nmnist/Train",
        (f"{_NMNIST_SITE}39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",),
        "*/*.bin",
        count=60000,
        md5="20959b8e626244a1b502305a9e6e2031",
        hint=PARTIAL,
        record=5,
        instead=_declare_tonic("Train", 60000),
    ),
    Folder(
        "nmnist/Test",
        (f"{_NMNIST_SITE}05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",),
        "*/*.bin",
        count=10000,
        md5="69ca8762b2fe404d9b9bad1103e97832",
        hint=PARTIAL,
        record=5,
        instead=_declare_tonic("Test", 10000),
    ),
)
CIFAR10_DVS = (
    Folder(
        "CIFAR10DVS",
        ("https://figshare.com/ndownloader/files/38023437",),
        "*/*.aedat4",
        count=10000,
        md5="ce3a4a0682dc0943703bd8f749a7701c",
        hint=PARTIAL,
        instead=(
            *(Folder(path, (), "*/*.aedat", 10000) for path in _AUTHORS),
            *(Folder(path, (), "*/*.aedat", 10000, zipped="*.zip") for path in _AUTHORS),
        ),
    ),
)
DVS_GESTURE = (
    Folder(
        "DVSGesture/ibmGestureTrain",
        ("https://figshare.com/ndownloader/files/38022171",),
        "*/*.npy",
        count=1077,
        md5="3a8f0d4120a166bac7591f77409cb105",
        hint=PARTIAL,
    ),
    Folder(
        "DVSGesture/ibmGestureTest",
        ("https://figshare.com/ndownloader/files/38020584",),
        "*/*.npy",
        count=264,
        md5="56070e45dadaa85fff82e0fbfbc06de5",
        hint=PARTIAL,
    ),
)
