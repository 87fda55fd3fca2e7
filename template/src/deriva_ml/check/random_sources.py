"""Which calls draw random numbers, and which seed what they draw from."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from deriva_ml.check.source import Source

SEEDS = {
    "random.seed": ("random",),
    "numpy.random.seed": ("numpy",),
    "numpy.random.set_state": ("numpy",),
    "torch.manual_seed": ("torch",),
    "torch.random.manual_seed": ("torch",),
    "torch.cuda.manual_seed": ("torch",),
    "torch.cuda.manual_seed_all": ("torch",),
    "torch.set_rng_state": ("torch",),
    "tensorflow.random.set_seed": ("tensorflow",),
    "tensorflow.set_random_seed": ("tensorflow",),
    "tensorflow.compat.v1.set_random_seed": ("tensorflow",),
    "tensorflow.random.set_random_seed": ("tensorflow",),
}
"""What seeds what. Any other function with ``seed`` in its name is taken to seed all."""
MENDS = {
    "random": "random.seed(0)",
    "numpy": "numpy.random.seed(0), or a generator numpy.random.default_rng(0)",
    "torch": "torch.manual_seed(0)",
    "tensorflow": "keras.utils.set_random_seed(0)",
}
"""How each kind is seeded."""
_HELPER = re.compile(r"seed|reproducib|determinis", re.IGNORECASE)
_NO_HELPER = r"^(numpy|random|torch|tensorflow|jax|tf)\b.*|.*(SeedSequence|PRNGKey|default_rng)$"

_RANDOM = frozenset(
    "betavariate binomialvariate choice choices expovariate gammavariate gauss getrandbits lognormvariate normalvariate"
    " paretovariate randbytes randint random randrange sample shuffle triangular uniform vonmisesvariate"
    " weibullvariate".split()
)
_NUMPY = frozenset(
    "beta binomial bytes chisquare choice dirichlet exponential f gamma geometric gumbel hypergeometric laplace logistic"
    " lognormal logseries multinomial multivariate_normal negative_binomial noncentral_chisquare noncentral_f normal pareto"
    " permutation poisson power rand randint randn random random_integers random_sample ranf rayleigh sample shuffle"
    " standard_cauchy standard_exponential standard_gamma standard_normal standard_t triangular uniform vonmises wald"
    " weibull zipf".split()
)
_TORCH = frozenset(
    "bernoulli multinomial normal poisson rand rand_like randint randint_like randn randn_like randperm".split()
)
_TORCH_LAYERS = frozenset(
    "Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Embedding GRU LSTM Linear"
    " MultiheadAttention RNN Transformer TransformerEncoderLayer".split()
)
_TENSORFLOW = frozenset(
    "categorical gamma normal poisson random_normal random_shuffle random_uniform shuffle truncated_normal uniform".split()
)
_KERAS_LAYERS = frozenset(
    "Bidirectional Conv1D Conv2D Conv2DTranspose Conv3D Dense Embedding GRU LSTM SeparableConv2D SimpleRNN".split()
)
_SKLEARN = {
    "cluster": "KMeans MiniBatchKMeans BisectingKMeans SpectralClustering",
    "datasets": "make_biclusters make_blobs make_checkerboard make_circles make_classification make_friedman1 make_friedman2"
    " make_friedman3 make_gaussian_quantiles make_hastie_10_2 make_low_rank_matrix make_moons"
    " make_multilabel_classification make_regression make_s_curve make_sparse_coded_signal make_spd_matrix"
    " make_sparse_spd_matrix make_swiss_roll",
    "decomposition": "FastICA LatentDirichletAllocation TruncatedSVD",
    "ensemble": "BaggingClassifier BaggingRegressor ExtraTreesClassifier ExtraTreesRegressor IsolationForest"
    " RandomForestClassifier RandomForestRegressor RandomTreesEmbedding",
    "inspection": "permutation_importance",
    "kernel_approximation": "Nystroem RBFSampler",
    "linear_model": "SGDClassifier SGDRegressor Perceptron PassiveAggressiveClassifier PassiveAggressiveRegressor"
    " RANSACRegressor",
    "manifold": "MDS TSNE",
    "mixture": "BayesianGaussianMixture GaussianMixture",
    "model_selection": "GroupShuffleSplit RandomizedSearchCV RepeatedKFold RepeatedStratifiedKFold ShuffleSplit"
    " StratifiedShuffleSplit train_test_split",
    "neural_network": "BernoulliRBM MLPClassifier MLPRegressor",
    "random_projection": "GaussianRandomProjection SparseRandomProjection",
    "tree": "ExtraTreeClassifier ExtraTreeRegressor",
    "utils": "resample shuffle",
}
"""What is random by default, and takes ``random_state``, by module."""
_RANDOM_BY_DEFAULT = frozenset(
    f"{module}.{name}" for module, names in _SKLEARN.items() for name in names.split()
)
_SHUFFLES_IF_ASKED = frozenset({"model_selection.KFold", "model_selection.StratifiedKFold"})


_DRAWS = frozenset(
    "keras.layers numpy.random random tensorflow tensorflow.keras.layers tensorflow.random torch torch.nn"
    " torch.utils.data".split()
)
"""Modules of which something draws random numbers, beside scikit-learn's."""


@lru_cache(maxsize=4096)
def may_seed(name: str) -> bool:
    """Whether a function of this name, or that a name stands for, may seed something."""
    return name in SEEDS or _HELPER.search(name) is not None


@lru_cache(maxsize=4096)
def may_draw(name: str) -> bool:
    """Whether what a name stands for may draw random numbers."""
    return name.rpartition(".")[0] in _DRAWS or name.startswith("sklearn.")


class Draw(NamedTuple):
    """A call that draws random numbers.

    Attributes:
        kind: what it draws from, ``numpy``; empty for a generator of its own.
        what: what is called, in words.
        mend: how to seed this call alone; empty if only its kind can be seeded.
        is_start: it is of weights that a training starts from, and that may be loaded instead.
    """

    kind: str
    what: str
    mend: str = ""
    is_start: bool = False


def seeded_by(call: ast.Call, name: str, defined: Collection[str]) -> Collection[str]:
    """Return what a call seeds.

    Args:
        call: the call.
        name: what is called, as imports tell.
        defined: functions of the notebook itself, whose own calls tell.
    """
    spelled = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name in SEEDS:
        given = [*call.args, *call.keywords]
        return (
            SEEDS[name]
            if given and not _is_none(call.args[0] if call.args else call.keywords[0].value)
            else ()
        )
    if name.startswith("keras.utils.set_random_seed") or name == "tensorflow.keras.utils.set_random_seed":
        return MENDS
    if name in {"numpy.random.default_rng", "numpy.random.RandomState", "random.Random", "torch.seed"}:
        return ()
    if not _HELPER.search(spelled) or spelled in defined or re.match(_NO_HELPER, name or spelled):
        return ()
    # rng.seed(0), generator.manual_seed(0): of an object, unless it is of a module.
    return MENDS if isinstance(call.func, ast.Name) or name else ()


def drawn_by(call: ast.Call, name: str, source: Source) -> Draw | None:
    """Return what a call draws from; None if it draws nothing, or has a seed of its own."""
    module, _, last = name.rpartition(".")
    if any(one.arg is None for one in call.keywords) or any(
        isinstance(one, ast.Starred) for one in call.args
    ):
        return None  # what is in there is not known
    match module:
        case "random":
            if last == "Random":
                return (
                    None
                    if _has_argument(call)
                    else Draw("", "random.Random() draws random numbers", "random.Random(0)")
                )
            return Draw("random", f"random.{last}() draws random numbers") if last in _RANDOM else None
        case "numpy.random":
            if last in {"default_rng", "RandomState"}:
                mend = f"numpy.random.{last}(0)"
                return (
                    None
                    if _has_argument(call)
                    else Draw("", f"numpy.random.{last}() draws random numbers", mend)
                )
            return Draw("numpy", f"numpy.random.{last}() draws random numbers") if last in _NUMPY else None
        case "torch":
            found = last in _TORCH and not _given(call, "generator")
            return Draw("torch", f"torch.{last}() draws random numbers") if found else None
        case "torch.nn":
            return (
                Draw("torch", f"torch.nn.{last}() starts from random weights", is_start=True)
                if last in _TORCH_LAYERS
                else None
            )
        case "torch.utils.data":
            found = not _given(call, "generator") and (
                last == "random_split" or (last == "DataLoader" and _is_true(_given(call, "shuffle")))
            )
            return Draw("torch", f"torch.utils.data.{last}() shuffles") if found else None
        case "tensorflow.random" | "tensorflow":
            return (
                Draw("tensorflow", f"{name}() draws random numbers")
                if last in _TENSORFLOW and not _given(call, "seed")
                else None
            )
        case "tensorflow.keras.layers" | "keras.layers":
            found = last in _KERAS_LAYERS and not _given(call, "kernel_initializer")
            return (
                Draw("tensorflow", f"{last}() starts from random weights", is_start=True) if found else None
            )
    if name.startswith("sklearn."):
        return _sklearn(call, name)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "sample":
        return _sample(call, call.func.value, source)
    return None


def _sklearn(call: ast.Call, name: str) -> Draw | None:
    _, _, rest = name.partition(".")
    random = rest in _RANDOM_BY_DEFAULT or (rest in _SHUFFLES_IF_ASKED and _is_true(_given(call, "shuffle")))
    if rest == "model_selection.train_test_split" and _is_false(_given(call, "shuffle")):
        return None
    state = _given(call, "random_state")
    if not random or (state is not None and not _is_none(state)):
        return None
    return Draw(
        "numpy", f"{name.rpartition('.')[2]}() is random without random_state", "give it random_state=0"
    )


def _sample(call: ast.Call, owner: ast.expr, source: Source) -> Draw | None:
    state = _given(call, "random_state")
    if state is not None and not _is_none(state):
        return None
    if not (call.args or call.keywords) or not _is_frame(owner, source, 0):
        return None
    return Draw("numpy", ".sample() draws random rows", "give it random_state=0")


def _is_frame(node: ast.expr, source: Source, depth: int) -> bool:
    """Whether an expression is surely made from a data frame of pandas."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        if isinstance(node, ast.Call) and source.resolve(node.func).startswith("pandas."):
            return (
                source.resolve(node.func)
                .rpartition(".")[2]
                .startswith(("read_", "DataFrame", "concat", "merge", "Series"))
            )
        node = node.func if isinstance(node, ast.Call) else node.value
    if not isinstance(node, ast.Name) or depth > 5:
        return False
    values = source.values.get(node.id, [])
    return bool(values) and any(one is not None and _is_frame(one, source, depth + 1) for one in values)


def _has_argument(call: ast.Call) -> bool:
    given = [*call.args, *(one.value for one in call.keywords)]
    return bool(given) and not _is_none(given[0])


def _given(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
