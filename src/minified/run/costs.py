"""What a job costs: processor seconds and memory, from its study alone, before anything has run.

    cost = costs.cost(study, task)              # cost.seconds, cost.memory (MB)
    costs.asked(study, task, attempt=1)         # what a scheduler is asked for

Work is counted in floating-point operations of the study's network and in numbers that are kept,
and turned into seconds and bytes by the constants below. These are the only place where speeds
stand. They were fitted to the measured jobs of the committed studies (figures/STUDY/machine/
jobs.csv), on a core of about 2023 that computes 100 GFLOP/s in large products; tests/test_costs.py
compares them with every one of these jobs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from minified.criteria.record import LEVELS, parse_method
from minified.data.catalogue import CATALOGUE
from minified.networks import architectures
from minified.networks.architectures import Convolution, Flatten, Linear, Pool
from minified.run.job import Task
from minified.run.stages import STAGES
from minified.study.recipes import Recipe
from minified.study.regimes import ROUNDINGS
from minified.study.studies import Study

DENSE, CONVOLVED = 70e9, 15e9
"""Floating-point operations per second in training and measuring, by the kind of network."""
CUDA = 2e12
"""The same on a GPU: a guess, since none has been measured."""
STEP = 0.8e-3
"""Seconds of a training step besides its products, for each network that trains by itself."""
UPDATE = 2e-9
"""Seconds to update one number, in a step."""
INTERPRETER = 470
"""MB of a job that holds nothing yet: Python with the libraries that all jobs load."""
START = 4.0
"""Seconds to import them, where no warm interpreter does the job."""
BESIDE = 900
"""MB besides the job in a submission: the two Snakemake processes that the Slurm plugin starts, and
the warm interpreter for short jobs.
"""

MARGIN_OF_MEMORY, MARGIN_OF_TIME = 1.3, 5
"""What is asked for, to what is expected: other machines are slower, and busy ones much slower."""
LEAST_MINUTES = 2
"""Of each job of a submission, whose minutes are added."""
LIGHT = (
    *("selections", "aggregate", "specifications", "claims", "correlate", "tables", "figures"),
    *("notebook", "provenance", "publish"),
)
"""Stages that take seconds in any study: they stay on the machine that runs Snakemake."""


@dataclass(frozen=True)
class Cost:
    """Processor seconds on one core, and the peak of memory in MB (10^6 bytes)."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Asked:
    """What a scheduler is asked for: memory in MB, minutes, threads, GPUs."""

    mem_mb: int
    runtime: int
    threads: int
    gpu: int


@dataclass(frozen=True)
class _Size:
    """A network: parameters, operations of one forward pass of an example, all layers' outputs for
    it, neurons of the hidden layers, and whether equal networks train in a stack.
    """

    parameters: float
    flops: float
    outputs: float
    neurons: tuple[int, ...]
    stacks: bool


def asked(study: Study, task: Task, attempt: int = 1) -> Asked:
    """What to ask for at the nth attempt: each has as much memory more, and twice the time."""
    one = cost(study, task)
    minutes = math.ceil((MARGIN_OF_TIME * one.seconds + 60) / 60)
    return Asked(
        mem_mb=math.ceil((MARGIN_OF_MEMORY * one.memory + BESIDE) * attempt),
        runtime=max(LEAST_MINUTES, minutes) * 2 ** (attempt - 1),
        threads=study.threads,
        gpu=int(study.device == "cuda" and STAGES[task.stage].on_device),
    )


def cost(study: Study, task: Task) -> Cost:
    """What a job takes, without the import of its libraries (`START`)."""
    estimate = _Estimate(under(study, task), study)
    return estimate.together(task.stage) if task.parts else estimate.of(task.stage, task.options)


def under(study: Study, task: Task) -> Study:
    """The settings with which a job is done: of its specification, for its block of replicates."""
    return (study.under(task.specification) if study.specified else study).within(task.block)


def data_bytes(study: Study) -> float:
    """The bytes of the prepared data set, in float32."""
    one = _Estimate(study, study)
    return 4 * one.examples * one.numbers


class _Estimate:
    """Counts the work of one specification's jobs. Names: `forward` is in operations, and so is
    whatever is divided by `rate`.
    """

    def __init__(self, study: Study, whole: Study):
        self.study, self.whole = study, whole
        entry = CATALOGUE[study.data.name]
        self.classes = entry.classes
        self.numbers = math.prod(entry.input_shape)
        total = sum(entry.counts) or 60_000
        test = total / 5 if entry.own_test else study.data.test * total
        self.validation = study.data.validation * total
        training = total - self.validation - (0 if entry.own_test else test)
        self.training = min(training, study.data.training_examples or math.inf)
        self.examples = self.training + self.validation + test
        self.raw = total + (test if entry.own_test else 0)
        self.saliency = min(self.training, study.data.saliency_examples)
        self.dense = _size(study, 1.0)
        self.rate = DENSE if self.dense.stacks else CONVOLVED
        if study.device == "cuda":
            self.rate = CUDA

    def of(self, stage: str, options: Mapping[str, str]) -> Cost:
        study, dense = self.study, self.dense
        seconds, memory = 0.5, float(INTERPRETER)
        if stage not in LIGHT:
            memory += 4e-6 * self.examples * self.numbers + self._networks(dense)
        match stage:
            case "prepare":
                seconds += 1 + 8e-8 * self.raw * self.numbers
                memory += 24e-6 * self.raw * self.numbers
            case "train":
                seconds += self._trained(study.recipes.baseline, dense)
            case "evaluate":
                seconds += 2 * self._measured(dense)
            case "derivatives":
                seconds += self._differentiated()
            case "score":
                seconds += self._scored(parse_method(options["method"], study.registry)[1])
            case "scratch":
                size = _size(study, 1 - float(options["sparsity"]))
                seconds += self._trained(study.recipe(options["regime"], "neuron"), size)
            case "iterate" | "retrain":
                seconds += self._retrained(stage, options)
            case "quantize":
                seconds += 2 * self._measured(dense)
                if ROUNDINGS[options["regime"]].trains:
                    seconds += 1.3 * self._trained(study.recipe("quantization"), dense)
            case "damage":
                units = study.damage.units * len(study.damaged)
                # Only from the first changed weight on; of a neuron, from the layer that reads it.
                part = 0.8 if options["removal"] == LEVELS[0] else 0.3
                seconds += units * self.saliency * part * dense.flops / self.rate
            case _:
                return self._light(stage)
        return Cost(seconds, memory)

    def together(self, stage: str) -> Cost:
        """Of a job that puts together what blocks have made: it reads and writes their files."""
        of_each_weight = {"train": 2, "derivatives": 6, "iterate": 1.25}.get(stage, 1)
        size = 4e-6 * of_each_weight * self.dense.parameters * self.study.replicates
        return Cost(0.5 + 1e-2 * size, INTERPRETER + 3 * size)

    def _networks(self, size: _Size) -> float:
        """MB of all replicates: weights, gradients, moments, scores, copies; and of outputs."""
        replicates = self.study.replicates
        kept = 44 * replicates * size.parameters
        batch = max(recipe.batch_size for recipe in self._recipes())
        together = replicates if size.stacks else 1
        training = 12 * together * batch * size.outputs
        measuring = 6 * min(32_768 * size.outputs, self.examples * replicates * size.outputs, 1.5e8)
        return 1e-6 * (kept + training + measuring)

    def _recipes(self) -> list[Recipe]:
        given = self.study.recipes.model_dump()
        return [getattr(self.study.recipes, name) for name, recipe in given.items() if recipe]

    def _trained(self, recipe: Recipe, size: _Size) -> float:
        replicates, epochs = self.study.replicates, recipe.epochs
        products = size.flops * (3 * self.training + self.validation) * epochs * replicates
        steps = epochs * math.ceil(self.training / recipe.batch_size)
        each = STEP * (1 if size.stacks else replicates)
        return products / self.rate + steps * (each + UPDATE * size.parameters * replicates)

    def _measured(self, size: _Size) -> float:
        replicates = self.study.replicates
        return replicates * (5e-3 + self.examples * size.flops / self.rate)

    def _differentiated(self) -> float:
        """One pass back for each class."""
        work = self.dense.flops * self.classes * self.saliency * self.study.replicates
        return work / self.rate

    def _scored(self, criterion: str) -> float:
        study, dense, replicates = self.study, self.dense, self.study.replicates
        record = study.registry[criterion]
        seconds = 2e-8 * replicates * dense.parameters
        if record.dropout:
            options = study.options.get(criterion, {})
            passes = float(options.get("passes", record.options["passes"].default))
            work = passes * self.saliency * replicates
            seconds += work * (dense.flops / self.rate + 1.2e-8 * sum(dense.neurons))
        elif record.removal is not None:
            seconds += self._removed(1.0)
        elif not record.data_free and not record.derivatives:
            seconds += self._differentiated()  # for all that is known of it
        return seconds

    def _removed(self, sparsity: float) -> float:
        """A criterion's own way of removing looks at all pairs of a layer's neurons."""
        replicates = self.study.replicates
        cubes = sum(neurons**3 for neurons in self.dense.neurons)
        squares = sum(neurons**2 for neurons in self.dense.neurons)
        return replicates * (3e-9 * cubes * sparsity + 4 * self.saliency * squares / self.rate)

    def _retrained(self, stage: str, options: Mapping[str, str]) -> float:
        study, sparsity = self.study, float(options["sparsity"])
        level, criterion = parse_method(options["method"], study.registry)
        regime = options["regime"]
        size = _size(study, 1 - sparsity) if level == LEVELS[1] else self.dense
        recipe = study.recipe(regime, level)
        if stage == "iterate":
            # The first rounds leave more than the last.
            one = self._trained(recipe, self.dense) + self._scored(criterion)
            return (study.rounds(level) - 1) * one
        seconds = 2 * self._measured(size)
        if study.registry[criterion].removal is not None:
            seconds += self._removed(sparsity)
        if not study.shares_scratch(options["method"], regime):
            seconds += self._trained(recipe, size)
        return seconds

    def _light(self, stage: str) -> Cost:
        """The analysis: it reads rows and draws."""
        study, specified = self.whole, max(1, len(self.whole.specified))
        rows = specified * len(list(study.jobs())) * study.replicates
        seconds = 4 + 2e-4 * rows
        memory = INTERPRETER + 150 + 2e-3 * rows
        if stage == "selections":
            units = sum(
                self.dense.parameters if method.startswith(LEVELS[0]) else sum(self.dense.neurons)
                for method in study.methods
            )
            memory += 4e-6 * self.examples * self.numbers + 40e-6 * units * study.replicates
            seconds += 5e-8 * units * study.replicates
        return Cost(seconds, memory)


def _size(study: Study, kept: float) -> _Size:
    """The study's network with this fraction of the neurons of each hidden layer."""
    entry = CATALOGUE[study.data.name]
    options = study.network.model_dump(exclude={"name"})
    plan = architectures.plan(study.network.name, entry.input_shape, entry.classes, **options)
    height, width = (*entry.input_shape, 1, 1)[1:3]
    before, parameters, flops, outputs = 1.0, 0.0, 0.0, 0.0
    neurons: list[int] = []
    for layer in plan:
        match layer:
            case Pool():
                height, width = height // layer.size, width // layer.size
            case Flatten():
                height = width = 1
            case Linear() | Convolution():
                if isinstance(layer, Convolution):
                    height += 2 * layer.padding - layer.kernel + 1
                    width += 2 * layer.padding - layer.kernel + 1
                last = isinstance(layer, Linear) and layer.last
                after = 1.0 if last else kept
                parameters += layer.parameters * before * after
                weights = layer.inputs * layer.outputs
                weights *= layer.kernel**2 if isinstance(layer, Convolution) else 1
                flops += 2 * weights * height * width * before * after
                outputs += layer.outputs * height * width * after
                before = after
                neurons += [] if last else [layer.outputs]
    stacks = not any(isinstance(layer, Convolution) for layer in plan)
    return _Size(parameters, flops, outputs, tuple(neurons), stacks)
